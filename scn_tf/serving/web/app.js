// The page: files in, one after the other; picture, table and downloads out.

import { decode } from "./decode.js";
import { draw, preview } from "./draw.js";
import { loadNetwork } from "./network.js";
import { csv, download, json, stem } from "./table.js";

const MAX_MESSAGE = 500;
const at = (id) => document.getElementById(id);
const results = new Map(); // id -> {id, file, width, height, landmarks, scores, estimates}; pixels and heatmaps are kept of the shown image alone
const known = new Set(); // ids of results and of files in the queue
let network = null; // {model, find}
let shown = null; // {id, image, bitmap, found}
let work = Promise.resolve(); // one image at a time, in order
let waiting = 0, done = 0;

function say(text) {
  at("status").textContent = text;
}

function complain(text) {
  const item = document.createElement("li");
  item.textContent = text.length > MAX_MESSAGE ? text.slice(0, MAX_MESSAGE) + "…" : text;
  at("errors").append(item);
}

/** Find the landmarks of a file and show them. Until all is there the page keeps what it showed before. */
async function analyse(id, file) {
  const image = await decode(file);
  const found = await network.find(image);
  const bitmap = await preview(image);
  shown?.bitmap.close();
  shown = { id, image, bitmap, found };
  const { landmarks, scores, estimates } = found;
  results.set(id, { id, file, width: image.width, height: image.height, landmarks, scores, estimates });
  show();
  if (estimates?.image_ok === 0) complain(`${file.name}: note: it is not like the images that the model was trained on; do not trust its points.`);
  if (image.orientation === 1) return;
  complain(`${file.name}: note: EXIF says to turn it (orientation ${image.orientation}); landmarks are in its pixels as stored, not turned.`);
}

/** Put a step behind all others; whatever one throws, the next is done. */
function enqueueStep(step) {
  work = work.then(step).catch((error) => {
    console.error(error);
    complain(`The page failed: ${error.message}`);
  });
}

/** Put a file into the queue. */
function enqueue(id, file) {
  waiting += 1;
  enqueueStep(async () => {
    if (!network) return;
    at("progress").hidden = false;
    say(`Finding landmarks in ${file.name} …`);
    await new Promise((resolve) => setTimeout(resolve)); // let the page be painted
    try {
      await analyse(id, file);
    } catch (error) {
      console.error(error);
      complain(`${file.name}: ${error?.message ?? error}`);
      if (!results.has(id)) known.delete(id);
      if (shown) at("shown").value = shown.id;
    }
    done += 1;
    at("progress").value = done / waiting;
    if (done < waiting) return;
    [waiting, done] = [0, 0];
    at("progress").hidden = true;
    say(`${results.size} image${results.size === 1 ? "" : "s"}, ${network.model.landmarks.length} landmarks each.`);
  });
}

function take(files) {
  at("errors").replaceChildren();
  for (const file of files) {
    const id = stem(file.name);
    if (known.has(id)) complain(`${file.name}: the ID ${id} came before; skipped. Clear the results to use it again.`);
    else enqueue(id, file);
    known.add(id);
  }
}

function show() {
  at("results").hidden = false;
  at("shown").replaceChildren(...[...results.keys()].map((id) => new Option(id, id, false, id === shown.id)));
  const { landmarks, scores, estimates } = shown.found;
  at("rows").replaceChildren(...network.model.landmarks.map((name, n) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const texts = [...landmarks[n].map((value) => value.toFixed(1)), scores[n].toPrecision(3)];
    if (estimates) texts.push(estimates.expected_error[n].toFixed(2) + (estimates.present?.[n] === 0 ? " (absent)" : ""));
    for (const text of texts) row.insertCell().textContent = text;
    return row;
  }));
  redraw();
}

function redraw() {
  if (!shown) return;
  draw(at("picture"), shown, network.model, {
    points: at("points").checked,
    radii: at("radii").checked,
    names: at("names").checked,
    overlay: at("overlay").checked,
    map: Number(at("map").value),
    opacity: Number(at("opacity").value),
  });
}

function clear() {
  results.clear();
  known.clear();
  shown?.bitmap.close();
  shown = null;
  at("results").hidden = true;
  at("errors").replaceChildren();
  say("Ready.");
}

function listen() {
  at("choose").addEventListener("click", () => at("files").click());
  at("files").addEventListener("change", () => {
    take([...at("files").files]);
    at("files").value = ""; // the same file can be chosen again
  });
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault(); // else the browser would open the file
      document.body.classList.toggle("over", type === "dragover");
      if (type === "drop") take([...event.dataTransfer.files]);
    });
  }
  for (const id of ["points", "radii", "names", "overlay", "map", "opacity"]) at(id).addEventListener("input", redraw);
  at("shown").addEventListener("change", () => enqueue(at("shown").value, results.get(at("shown").value).file));
  at("csv").addEventListener("click", () => download(csv([...results.values()], network.model.landmarks), "predictions.csv", "text/csv"));
  at("json").addEventListener("click", () => {
    download(json([...results.values()], network.model.landmarks, network.model.name), "predictions.json", "application/json");
  });
  at("clear").addEventListener("click", () => enqueueStep(clear));
}

async function start() {
  network = await loadNetwork();
  const { name, landmarks, size, error_unit } = network.model;
  at("model").textContent = `– ${name}, ${landmarks.length} points, ${size.join(" x ")} pixels`;
  at("map").replaceChildren(new Option("all", -1), ...landmarks.map((landmark, n) => new Option(landmark, n)));
  for (const part of document.querySelectorAll(".calibrated")) part.hidden = !error_unit;
  at("error_unit").textContent = error_unit;
  say("Ready.");
}

if (!self.tooOld) listen(); // old.js has said so
work = self.tooOld ? work : start().catch((error) => {
  console.error(error);
  say("The network could not be loaded.");
  complain(`The network could not be loaded (${error.message}). Build the page anew with: scn-tf demo RUN`);
});
