// The picture: image, heatmap, crosses, circles and names.

const LONGER_SIDE = 1200; // of the picture, whatever the image has: crosses and names stay sharp on small ones

/** An image of decode() as a bitmap no larger than the picture; 16 bits are stretched from darkest to brightest. */
export async function preview({ width, height, channels, data, depth }) {
  const colours = channels < 3 ? [0, 0, 0] : [0, 1, 2];
  const low = depth > 8 ? data.reduce((a, b) => Math.min(a, b)) : 0;
  const high = depth > 8 ? data.reduce((a, b) => Math.max(a, b)) : 255;
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) pixels[4 * pixel + c] = (255 * (data[pixel * channels + colours[c]] - low)) / (high - low || 1);
  }
  const shrink = Math.min(1, LONGER_SIDE / Math.max(width, height));
  return createImageBitmap(new ImageData(pixels, width, height), {
    resizeWidth: Math.max(1, Math.round(width * shrink)),
    resizeHeight: Math.max(1, Math.round(height * shrink)),
    resizeQuality: "high",
  });
}

/**
 * @param {HTMLCanvasElement} canvas takes the shape of the image.
 * @param shown {bitmap, image, found}: of preview(), decode() and find().
 * @param model model.json.
 * @param options {points, radii, names, overlay: booleans, map: index of a landmark or -1 for all, opacity: 0 to 1}.
 */
export function draw(canvas, { bitmap, image, found }, model, options) {
  const enlarge = LONGER_SIDE / Math.max(image.width, image.height);
  canvas.width = Math.max(1, Math.round(image.width * enlarge));
  canvas.height = Math.max(1, Math.round(image.height * enlarge));
  const context = canvas.getContext("2d");
  const scale = [canvas.width / image.width, canvas.height / image.height];
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  if (options.overlay) drawHeatmap(context, scale, found, model, options);
  const arm = Math.max(canvas.width, canvas.height) / 100;
  context.lineWidth = Math.max(1, arm / 4);
  context.font = `${Math.max(10, 2 * arm)}px sans-serif`;
  found.landmarks.forEach(([x, y], index) => {
    // Integers are centres of pixels, a canvas counts from their corners.
    const [left, top] = [(x + 0.5) * scale[0], (y + 0.5) * scale[1]];
    context.setLineDash(found.estimates?.present?.[index] === 0 ? [arm / 3, arm / 3] : []); // of absent landmarks
    if (options.points) drawCross(context, left, top, arm);
    if (options.radii && found.estimates) {
      const radius = found.estimates.radius95[index];
      drawCircle(context, left, top, model.pixel_size.map((pixel, axis) => (radius / pixel) * scale[axis]));
    }
    context.setLineDash([]);
    if (options.names) drawName(context, model.landmarks[index], left + arm, top - arm / 2);
  });
}

function drawHeatmap(context, scale, { heatmaps, placement }, model, { map, opacity }) {
  const [width, height] = model.size, count = model.landmarks.length;
  const values = new Float32Array(width * height);
  for (let pixel = 0; pixel < values.length; pixel++) {
    const all = heatmaps.subarray(pixel * count, (pixel + 1) * count);
    values[pixel] = map < 0 ? all.reduce((a, b) => Math.max(a, b)) : all[map];
  }
  const highest = values.reduce((a, b) => Math.max(a, b), 1e-9);
  const pixels = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, pixel) => pixels.set([255, 190 * (value / highest), 0, (255 * value) / highest], 4 * pixel));
  const layer = new OffscreenCanvas(width, height);
  layer.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const [left, top] = placement.translation.map((shift, axis) => (-shift / placement.scale[axis]) * scale[axis]);
  context.globalAlpha = opacity;
  context.drawImage(layer, left, top, (width / placement.scale[0]) * scale[0], (height / placement.scale[1]) * scale[1]);
  context.globalAlpha = 1;
}

function drawCross(context, left, top, arm) {
  context.strokeStyle = "#00e5ff";
  context.beginPath();
  context.moveTo(left - arm, top);
  context.lineTo(left + arm, top);
  context.moveTo(left, top - arm);
  context.lineTo(left, top + arm);
  context.stroke();
}

function drawCircle(context, left, top, [across, down]) {
  context.strokeStyle = "#00e5ff";
  context.beginPath();
  context.ellipse(left, top, across, down, 0, 0, 2 * Math.PI);
  context.stroke();
}

function drawName(context, name, left, top) {
  context.strokeStyle = "#000";
  context.fillStyle = "#ffe600";
  context.strokeText(name, left, top);
  context.fillText(name, left, top);
}
