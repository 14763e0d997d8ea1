"use strict";
// Asks the server for characters and shows them one by one. shared.js comes before.
const isBytes = () => model?.tokens === "bytes";
const shown = (c) => nameOf(c, isBytes());
const key = (c) => make("kbd", {}, shown(c));

// A token that came with the address goes into every request, and out of sight.
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
if (token !== null) {
  sessionStorage.setItem("token", token); // for when the page is loaded again
  history.replaceState(null, "", location.pathname);
}
const headers = token === null ? {} : { Authorization: `Bearer ${token}` };

let model = null;
let seed = "", written = []; // the prompt, and the generated tokens: {character, nats, alternatives, units, drawnBy}
let current = null; // the request that writes now
let here = null; // the index of the character that is looked at
let pinned = false; // whether it was clicked, and stays

// The units of one layer at one character.

function showUnits(made) {
  const units = made.units[Number($("layer").value) || 0];
  const columns = Math.ceil(Math.sqrt(units.length)), rows = Math.ceil(units.length / columns), canvas = $("units");
  if (canvas.width !== columns || canvas.height !== rows) { canvas.width = columns; canvas.height = rows; }
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  units.forEach((level, unit) => image.data.set([...colorOf((level - 127) / 127), 255], 4 * unit));
  context.putImageData(image, 0, 0);
}
function showUnitsAgain() { // of the character that is looked at, or of the last one
  const made = written[here ?? written.length - 1];
  if (made !== undefined) showUnits(made);
}

// The text. Bytes that are a character in UTF-8 show it in the place of the first; those after it keep a narrow space, so
// that they can be pointed at.

const spanOf = (index) => $("text").querySelector(`[data-index="${index}"]`);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function showByte(index) {
  const { character } = written[index];
  spanOf(index).textContent = /[\n\t -~]/.test(character) ? character : escapedByte(character);
  spanOf(index).classList.remove("rest");
  for (let first = index - 1; first >= Math.max(0, index - 3); first--) {
    try {
      const whole = utf8.decode(Uint8Array.from(written.slice(first, index + 1), (made) => byteOf(made.character)));
      if (Array.from(whole).length > 1 || INVISIBLE.test(whole)) return;
      spanOf(first).textContent = whole;
      for (let k = first + 1; k <= index; k++) {
        spanOf(k).textContent = "\u202f";
        spanOf(k).classList.add("rest");
      }
      return;
    } catch { /* not whole, or no UTF-8 */ }
  }
}
function spanFor(made, index) {
  const { text, isLabel } = inText(made.character), span = make("span", { "data-index": index }, text);
  span.className = isLabel ? "odd" : made.character === "\n" ? "newline" : "";
  paintSpan(span, made.nats / LARGEST_SURPRISAL);
  return span;
}
function append(made) {
  const index = written.push(made) - 1, box = $("text");
  const atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
  box.append(spanFor(made, index));
  if (isBytes()) showByte(index);
  if (atEnd) box.scrollTop = box.scrollHeight;
  if (here === null) showUnits(made);
}
function repaint() { // for another color scheme
  written.forEach((made, index) => paintSpan(spanOf(index), made.nats / LARGEST_SURPRISAL));
  showUnitsAgain();
}
prefersDark.addEventListener("change", repaint);

// One character: what it was drawn from.

const probabilityOf = (made) => made.alternatives.find(([c]) => c === made.character)?.[1] ?? Math.exp(-made.nats);
function ruleOf({ temperature, top_k, top_p }) {
  return `temperature ${temperature}` + (top_k > 0 ? `, top-k ${top_k}` : "") + (top_p < 1 ? `, top-p ${top_p}` : "");
}
function alternativeButton(index, character, probability) {
  const button = make("button", { type: "button" }, key(character), make("span", {}, percent(probability)));
  button.disabled = character === written[index].character;
  button.addEventListener("click", () => branch(index, character));
  return button;
}
function look(index) {
  if (here !== null) spanOf(here)?.classList.remove("here");
  here = spanOf(index) === null ? null : index;
  if (here === null) return;
  spanOf(index).classList.add("here");
  const made = written[index];
  showUnits(made);
  $("details").replaceChildren(
    make("span", {}, key(made.character), `: ${made.nats.toFixed(2)} nats, ${percent(probabilityOf(made))}. Instead:`),
    ...made.alternatives.map(([character, probability]) => alternativeButton(index, character, probability)),
    make("p", { class: "explained" }, "The percentages are the model's own, at temperature 1; this one was "
      + (made.drawnBy === null ? "chosen by you." : `drawn at ${ruleOf(made.drawnBy)}.`)));
}
const say = (text) => { $("said").textContent = text; }; // to screen readers
function step(by) { // with the keyboard
  const from = here ?? (by > 0 ? -1 : written.length);
  pinned = true;
  look(Math.max(0, Math.min(written.length - 1, from + by)));
  spanOf(here).scrollIntoView({ block: "nearest" });
  const made = written[here];
  say(`${shown(made.character)}, ${made.nats.toFixed(2)} nats, ${percent(probabilityOf(made))}`);
}

// The server.

