"use strict";
// Asks the server for characters and shows them one by one. Text only ever goes into textContent.
const $ = (id) => document.getElementById(id);
const make = (tag, text) => { const node = document.createElement(tag); if (text !== undefined) node.textContent = text; return node; };
const byteOf = (c) => c.charCodeAt(0) % 0xdc00; // of a model of bytes: from 0x80 on, a lone surrogate stands for it
const isBytes = () => model?.tokens === "bytes";
const escaped = (c) => "\\x" + byteOf(c).toString(16).padStart(2, "0");
const shown = (c) => ({ "\n": "\u21b5", " ": "\u2423", "\t": "\u21e5" })[c]
  ?? (isBytes() && !/[!-~]/.test(c) ? escaped(c) : null)
  ?? (/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/u.test(c) ? "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") : c);

// A token that came with the address goes into every request, and out of sight.
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
if (token !== null) {
  sessionStorage.setItem("token", token); // for when the page is loaded again
  history.replaceState(null, "", location.pathname);
}
const headers = token === null ? {} : { Authorization: `Bearer ${token}` };

let model = null;
let seed = "", written = []; // the prompt, and the generated tokens: {character, nats, alternatives, units}
let current = null; // the request that writes now
let here = null; // the character that is looked at
let pinned = null; // the index of one that was clicked, and stays

