// Whether an image file is whole, and of a kind that is read as scn-tf reads it: the twin of scn_tf/data/encoded.py.
// Browsers fill what is missing with grey; a point found there would be wrong without an error.

const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] }; // of a PNG, by colour type
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const NEEDED = ["IHDR", "PLTE", "IDAT", "IEND"]; // what says the pixels; profiles, transparency and EXIF do not change them here
const CUT = "it is cut short", DAMAGED = "it is damaged";

export class Unusable extends Error {} // the message is for the user

const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));

/**
 * Chunks of a PNG, their checksums compared, and the pixels' length, unpacked for it.
 * @returns {Promise<{parts: Uint8Array[], orientation: number}>} parts: the file without what does not say pixels.
 */
export async function wholePng(bytes, view) {
  const parts = [bytes.subarray(0, 8)], packed = [];
  let orientation = 1;
  for (let at = 8, kind = ""; kind !== "IEND"; ) {
    if (at + 12 > bytes.length) throw new Unusable(CUT);
    kind = text(bytes, at + 4, at + 8);
    const start = at + 8, end = start + view.getUint32(at);
    if (!/^[A-Za-z]{4}$/.test(kind)) throw new Unusable(DAMAGED);
    if (end + 4 > bytes.length) throw new Unusable(CUT);
    if (crc(bytes.subarray(at + 4, end)) !== view.getUint32(end)) throw new Unusable(DAMAGED);
    if (kind === "acTL") throw new Unusable("it is animated; save one of its frames");
    if (kind === "eXIf") orientation = turned(bytes.subarray(start, end));
    if (kind === "IDAT") packed.push(bytes.subarray(start, end));
    if (NEEDED.includes(kind)) parts.push(bytes.subarray(at, end + 4));
    at = end + 4;
  }
  const promised = pngLength(bytes, view);
  let count = 0;
  const reader = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => { throw new Unusable(CUT + " or damaged"); });
    if (done) break;
    count += value.length;
    if (count > promised) {
      await reader.cancel();
      throw new Unusable("it has more pixels than its header promises");
    }
  }
  if (count !== promised) throw new Unusable(CUT);
  return { parts, orientation };
}

/** Bytes of the unpacked rows that a PNG's header promises. */
function pngLength(bytes, view) {
  const [width, height, depth, colour] = [view.getUint32(16), view.getUint32(20), bytes[24], bytes[25]];
  if (!DEPTHS[colour]?.includes(depth) || bytes[26] || bytes[27] || bytes[28] > 1) throw new Unusable(DAMAGED);
  const row = (columns) => Math.ceil((columns * depth * CHANNELS[colour]) / 8) + 1;
  if (!bytes[28]) return height * row(width);
  return ADAM7.reduce((sum, [x, y, dx, dy]) =>
    sum + (width > x && height > y ? Math.ceil((height - y) / dy) * row(Math.ceil((width - x) / dx)) : 0), 0);
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc(bytes) {
  let sum = 0xffffffff;
  for (let k = 0; k < bytes.length; k++) sum = CRC[(sum ^ bytes[k]) & 0xff] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

/**
 * Segments of a JPEG up to its end marker. What is between the markers only the decoder knows.
 * Segments: 0xff, marker, length of what follows with the length's own two bytes.
 * @returns {{parts: Uint8Array[], orientation: number, width: number, height: number}} parts: the file without its EXIF and colour
 *   profile, which browsers would apply.
 */
export function wholeJpeg(bytes, view) {
  const parts = [bytes.subarray(0, 2)];
  let orientation = 0, size = null, scans = 0;
  for (let at = 2; ; ) {
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at += 1; // padding is allowed there
    if (at + 1 >= bytes.length) throw new Unusable(CUT);
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0xdc || marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8)) throw new Unusable(DAMAGED);
    if (marker === 0xd9) {
      if (!scans || !size) throw new Unusable(CUT);
      parts.push(bytes.subarray(at, at + 2));
      return { parts, orientation: orientation || 1, ...size };
    }
    if (at + 4 > bytes.length) throw new Unusable(CUT);
    let end = at + 2 + view.getUint16(at + 2);
    if (end > bytes.length) throw new Unusable(CUT);
    if (end < at + 4) throw new Unusable(DAMAGED);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) size = frame(bytes, view, at, marker);
    if (marker === 0xe1 && !orientation && text(bytes, at + 4, at + 8) === "Exif") orientation = turned(bytes.subarray(at + 10, end));
    if (marker === 0xda) {
      scans += 1;
      while (end < bytes.length && !(bytes[end] === 0xff && bytes[end + 1] !== 0 && !(bytes[end + 1] >= 0xd0 && bytes[end + 1] <= 0xd7))) end += 1;
    }
    if (marker !== 0xe1 && marker !== 0xe2) parts.push(bytes.subarray(at, end));
    at = end;
  }
}

function frame(bytes, view, at, marker) {
  const [depth, height, width, colours] = [bytes[at + 4], view.getUint16(at + 5), view.getUint16(at + 7), bytes[at + 9]];
  if (marker > 0xc2 || depth !== 8) throw new Unusable("it is a lossless, arithmetic or hierarchical JPEG; save it as a baseline JPEG or PNG");
  if (colours !== 1 && colours !== 3) throw new Unusable("it is a JPEG of four colours (CMYK) or two; save it as grey or RGB");
  return { width, height };
}

/** A BMP is as long as its header promises, and its pixels are stored plainly. */
export function wholeBmp(bytes, view) {
  if (bytes.length < 54) throw new Unusable(CUT);
  const [promised, start, header] = [2, 10, 14].map((at) => view.getUint32(at, true));
  const [width, height] = [18, 22].map((at) => view.getInt32(at, true));
  const bits = view.getUint16(28, true), packing = view.getUint32(30, true);
  const plain = packing === 0 ||
    (packing === 3 && bits === 32 && bytes.length >= 66 && [0xff0000, 0xff00, 0xff].every((mask, k) => view.getUint32(54 + 4 * k, true) === mask));
  if (header < 40 || !plain) throw new Unusable("it is a BMP that is packed or of an old kind; save it as PNG");
  if (width <= 0 || height === 0 || start < 14 + header) throw new Unusable(DAMAGED);
  if (Math.max(promised, start + Math.abs(height) * Math.ceil((width * bits) / 32) * 4) > bytes.length) throw new Unusable(CUT);
}

/** Orientation 1 to 8 of EXIF data, 1 where nothing or nothing readable says so. */
function turned(block) {
  try {
    const view = new DataView(block.buffer, block.byteOffset, block.length), order = text(block, 0, 4);
    if (order !== "II*\0" && order !== "MM\0*") return 1;
    const little = order[0] === "I", start = view.getUint32(4, little);
    for (let k = 0; k < view.getUint16(start, little); k++) {
      const at = start + 2 + 12 * k;
      if (view.getUint16(at, little) !== 0x0112) continue;
      const value = view.getUint16(at + 8, little);
      return view.getUint16(at + 2, little) === 3 && view.getUint32(at + 4, little) === 1 && value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}
