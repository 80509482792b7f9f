// From an image file to pixels as they are stored: no colour management, no turning by EXIF, as Python reads it.

import { decode as decodePng } from "fast-png";
import { Unusable, wholeBmp, wholeJpeg, wholePng } from "./check.js";

export const MAX_PIXELS = 64e6; // of an image: what its decoded form takes would end the page

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], BMP = [0x42, 0x4d], JPEG = [0xff, 0xd8, 0xff];
const PICTURES = "save it as PNG", VOLUMES = "use scn-tf predict";
// [name, what to use, where its first bytes begin, these]
const OTHERS = [
  ["GIF", PICTURES, 0, "GIF8"],
  ["WebP", PICTURES, 8, "WEBP"],
  ["AVIF or HEIC", PICTURES, 4, "ftyp"],
  ["JPEG XL", PICTURES, 0, "\xff\x0a"],
  ["JPEG XL", PICTURES, 4, "JXL "],
  ["JPEG 2000", PICTURES, 4, "jP  "],
  ["ICO", PICTURES, 0, "\0\0\x01\0"],
  ["SVG", PICTURES, 0, "<"],
  ["PDF", PICTURES, 0, "%PDF"],
  ["TIFF", VOLUMES, 0, "II*\0"],
  ["TIFF", VOLUMES, 0, "MM\0*"],
  ["DICOM", VOLUMES, 128, "DICM"],
  ["packed", VOLUMES, 0, "\x1f\x8b"],
  ["NRRD", VOLUMES, 0, "NRRD"],
  ["MetaImage", VOLUMES, 0, "ObjectType"],
  ["NIfTI", VOLUMES, 344, "n+1"],
];

/**
 * @param {File} file
 * @returns {Promise<{width, height, channels, data, depth, orientation}>} interleaved numbers; depth 8 or 16 bits; orientation that EXIF
 *   states, 1 to 8, which is not applied.
 * @throws {Error} no image, damaged, or too large; the message is for the user and does not name the file.
 */
export async function decode(file) {
  if (file.size > 4 * MAX_PIXELS) throw new Error(`is too large: ${file.size} bytes, expected at most ${4 * MAX_PIXELS}.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const starts = (magic) => magic.every((byte, index) => bytes[index] === byte);
  const view = new DataView(bytes.buffer);
  try {
    if (starts(PNG)) return await png(bytes, view);
    if (starts(JPEG)) {
      const { parts, orientation, width, height } = wholeJpeg(bytes, view);
      checkSize(width, height);
      return { ...(await browserDecoded(parts, width, height)), orientation };
    }
    if (starts(BMP)) {
      wholeBmp(bytes, view);
      const [width, height] = [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
      checkSize(width, height);
      return { ...(await browserDecoded([bytes], width, height)), orientation: 1 };
    }
  } catch (error) {
    if (error instanceof TooLarge) throw error;
    const reason = error instanceof Unusable ? ` (${error.message})` : "";
    throw new Error(`cannot be read as an image${reason}; expected PNG, JPEG or BMP.`, { cause: error });
  }
  throw new Error(unknown(bytes));
}

class TooLarge extends Error {}

function unknown(bytes) {
  const head = String.fromCharCode(...bytes.subarray(0, 400)).replace(/^(\xef\xbb\xbf)?\s+/, "");
  for (const [name, use, at, magic] of OTHERS) {
    if (head.startsWith(magic, at)) return `is ${name}, which this page does not read: ${use}.`;
  }
  return `cannot be read as an image${bytes.length ? "" : " (it is empty)"}; expected PNG, JPEG or BMP.`;
}

function checkSize(width, height) {
  if (!(width > 0 && height > 0)) throw new Unusable(`it has ${width} x ${height} pixels`);
  if (width * height > MAX_PIXELS) {
    throw new TooLarge(`is too large: ${width} x ${height} pixels; expected at most ${MAX_PIXELS / 1e6} million.`);
  }
}

async function png(bytes, view) {
  if (bytes.length < 33) throw new Unusable("it is cut short");
  if (String.fromCharCode(...bytes.subarray(12, 16)) !== "IHDR") throw new Unusable("it is damaged"); // its size is elsewhere
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  checkSize(width, height);
  const { parts, orientation } = await wholePng(bytes, view);
  // A browser's canvas keeps 8 bits a channel. Palettes and fewer bits than 8 lose nothing there.
  if (bytes[24] < 8 || bytes[25] === 3) return { ...(await browserDecoded(parts, width, height)), orientation };
  const { channels, data, depth } = decodePng(new Uint8Array(await new Blob(parts).arrayBuffer()));
  if (data.length !== width * height * channels) throw new Unusable("it is cut short");
  return { width, height, channels, data, depth, orientation };
}

async function browserDecoded(parts, width, height) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob(parts), options);
  try {
    if (bitmap.width !== width || bitmap.height !== height) throw new Unusable("its size is not that of its header");
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return { width, height, channels: 4, depth: 8, data: context.getImageData(0, 0, width, height).data };
  } finally {
    bitmap.close();
  }
}
