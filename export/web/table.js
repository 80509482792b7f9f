// Results as files: the CSV of scn-tf predict, and JSON.

/** File name without folders and image extension, the id in tables. */
export function stem(name) {
  return name.replace(/\.[^.]+$/, "") || name;
}

/** `id,landmark,x,y,score`, one row a point. */
export function csv(results, names) {
  const rows = results.flatMap(({ id, landmarks, scores }) =>
    names.map((name, n) => [id, name, ...landmarks[n].map((value) => value.toFixed(4)), Number(scores[n].toPrecision(5))]));
  return [["id", "landmark", "x", "y", "score"], ...rows].map((row) => row.map(field).join(",") + "\n").join("");
}

function field(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The same as JSON, with the size of every image. */
export function json(results, names, model) {
  const images = results.map(({ id, file, width, height, landmarks, scores }) => ({
    id,
    file: file.name,
    width,
    height,
    landmarks: names.map((landmark, n) => ({ landmark, x: landmarks[n][0], y: landmarks[n][1], score: scores[n] })),
  }));
  return JSON.stringify({ model, coordinates: "pixel", images }, null, 1) + "\n";
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
