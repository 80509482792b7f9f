// From an image's pixels to the network's input and back: the twin of scn_tf/preprocess.py and geometry.fit_axes.
// Coordinates are (x, y), integers are pixel centres. f32 rounds where Python computes in float32.

const f32 = Math.fround;
const LOW_PERCENTILE = 0.01, HIGH_PERCENTILE = 0.99, BACKGROUND = -1, LIMIT = 2;
const GREY_WEIGHTS = [0.299, 0.587, 0.114];

/**
 * Where an image lies in the network's input: per axis input + 0.5 = (image + 0.5) * scale + translation.
 * @param {{width: number, height: number}} image pixels.
 * @param model model.json: size [x, y] of the input, pixel_size [x, y] of an image's pixel, spacing of an input pixel or null.
 * @returns {{scale: number[], translation: number[]}} (x, y).
 */
export function fit(image, model) {
  const size = [image.width, image.height];
  const perUnit = model.spacing === null
    ? Math.min(...size.map((n, axis) => model.size[axis] / (n * model.pixel_size[axis])))
    : 1 / model.spacing;
  const scale = model.pixel_size.map((pixel) => perUnit * pixel);
  return { scale, translation: size.map((n, axis) => (model.size[axis] - n * scale[axis]) / 2) };
}

/** Points [x, y][] of the network's input in pixels of the image. */
export function toImage(points, { scale, translation }) {
  return points.map((point) => point.map((value, axis) => (value + 0.5 - translation[axis]) / scale[axis] - 0.5));
}

/** Length of an input pixel, the same along both axes, in the unit of model.pixel_size. */
export function lengthOfInputPixel({ scale }, model) {
  return model.pixel_size[0] / scale[0];
}

/**
 * Resample and normalise: the 1st percentile becomes -1, the 99th +1, clipped to [-2, 2]; -1 outside the image; 0 if it is constant.
 * Where the percentiles are the same, minimum and maximum take their place.
 * @param {{width, height, channels, data}} image interleaved numbers, 1 to 4 channels; the last of 2 or 4 is opacity.
 * @param placement of fit().
 * @param model model.json: size [x, y] and channels (1 or 3) of the input.
 * @returns {Float32Array} (H * W * channels).
 */
export function networkInput(image, placement, model) {
  const [width, height] = model.size;
  const [scaleX, scaleY] = placement.scale.map(f32), [shiftX, shiftY] = placement.translation.map(f32);
  const result = resample(image, model.channels, spans(width, image.width, scaleX, shiftX), spans(height, image.height, scaleY, shiftY));
  const insideX = inside(width, image.width, scaleX, shiftX), insideY = inside(height, image.height, scaleY, shiftY);
  const within = (index) => {
    const pixel = Math.floor(index / model.channels);
    return insideX[pixel % width] && insideY[Math.floor(pixel / width)];
  };
  return normalise(result, within);
}

/**
 * Input pixels and weights that make each output pixel along one axis, as TensorFlow's ScaleAndTranslate has them:
 * a triangle as wide as an output pixel, at least as an input pixel, cut at the border and scaled to sum 1.
 */
function spans(outputs, inputs, scale, translation) {
  const inverse = f32(1 / scale), radius = Math.max(inverse, 1);
  const clamp = (value) => Math.min(Math.max(value, 0), inputs - 1);
  return Array.from({ length: outputs }, (_, output) => {
    const centre = f32(f32((output + 0.5) * inverse) + f32(-inverse * translation));
    if (centre < 0 || centre > inputs) return { start: 0, weights: [] };
    const start = clamp(Math.ceil(f32(centre - radius - 0.5))), end = clamp(Math.floor(f32(centre + radius - 0.5))) + 1;
    const weights = Array.from({ length: end - start }, (_, k) => Math.max(0, 1 - Math.abs((start + k + 0.5 - centre) / radius)));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { start, weights: sum > 0 ? weights.map((weight) => weight / sum) : [] };
  });
}

/** Whether each output pixel's centre lies on the image, along one axis. */
function inside(outputs, inputs, scale, translation) {
  return Array.from({ length: outputs }, (_, output) => {
    const coordinate = f32(f32(output + 0.5 - translation) / scale);
    return coordinate >= 0 && coordinate <= inputs;
  });
}

/** Rows first, then columns; colours are read as the network wants them, so no float copy of a large image is made. */
function resample(image, channels, columns, rows) {
  const result = new Float32Array(rows.length * columns.length * channels);
  const line = new Float32Array(image.width * channels);
  const value = reader(image, channels);
  rows.forEach(({ start, weights }, y) => {
    line.fill(0);
    weights.forEach((weight, k) => {
      const first = (start + k) * image.width * channels;
      for (let i = 0; i < line.length; i++) line[i] += weight * value(first + i);
    });
    columns.forEach((column, x) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        column.weights.forEach((weight, k) => { sum += weight * line[(column.start + k) * channels + c]; });
        result[(y * columns.length + x) * channels + c] = sum;
      }
    });
  });
  return result;
}

/** Function from an index into the image as the network wants it, 1 or 3 channels, to its value. */
function reader({ data, channels: stored }, wanted) {
  if (stored < 3) return wanted === 1 ? (i) => data[i * stored] : (i) => data[Math.floor(i / 3) * stored];
  if (wanted === 3) return (i) => data[Math.floor(i / 3) * stored + (i % 3)];
  const [red, green, blue] = GREY_WEIGHTS;
  return (i) => red * data[i * stored] + green * data[i * stored + 1] + blue * data[i * stored + 2];
}

function normalise(values, within) {
  const sorted = values.filter((_, index) => within(index)).sort();
  const at = (share) => sorted[Math.floor(f32(f32(sorted.length - 1) * f32(share)))] ?? 0;
  // Resampling a constant image leaves differences in the last digits: they are no contrast.
  const differ = (low, high) => high - low > 1e-5 * Math.max(Math.abs(low), Math.abs(high));
  let low = at(LOW_PERCENTILE), high = at(HIGH_PERCENTILE);
  if (!differ(low, high)) [low, high] = [at(0), at(1)];
  const contrast = differ(low, high);
  return values.map((value, index) => {
    if (!within(index)) return BACKGROUND;
    return contrast ? Math.min(Math.max((2 * (value - low)) / (high - low) - 1, -LIMIT), LIMIT) : 0;
  });
}