async function complaint(response) { // ours is JSON, the server's own a line
  const text = await response.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text || `the server answered ${response.status}`;
  }
}
function reasonOf(error) { // fetch reports a lost connection as a TypeError with a browser's own words
  if (!(error instanceof TypeError)) return error.message;
  return "the server is gone; start jaxrnn play again and open the page at its new address";
}
async function ask(path, options) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  if (!response.ok) throw new Error(await complaint(response));
  return response;
}
async function* events(response) { // server-sent events: blank lines end them
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => line.split(/: (.*)/s)));
      yield { name: fields.event ?? "message", data: JSON.parse(fields.data) };
    }
  }
}
const number = (id) => Number($(id).value);
const rule = () => Object.fromEntries(["temperature", "top_k", "top_p"].map((id) => [id, number(id)]));
function startWriting(text, drawnBy, signal) {
  return ask("/write", {
    method: "POST", signal, headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: Array.from(text).slice(-model.longest_text).join(""), ...drawnBy,
      length: number("length"), rng_seed: crypto.getRandomValues(new Uint32Array(1))[0] }),
  });
}
function unpackUnits(packed, count) { // of each layer, the units at each of `count` characters
  return packed.map((text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), size = bytes.length / count;
    return Array.from({ length: count }, (_, i) => Array.from(bytes.subarray(i * size, (i + 1) * size)));
  });
}
function* charactersOf(data, drawnBy) {
  const layers = unpackUnits(data.units, data.characters.length);
  for (const [i, made] of data.characters.entries()) yield { ...made, drawnBy, units: layers.map((units) => units[i]) };
}

// Writing. A character is due by the clock, so that timers, which are late, do not slow the text down.

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
function pace() {
  let due = performance.now();
  return async () => {
    const now = performance.now();
    due = Math.max(due, now - 100) + 1000 / number("speed"); // what the server could not deliver is not made up for
    if (due > now) await wait(due - now);
  };
}
async function show(response, drawnBy, signal) { // returns why the server stopped
  const next = pace();
  for await (const { name, data } of events(response)) {
    if (name === "done") return data;
    for (const made of charactersOf(data, drawnBy)) {
      if (signal.aborted) return "";
      append(made);
      await next();
    }
  }
  return "the server stopped in the middle";
}
async function go(text) {
  current?.abort();
  const request = (current = new AbortController()), drawnBy = rule(), first = written.length;
  $("stop").disabled = false;
  $("status").textContent = "";
  say("Writing");
  try {
    const response = await startWriting(text, drawnBy, request.signal);
    const reason = await show(response, drawnBy, request.signal);
    if (!request.signal.aborted) $("status").textContent = reason;
  } catch (error) {
    if (!request.signal.aborted) $("status").textContent = reasonOf(error);
  }
  if (current === request) finish(first);
}
function finish(first) {
  current = null;
  $("stop").disabled = true;
  $("more").disabled = written.length === 0;
  say(written.slice(first).map((made) => made.character).join(""));
}
function begin() {
  if (model === null) return;
  seed = $("seed").value || model.beginning;
  written = [];
  here = null;
  pinned = false;
  $("text").replaceChildren(make("span", { class: "given" }, seed));
  $("details").replaceChildren();
  go(seed);
}
const all = () => seed + written.map((made) => made.character).join("");
function branch(index, character) {
  current?.abort();
  const { alternatives, units } = written[index];
  const probability = alternatives.find(([c]) => c === character)[1];
  written.length = index;
  for (const span of [...$("text").querySelectorAll("[data-index]")]) if (Number(span.dataset.index) >= index) span.remove();
  if (isBytes()) for (let k = Math.max(0, index - 3); k < index; k++) showByte(k); // characters that are now incomplete
  append({ character, nats: -Math.log(probability), alternatives, units, drawnBy: null }); // chosen from the same state
  pinned = true;
  look(index);
  $("text").focus();
  go(all());
}

// The controls.

$("go").addEventListener("click", begin);
$("more").addEventListener("click", () => go(all()));
$("stop").addEventListener("click", () => { current?.abort(); $("stop").disabled = true; });
$("layer").addEventListener("change", showUnitsAgain);
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) begin();
});
$("text").addEventListener("mouseover", (event) => {
  const index = event.target.dataset?.index;
  if (index !== undefined && !pinned) look(Number(index));
});
$("text").addEventListener("click", (event) => {
  const index = event.target.dataset?.index;
  if (index === undefined) return;
  pinned = !(pinned && Number(index) === here);
  look(Number(index));
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Escape") pinned = false;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by === undefined || written.length === 0) return;
  event.preventDefault();
  step(by);
});
const meanings = { top_k: (value) => (value === "0" ? "all" : value), top_p: (value) => (value === "1" ? "all" : value) };
for (const id of ["temperature", "top_k", "top_p", "length", "speed"]) {
  const tell = () => {
    const value = (meanings[id] ?? String)($(id).value);
    $(`${id}-value`).textContent = value;
    $(id).setAttribute("aria-valuetext", value);
  };
  $(id).addEventListener("input", tell);
  tell();
}

// The page.

function sayBytes() { // a byte model has no characters
  for (const part of document.querySelectorAll("label, .explained")) {
    part.firstChild.textContent = part.firstChild.textContent.replaceAll("character", "byte");
  }
}
function present() {
  $("title").textContent = document.title = `Write with ${model.name}`;
  $("about").textContent = isBytes() ? "It reads and writes bytes, and knows all 256."
    : `It knows ${Array.from(model.characters).length} characters.`;
  if (isBytes()) sayBytes();
  $("layer").append(...model.layers.map((name, index) => make("option", { value: index }, name)));
  document.body.dataset.ready = "true";
}
(async () => {
  try {
    model = await (await ask("/model", {})).json();
    present();
  } catch (error) {
    $("about").textContent = `The server does not answer: ${reasonOf(error)}`;
    $("go").disabled = true;
  }
})();
