// From an image file to pixels as they are stored: no colour management, no turning by EXIF, as Python reads it.

import { decode as decodePng } from "fast-png";

export const MOST_PIXELS = 64e6; // of an image: what its decoded form takes would end the page

const PNG = [0x89, 0x50, 0x4e, 0x47], GIF = [0x47, 0x49, 0x46], BMP = [0x42, 0x4d], JPEG = [0xff, 0xd8, 0xff];

/**
 * @param {File} file
 * @returns {Promise<{width, height, channels, data, depth}>} interleaved numbers; depth 8 or 16 bits.
 * @throws {Error} no image, damaged, or too large; the message is for the user and does not name the file.
 */
export async function decode(file) {
  if (file.size > 4 * MOST_PIXELS) throw new Error(`is too large: ${file.size} bytes, expected at most ${4 * MOST_PIXELS}.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const starts = (magic) => magic.every((byte, index) => bytes[index] === byte);
  const view = new DataView(bytes.buffer);
  try {
    if (starts(PNG)) {
      if (String.fromCharCode(...bytes.subarray(12, 16)) !== "IHDR") throw new Error("damaged PNG"); // its size is elsewhere
      refuseLarge(view.getUint32(16), view.getUint32(20));
      // A browser's canvas keeps 8 bits a channel. Palettes and fewer bits than 8 lose nothing there.
      if (bytes[24] >= 8 && bytes[25] !== 3) return checked(decodePng(bytes));
    }
    if (starts(GIF)) refuseLarge(view.getUint16(6, true), view.getUint16(8, true));
    if (starts(BMP)) refuseLarge(view.getInt32(18, true), view.getInt32(22, true));
    return await browserDecoded(starts(JPEG) ? plainJpeg(bytes, view) : [bytes]);
  } catch (error) {
    if (error instanceof TooLarge) throw error;
    throw new Error("cannot be read as an image; expected PNG, JPEG, BMP, GIF or WebP.", { cause: error });
  }
}

class TooLarge extends Error {}

function refuseLarge(width, height) {
  const pixels = Math.abs(width * height);
  if (pixels > MOST_PIXELS) {
    throw new TooLarge(`is too large: ${Math.abs(width)} x ${Math.abs(height)} pixels; expected at most ${MOST_PIXELS / 1e6} million.`);
  }
}

function checked({ width, height, channels, data, depth }) {
  if (data.length !== width * height * channels) throw new Error("fewer pixels than the header says");
  return { width, height, channels, data, depth };
}

/**
 * The parts of a JPEG without its EXIF and colour profile, which browsers would apply.
 * Segments: 0xff, marker, length of what follows with the length's own two bytes.
 */
function plainJpeg(bytes, view) {
  const parts = [bytes.subarray(0, 2)];
  for (let at = 2; ; ) {
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at += 1; // padding is allowed there
    const marker = bytes[at + 1], end = at + 2 + view.getUint16(at + 2);
    if (bytes[at] !== 0xff || end > bytes.length) throw new Error("damaged JPEG");
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) refuseLarge(view.getUint16(at + 7), view.getUint16(at + 5));
    if (marker === 0xda) return [...parts, bytes.subarray(at)]; // the pixels begin
    if (marker !== 0xe1 && marker !== 0xe2) parts.push(bytes.subarray(at, end));
    at = end;
  }
}

async function browserDecoded(parts) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob(parts), options);
  try {
    const { width, height } = bitmap;
    refuseLarge(width, height);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { width, height, channels: 4, depth: 8, data: context.getImageData(0, 0, width, height).data };
  } finally {
    bitmap.close();
  }
}
