// The exported network in LiteRT.js: an image's pixels in, landmarks in these pixels out.

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";
import { fit, lengthOfInputPixel, networkInput, toImage } from "./prepare.js";

/**
 * Load the runtime and the network beside this page.
 * @returns {Promise<{model, find}>} model: model.json; find: see below.
 */
export async function loadNetwork() {
  const model = await (await answered("model.json")).json();
  const content = new Uint8Array(await (await answered("model.tflite")).arrayBuffer());
  const runtime = new URL("vendor/@litertjs/core/wasm/", document.baseURI).href;
  // Threads need two headers that scn-tf demo sends and other servers may not, and relaxed SIMD of the browser.
  if (!self.crossOriginIsolated) await loadLiteRt(runtime);
  else await loadLiteRt(runtime, { threads: true }).catch(() => loadLiteRt(runtime));
  const compiled = await loadAndCompile(content, { accelerator: "wasm" });
  return { model, find: (image) => find(compiled, model, image) };
}

async function answered(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: the server answered ${answer.status} ${answer.statusText}`);
  return answer;
}

/**
 * @param image of decode().
 * @returns {Promise<{landmarks: number[][], scores: number[], estimates, heatmaps: Float32Array, placement}>} landmarks [x, y] in
 *   pixels of the image; estimates: see below; heatmaps (H, W, N) of the network's input; placement of the image in it.
 */
async function find(compiled, model, image) {
  const [width, height] = model.size;
  const placement = fit(image, model);
  const input = new Tensor(networkInput(image, placement, model), [1, height, width, model.channels]);
  const outputs = await compiled.run({ image: input }).finally(() => input.delete());
  try {
    const [points, scores, heatmaps] = await Promise.all(["landmarks", "scores", "heatmaps"].map((name) => outputs[name].data()));
    const pairs = model.landmarks.map((_, n) => [points[2 * n], points[2 * n + 1]]);
    const estimates = model.error_unit && (await readEstimates(outputs, model, placement));
    return { landmarks: toImage(pairs, placement), scores: Array.from(scores), estimates, heatmaps: heatmaps.slice(), placement };
  } finally {
    Object.values(outputs).forEach((tensor) => tensor.delete());
  }
}

/**
 * How far the points can be trusted, as scn_tf.types.Estimates; null of a model that is not calibrated.
 * @returns {Promise<{unit: string, expected_error: number[], radius95: number[], present: number[]?, image_ok: number?}>}
 */
async function readEstimates(outputs, model, placement) {
  const length = lengthOfInputPixel(placement, model);
  const read = async (name) => name in outputs ? Array.from(await outputs[name].data()) : null;
  const [errors, radii, present, ok] = await Promise.all(["expected_error", "radius95", "present", "image_ok"].map(read));
  const [expected_error, radius95] = [errors, radii].map((values) => values.map((value) => value * length));
  return { unit: model.error_unit, expected_error, radius95, present, image_ok: ok && ok[0] };
}