// Colours, as on the page of `jaxrnn inspect`.
const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
function colourOf(share) { // from -1 to 1
  const middle = isDark() ? [20, 23, 27] : [255, 255, 255];
  const end = share < 0 ? (isDark() ? [74, 144, 226] : [29, 90, 172]) : (isDark() ? [240, 150, 50] : [200, 90, 0]);
  return middle.map((value, i) => Math.round(value + (end[i] - value) * Math.min(1, Math.abs(share))));
}
const luminance = ([r, g, b]) => [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const css = (rgb) => `rgb(${rgb.join(",")})`;

function showUnits(units) {
  const columns = Math.ceil(Math.sqrt(units.length)), rows = Math.ceil(units.length / columns);
  const canvas = $("units");
  if (canvas.width !== columns || canvas.height !== rows) { canvas.width = columns; canvas.height = rows; }
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  units.forEach((level, unit) => image.data.set([...colourOf((level - 127) / 127), 255], 4 * unit));
  context.putImageData(image, 0, 0);
}

// Bytes that are a character in UTF-8 show it in the place of the first; those after it keep a narrow space, so that
// they can be pointed at.
const spanOf = (index) => $("text").querySelector(`[data-index="${index}"]`);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
function showByte(index) {
  const { character } = written[index];
  spanOf(index).textContent = /[\n\t -~]/.test(character) ? character : escaped(character);
  spanOf(index).classList.remove("rest");
  for (let first = index - 1; first >= Math.max(0, index - 3); first--) {
    try {
      const whole = utf8.decode(Uint8Array.from(written.slice(first, index + 1), (made) => byteOf(made.character)));
      if (Array.from(whole).length > 1 || /[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/u.test(whole)) return;
      spanOf(first).textContent = whole;
      for (let k = first + 1; k <= index; k++) {
        spanOf(k).textContent = "\u202f";
        spanOf(k).classList.add("rest");
      }
      return;
    } catch { /* not whole, or no UTF-8 */ }
  }
}

function append(made) {
  const index = written.push(made) - 1, span = make("span", made.character);
  span.dataset.index = index;
  if (made.character === "\n") span.className = "newline";
  const rgb = colourOf(made.nats / 6);
  span.style.backgroundColor = css(rgb);
  span.style.color = luminance(rgb) > 0.179 ? "#000000" : "#ffffff";
  const box = $("text"), atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
  box.append(span);
  if (isBytes()) showByte(index);
  if (atEnd) box.scrollTop = box.scrollHeight;
  showUnits(made.units);
}

function look(index) {
  here?.classList.remove("here");
  here = spanOf(index);
  if (here === null) return;
  here.classList.add("here");
  const made = written[index];
  showUnits(made.units);
  const parts = [make("span", `${shown(made.character)}: ${made.nats.toFixed(2)} nats, ${(100 * Math.exp(-made.nats)).toFixed(1)} %. Instead:`)];
  for (const [character, probability] of made.alternatives) {
    const button = make("button");
    button.type = "button";
    button.append(make("kbd", shown(character)), make("span", `${(100 * probability).toFixed(1)} %`));
    button.disabled = character === made.character;
    button.addEventListener("click", () => branch(index, character));
    parts.push(button);
  }
  $("details").replaceChildren(...parts);
}

async function complaint(response) { // ours is JSON, the server's own a line
  const text = await response.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text || `the server answered ${response.status}`;
  }
}
const settings = () => Object.fromEntries(["temperature", "top_k", "top_p", "length"].map((id) => [id, Number($(id).value)]));
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

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

async function go(text) {
  current?.abort();
  const request = (current = new AbortController());
  $("stop").disabled = false;
  $("status").textContent = "";
  try {
    const response = await fetch("/write", {
      method: "POST", signal: request.signal, headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify({ text: Array.from(text).slice(-model.longest_text).join(""), ...settings(),
        rng_seed: crypto.getRandomValues(new Uint32Array(1))[0], layer: Number($("layer").value) }),
    });
    if (!response.ok) throw new Error(await complaint(response));
    for await (const { name, data } of events(response)) {
      if (name === "done") { $("status").textContent = data; break; }
      const bytes = Uint8Array.from(atob(data.units), (c) => c.charCodeAt(0)), count = bytes.length / data.characters.length;
      for (const [i, made] of data.characters.entries()) {
        if (request.signal.aborted) return;
        append({ ...made, units: Array.from(bytes.subarray(i * count, (i + 1) * count)) });
        await wait(1 / Number($("speed").value));
      }
    }
  } catch (error) {
    if (!request.signal.aborted) $("status").textContent = `${error.message}`;
  } finally {
    if (current === request) {
      current = null;
      $("stop").disabled = true;
      $("more").disabled = written.length === 0;
    }
  }
}
function begin() {
  if (model === null) return;
  seed = $("seed").value || model.beginning;
  written = [];
  here = pinned = null;
  const given = make("span", seed);
  given.className = "given";
  $("text").replaceChildren(given);
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
  append({ character, nats: -Math.log(probability), alternatives, units }); // chosen from the same state
  look((pinned = index));
  $("text").focus();
  go(all());
}

$("go").addEventListener("click", begin);
$("more").addEventListener("click", () => go(all()));
$("stop").addEventListener("click", () => { current?.abort(); $("stop").disabled = true; });
$("seed").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) begin();
});
$("text").addEventListener("mouseover", (event) => {
  const index = event.target.dataset?.index;
  if (index !== undefined && pinned === null) look(Number(index));
});
$("text").addEventListener("click", (event) => {
  const index = event.target.dataset?.index;
  if (index === undefined) return;
  pinned = Number(index) === pinned ? null : Number(index);
  look(Number(index));
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Escape") pinned = null;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined || written.length === 0) return;
  event.preventDefault();
  const from = here === null ? (step > 0 ? -1 : written.length) : Number(here.dataset.index);
  look((pinned = Math.max(0, Math.min(written.length - 1, from + step))));
});
const meanings = { top_k: (value) => (value === "0" ? "all" : value), top_p: (value) => (value === "1" ? "all" : value) };
for (const id of ["temperature", "top_k", "top_p", "length", "speed"]) {
  const tell = () => { $(`${id}-value`).textContent = (meanings[id] ?? String)($(id).value); };
  $(id).addEventListener("input", tell);
  tell();
}

(async () => {
  try {
    const response = await fetch("/model", { headers });
    if (!response.ok) throw new Error(await complaint(response));
    model = await response.json();
  } catch (error) {
    $("about").textContent = `The server does not answer: ${error.message}`;
    $("go").disabled = true;
    return;
  }
  $("title").textContent = document.title = `Write with ${model.name}`;
  $("about").textContent = isBytes() ? "It reads and writes bytes, and knows all 256."
    : `It knows ${Array.from(model.characters).length} characters.`;
  if (isBytes()) for (const part of document.querySelectorAll("label, .explained")) {
    part.firstChild.textContent = part.firstChild.textContent.replaceAll("character", "byte");
  }
  model.layers.forEach((name, index) => {
    const option = make("option", name);
    option.value = index;
    $("layer").append(option);
  });
  document.body.dataset.ready = "true";
})();
