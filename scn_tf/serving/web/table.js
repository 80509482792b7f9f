// Results as files: the CSV of scn-tf predict, and JSON.

/** File name without folders and image extension, the id in tables. */
export function stem(name) {
  return name.replace(/\.[^.]+$/, "") || name;
}

const CALIBRATED = ["expected_error", "radius95", "unit", "present", "image_ok"]; // columns, empty of a model that is not calibrated

/** `id,landmark,x,y,score` and CALIBRATED, one row a point. */
export function csv(results, names) {
  const rows = results.flatMap(({ id, landmarks, scores, estimates }) => names.map((name, n) =>
    [id, name, ...landmarks[n].map((value) => value.toFixed(4)), Number(scores[n].toPrecision(5)), ...cells(estimates, n)]));
  return [["id", "landmark", "x", "y", "score", ...CALIBRATED], ...rows].map((row) => row.map(field).join(",") + "\n").join("");
}

function cells(estimates, n) {
  if (!estimates) return CALIBRATED.map(() => "");
  const { expected_error, radius95, unit, present, image_ok } = estimates;
  return [expected_error[n].toFixed(4), radius95[n].toFixed(4), unit, present?.[n] ?? "", image_ok ?? ""];
}

/** A cell that no spreadsheet executes and that splits no row, as the command's own (scn_tf/tables.py). */
function field(value) {
  let text = String(value);
  if (typeof value === "string") {
    text = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, escaped);
    if (/^'*[=+@\uff1d\uff0b\uff20\uff0d-]/.test(text) && !(text.trim() && Number.isFinite(Number(text)))) text = `'${text}`;
  }
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function escaped(character) {
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  const code = character.charCodeAt(0);
  return named ?? (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`);
}

/** The same as JSON, with the size of every image. */
export function json(results, names, model) {
  const images = results.map(({ id, file, width, height, landmarks, scores, estimates }) => ({
    id,
    file: file.name,
    width,
    height,
    landmarks: names.map((landmark, n) =>
      ({ landmark, x: landmarks[n][0], y: landmarks[n][1], score: scores[n], ...pointEstimates(estimates, n) })),
    ...imageEstimates(estimates),
  }));
  return JSON.stringify({ model, coordinates: "pixel", images }, null, 1) + "\n";
}

function pointEstimates(estimates, n) {
  if (!estimates) return {};
  const { expected_error, radius95, present } = estimates;
  return { expected_error: expected_error[n], radius95: radius95[n], ...(present && { present: present[n] > 0 }) };
}

function imageEstimates(estimates) {
  return estimates ? { error_unit: estimates.unit, ...(estimates.image_ok !== null && { image_ok: estimates.image_ok > 0 }) } : {};
}

/** Let the browser save a text under a name. */
export function download(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The browser reads it after this turn of its loop.
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
}
