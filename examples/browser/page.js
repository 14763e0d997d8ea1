// The page: opens a model file, samples from it, and shows the text. Text is only set as textContent, never as HTML.
const $ = (id) => document.getElementById(id);

let model = null; // the open model
let opening = null, writing = null; // identities of the current tasks; a task that sees another object there has been replaced

const number = new Intl.NumberFormat("en");
const pause = () => new Promise((resolve) => setTimeout(resolve)); // lets the browser redraw and handle clicks

function complain(message) {
  $("error").textContent = message;
  $("error").hidden = message === "";
}

function show(state) {
  document.body.dataset.state = state; // empty, opening, ready, writing
  $("write").disabled = state !== "ready";
  $("stop").disabled = state !== "writing";
}

async function open(name, getBytes) {
  const here = (opening = {});
  writing = null;
  complain("");
  show("opening");
  $("about").textContent = `Opening ${name}…`;
  model?.release();
  model = null;
  try {
    const { openModel } = await library;
    const opened = await openModel(new Uint8Array(await getBytes()));
    if (opening !== here) return opened.release();
    model = opened;
    const layers = model.about.layers.map((layer) => [layer.type, layer.size].filter((part) => part !== undefined).join(" "));
    const alphabet = model.about.vocabulary.tokens === "bytes" ? "reads bytes" : `has a vocabulary of ${number.format(model.about.size)} characters`;
    $("about").textContent = `${model.about.name || name}: ${layers.join(", ")}; it ${alphabet}.`;
    show("ready");
  } catch (error) {
    if (opening !== here) return;
    $("about").textContent = "Choose another file.";
    complain(`${name}: ${error.message}`);
    show("empty");
  }
}

async function write() {
  const here = (writing = {});
  const rngSeed = $("rng_seed").value === "" ? crypto.getRandomValues(new Uint32Array(1))[0] : Number($("rng_seed").value);
  const options = { length: Math.max(1, Math.floor(Number($("length").value)) || 1), temperature: Number($("temperature").value), rngSeed };
  $("given").textContent = $("seed").value;
  $("written").textContent = $("status").textContent = "";
  complain("");
  show("writing");
  const start = performance.now();
  let count = 0, waiting = "", shown = start;
  const update = (end) => {
    const box = $("text"), atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
    $("written").append(waiting); // a text node
    waiting = "";
    const speed = Math.round((1000 * count) / Math.max(1, performance.now() - start));
    $("status").textContent = `${number.format(count)} characters, ${number.format(speed)} characters/s, RNG seed ${rngSeed}${end}`;
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  try {
    for await (const piece of model.sample($("seed").value, options)) {
      waiting += piece;
      count++;
      if (performance.now() - shown < 30) continue;
      update("");
      await pause();
      if (writing !== here) break;
      shown = performance.now();
    }
    update(writing === here ? "" : ", stopped");
  } catch (error) {
    complain(error.message);
  }
  if (writing === here || document.body.dataset.state === "writing") show("ready");
}

$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file !== undefined) open(file.name, () => file.arrayBuffer());
});
$("write").addEventListener("click", write);
$("stop").addEventListener("click", () => { writing = null; });
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("write").disabled) write();
});
const showTemperature = () => { $("temperature-value").textContent = $("temperature").value; };
$("temperature").addEventListener("input", showTemperature);
showTemperature();

show("empty");
const library = import("./model.js").catch(() => {
  throw new Error("onnxruntime-web is missing: run `npm install` in the folder of this page, and reload");
});
library.catch((error) => complain(error.message));

// ?model=shakespeare.onnx opens a file from the folder of the page.
const requested = new URLSearchParams(location.search).get("model");
if (requested !== null) {
  open(requested, async () => {
    const response = await fetch(requested).catch(() => null); // the page's policy forbids other hosts
    if (!response?.ok) throw new Error("not found in the folder of this page; check the name");
    return response.arrayBuffer();
  });
}
