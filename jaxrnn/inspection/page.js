"use strict";
// Draws the JSON in #data. Text from users is only ever assigned to textContent.
const data = JSON.parse(document.getElementById("data").textContent);
const characters = Array.from(data.text);
const vocabulary = Array.from(data.vocabulary);
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

// Names.

const isBytes = data.token === "byte"; // then a character of the text is the byte of its number
const shown = (c) => ({ "\n": "\u21b5", " ": "\u2423", "\t": "\u21e5" })[c]
  ?? (isBytes && !/[!-~]/.test(c) ? "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0") : null)
  ?? (/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/u.test(c) ? "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") : c);
const trackName = (track) => `${data.kinds[track.kind]} (${track.kind}) of layer ${data.layers[track.layer]}`;

// Activities: packed by packing.py, unpacked when they are first looked at.

const unpacked = new Map();
async function unpack(index) {
  if (!unpacked.has(index)) {
    const bytes = Uint8Array.from(atob(data.tracks[index].data), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    unpacked.set(index, new Uint8Array(await new Response(stream).arrayBuffer()));
  }
  return unpacked.get(index);
}
async function activity(index, unit) {
  const { low, scales, levels, perByte } = data.tracks[index];
  const packed = await unpack(index), row = unit * Math.ceil(characters.length / perByte);
  return Float32Array.from(characters, (_, t) => {
    const digit = Math.floor(packed[row + Math.floor(t / perByte)] / levels ** (t % perByte)) % levels;
    return scales[unit] * (low + ((1 - low) * digit) / (levels - 1));
  });
}

// Colours: one hue for surprisal, blue and orange for signed values; they also differ in lightness.

const isDark = () => document.documentElement.dataset.theme === "dark";
const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));
function colourOf(share) { // from -1 to 1
  const middle = isDark() ? [20, 23, 27] : [255, 255, 255];
  const end = share < 0 ? (isDark() ? [74, 144, 226] : [29, 90, 172]) : (isDark() ? [240, 150, 50] : [200, 90, 0]);
  return mix(middle, end, Math.min(1, Math.abs(share)));
}
const luminance = ([r, g, b]) => [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const inkOn = (rgb) => (luminance(rgb) > 0.179 ? "#000000" : "#ffffff");
const css = (rgb) => `rgb(${rgb.join(",")})`;

// The text. Bytes that are a character in UTF-8 show it in the place of the first; those after it keep a narrow space,
// so that they can be pointed at.

const REST = "\u202f", wholes = new Map(); // by the place of a byte
function findWholes() {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  characters.forEach((c, t) => {
    const byte = c.charCodeAt(0), length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
    if (length === 1) return;
    try {
      const whole = utf8.decode(Uint8Array.from(characters.slice(t, t + length), (b) => b.charCodeAt(0)));
      if (/[\p{Cc}\p{Cf}\p{Co}\p{Cn}]/u.test(whole)) return;
      wholes.set(t, whole);
      for (let k = 1; k < length; k++) wholes.set(t + k, REST);
    } catch { /* no UTF-8: each byte is shown for itself */ }
  });
}
if (isBytes) findWholes();
const spans = characters.map((c, t) => {
  const span = make("span", { "data-t": t });
  if (c === "\n") span.className = "newline";
  const whole = wholes.get(t) ?? c, isOdd = isBytes && !wholes.has(t) && !/[ -~]/.test(c);
  if (whole === REST && isBytes) span.className = "rest";
  span.textContent = whole;
  if (whole !== "\n" && whole !== "\t" && (isOdd || /[\p{Cc}\p{Co}\p{Cn}]/u.test(whole))) {
    span.className = "odd";
    span.textContent = shown(c);
  }
  return span;
});
$("text").append(...spans);

let view = { kind: "surprisal" }, values = null, pinned = null, here = 0;
const LARGEST_SURPRISAL = 6; // nats; all above is as dark

function shareAt(t) {
  if (view.kind === "surprisal") return t === 0 ? 0 : data.nats[t - 1] / LARGEST_SURPRISAL;
  return values[t] / data.tracks[view.track].scales[view.unit];
}
function paint() {
  spans.forEach((span, t) => {
    const rgb = colourOf(shareAt(t));
    span.style.backgroundColor = css(rgb);
    span.style.color = inkOn(rgb);
  });
  drawLegend();
}
function drawLegend() {
  const track = data.tracks[view.track];
  const high = view.kind === "surprisal" ? LARGEST_SURPRISAL : track.scales[view.unit];
  const low = view.kind === "surprisal" ? 0 : track.low * high;
  const stops = Array.from({ length: 9 }, (_, i) => css(colourOf(low < 0 ? i / 4 - 1 : i / 8)));
  const strip = make("i");
  strip.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  const [left, right] = view.kind === "surprisal" ? ["0", `${high} nats and more`]
    : [String(low), String(high)];
  const shades = view.kind === "surprisal" || track.levels > 15 ? "" : ` in ${track.levels} shades`;
  $("legend").replaceChildren(left, strip, right, shades);
  $("legend").setAttribute("aria-label", `colours from ${left} to ${right}`);
}

const EXPLAINED = {
  surprisal: `The surprisal of each ${data.token}, given all before it: the stronger the colour, the less likely it was to the network. The first has no surprisal, because nothing comes before it.`,
  h: "What this unit tells the layer above and the next step, between -1 and 1.",
  c: "What this unit's cell holds: it is only added to and scaled, so that it can last.",
  i: "How much of the candidate is written into the cell.",
  f: "How much of the cell is kept: 1 remembers all of it, 0 forgets.",
  g: "What would be written into the cell, between -1 and 1.",
  o: "How much of the cell is shown.",
  r: "How much of the past the candidate sees.",
  z: "How much of the past is kept.",
  n: "The candidate for the new state, between -1 and 1.",
};

let looking = 0; // so that an answer that comes late is not shown
async function look(next) {
  const ticket = ++looking;
  const activities = next.kind === "surprisal" ? null : await activity(next.track, next.unit);
  if (ticket !== looking) return;
  view = next;
  values = activities;
  $("view").value = next.kind === "surprisal" ? "surprisal" : String(next.track);
  $("unit-label").hidden = next.kind === "surprisal";
  if (next.kind !== "surprisal") {
    $("unit").max = data.tracks[next.track].scales.length - 1;
    $("unit").value = next.unit;
  }
  $("what").textContent = EXPLAINED[next.kind];
  paint();
  describe(here);
}
const lookAt = (track, unit) => look({ kind: data.tracks[track].kind, track, unit });

data.tracks.forEach((track, index) => {
  const option = make("option", { value: index });
  option.textContent = trackName(track);
  $("view").append(option);
});
$("view").addEventListener("change", () => {
  const { value } = $("view");
  if (value === "surprisal") return look({ kind: "surprisal" });
  return lookAt(Number(value), Math.min(view.unit ?? 0, data.tracks[Number(value)].scales.length - 1));
});
function chooseUnit(unit) {
  if (view.kind === "surprisal" || !Number.isInteger(unit)) return;
  lookAt(view.track, Math.max(0, Math.min(data.tracks[view.track].scales.length - 1, unit)));
}
$("unit").addEventListener("change", () => chooseUnit(Number($("unit").value)));

// One token: the prediction before it and the prediction after it.

function guesses(t, came) {
  return data.likeliest[t].map((id, i) => {
    const probability = data.probabilities[t][i], bar = make("b");
    bar.style.width = `${100 * probability}%`;
    const name = make("kbd");
    name.textContent = shown(vocabulary[id]);
    const share = make("span");
    share.textContent = `${(100 * probability).toFixed(1)} %`;
    const row = make("div", { class: vocabulary[id] === came ? "guess came" : "guess" }, name, bar, share);
    return row;
  });
}
function describe(t) {
  spans[here].classList.remove("here");
  here = t;
  spans[t].classList.add("here");
  const heading = (text) => { const h = make("h3"); h.textContent = text; return h; };
  const line = (text) => { const p = make("p"); p.textContent = text; return p; };
  const parts = [];
  if (t > 0) {
    parts.push(heading("expected here"), ...guesses(t - 1, characters[t]));
    const nats = data.nats[t - 1];
    parts.push(heading("came"), line(`${shown(characters[t])} \u2014 ${nats.toFixed(2)} nats, `
      + `${(100 * Math.exp(-nats)).toFixed(nats > 3 ? 2 : 1)} %, choice ${data.ranks[t - 1]}`));
  } else {
    parts.push(heading("came"), line(`${shown(characters[0])} \u2014 the first ${data.token}: nothing to expect it from`));
  }
  if (view.kind !== "surprisal") parts.push(line(`unit ${view.unit}: ${between(values[t])}`));
  parts.push(heading("expected next"), ...guesses(t, t + 1 < characters.length ? characters[t + 1] : null));
  $("details").replaceChildren(...parts);
}
function between(value) { // as exactly as its shade tells
  const { low, scales, levels } = data.tracks[view.track], scale = scales[view.unit];
  const half = (scale * (1 - low)) / (levels - 1) / 2;
  if (half < 0.005 * scale) return value.toFixed(2);
  return `${Math.max(low * scale, value - half).toFixed(2)} to ${Math.min(scale, value + half).toFixed(2)}`;
}
const placeOf = (event) => event.target.closest?.("[data-t]")?.dataset.t;
$("text").addEventListener("mouseover", (event) => {
  const t = placeOf(event);
  if (t !== undefined && pinned === null) describe(Number(t));
});
$("text").addEventListener("click", (event) => {
  const t = placeOf(event);
  if (t !== undefined) describe((pinned = Number(t)));
});
const lineStart = (t) => characters.lastIndexOf("\n", t - 1) + 1;
function lineBy(t, step) { // the same place in the line before or after
  const start = t === 0 ? 0 : lineStart(t), column = t - start;
  if (step < 0) return start === 0 ? 0 : Math.min(lineStart(start - 1) + column, start - 1);
  const end = characters.indexOf("\n", t);
  if (end < 0) return characters.length - 1;
  const next = characters.indexOf("\n", end + 1);
  return Math.min(end + 1 + column, next < 0 ? characters.length - 1 : next);
}
$("text").addEventListener("keydown", (event) => {
  if (event.key === "[" || event.key === "]") { // with AltGr or Option on many keyboards
    event.preventDefault();
    chooseUnit(view.unit + (event.key === "]" ? 1 : -1));
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { pinned = null; return; }
  const to = { ArrowLeft: here - 1, ArrowRight: here + 1, ArrowUp: lineBy(here, -1), ArrowDown: lineBy(here, 1),
    Home: 0, End: characters.length - 1 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    pinned = Math.max(0, Math.min(characters.length - 1, to));
    describe(pinned);
    spans[pinned].scrollIntoView({ block: "nearest" });
  }
});

// Units that follow something.

function rowOf(track, unit, score, label) {
  const name = `${data.tracks[track].kind}, unit ${unit}, layer ${data.layers[data.tracks[track].layer]}`;
  const button = make("button", { type: "button" });
  button.textContent = name;
  button.addEventListener("click", () => {
    lookAt(track, unit);
    $("controls").scrollIntoView({ block: "start" });
  });
  const bar = make("b");
  bar.style.width = `${100 * Math.abs(score)}%`;
  const number = make("td");
  number.textContent = Math.abs(score).toFixed(2);
  const row = make("tr", {}, make("td", {}, button), number, make("td", { class: "bar" }, bar));
  if (label !== undefined) {
    const what = make("td");
    what.textContent = label;
    row.prepend(what);
  }
  return row;
}
const indexOf = ({ layer, kind }) => data.tracks.findIndex((track) => track.layer === layer && track.kind === kind);
let before = null;
$("tracking").tBodies[0].append(...data.tracking.map((found) => {
  const label = found.feature === before ? "" : found.feature;
  before = found.feature;
  return rowOf(indexOf(found), found.unit, found.score, label);
}));
if (data.tracking.length === 0) {
  const cell = make("td", { colspan: 4 });
  cell.textContent = "This text is too short, or has none of these features.";
  $("tracking").tBodies[0].append(make("tr", {}, cell));
}

function matches(pattern) { // 1 inside of a match, by character
  const flags = new Float32Array(characters.length);
  const starts = new Map(); // by UTF-16 unit, as regular expressions count
  let unit = 0;
  characters.forEach((c, t) => { starts.set(unit, t); unit += c.length; });
  for (const match of data.text.matchAll(pattern)) {
    for (let i = match.index; i < match.index + match[0].length; i++) if (starts.has(i)) flags[starts.get(i)] = 1;
  }
  return flags;
}
function correlation(xs, ys) {
  const mean = (zs) => zs.reduce((sum, z) => sum + z, 0) / zs.length;
  const mx = mean(xs), my = mean(ys);
  let xy = 0, xx = 0, yy = 0;
  for (let t = 0; t < xs.length; t++) {
    const x = xs[t] - mx, y = ys[t] - my;
    xy += x * y; xx += x * x; yy += y * y;
  }
  return xx * yy > 1e-9 ? xy / Math.sqrt(xx * yy) : 0;
}
$("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const say = (text) => { $("found-note").textContent = text; };
  spans.forEach((span) => span.classList.remove("match"));
  $("found").hidden = true;
  const source = $("pattern").value;
  if (source === "") return say("");
  let flags;
  try {
    flags = matches(new RegExp(source, "gu"));
  } catch (error) {
    return say(`Not a regular expression: ${error.message}`);
  }
  const count = flags.reduce((sum, flag) => sum + flag, 0);
  if (count === 0 || count === flags.length) return say(count ? "It matches everything." : "It matches nothing here.");
  say("Looking\u2026");
  const found = [];
  for (const [index, track] of data.tracks.entries()) {
    if (track.kind !== "h" && track.kind !== "c") continue;
    for (let unit = 0; unit < track.scales.length; unit++) {
      found.push([index, unit, correlation(await activity(index, unit), flags)]);
    }
  }
  found.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
  flags.forEach((flag, t) => spans[t].classList.toggle("match", flag === 1));
  $("found").tBodies[0].replaceChildren(...found.slice(0, 8).map((row) => rowOf(...row)));
  $("found").hidden = false;
  return say(`${count} ${data.token}s match; they are underlined. These units follow them best, over the whole text, `
    + "so that with few matches chance has its share.");
});

// Charts, as SVG.

const svg = (tag, attributes = {}, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
const HUES = () => (isDark() ? ["#6cb0ff", "#f0a040", "#63d0a4", "#e58fc6", "#d8d257", "#b8a3f5"]
  : ["#0b5cad", "#c45a00", "#00795a", "#a83279", "#7a6a00", "#6b4fc0"]);
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

function drawLookBack() {
  const curves = data.curves.filter((curve) => curve.norms.some((norm) => norm > 0));
  $("look-back-section").hidden = curves.length === 0;
  if (curves.length === 0) return;
  const width = Math.max(300, Math.min(720, $("look-back").clientWidth || 720)), height = 320, left = 72, right = 12, top = 10, bottom = 40;
  const most = Math.max(...curves.map((curve) => curve.norms.length));
  const logs = curves.flatMap((curve) => curve.norms.filter((norm) => norm > 0).map(Math.log10));
  const high = Math.ceil(Math.max(...logs)), low = Math.max(Math.floor(Math.min(...logs)), high - 20);
  const x = (k) => left + ((width - left - right) * (k - 1)) / Math.max(1, most - 1);
  const y = (log) => top + ((height - top - bottom) * (high - log)) / Math.max(1, high - low);
  const chart = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", width,
    "aria-label": `Gradient norm by how many ${data.token}s back, one curve a layer` });
  for (let log = high; log >= low; log -= high - low > 12 ? 2 : 1) {
    chart.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(log), y2: y(log) }));
    chart.append(svg("text", { x: left - 6, y: y(log) + 4, "text-anchor": "end" }, log === 0 ? "1" : `1e${log}`));
  }
  for (let k = 0; k <= most; k += most > 40 ? 20 : most > 10 ? 5 : 1) {
    const at = Math.max(1, k);
    chart.append(svg("text", { x: x(at), y: height - bottom + 18, "text-anchor": "middle" }, String(at)));
  }
  chart.append(svg("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, `${data.token}s back (k)`));
  chart.append(svg("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" },
    "gradient norm (nats per unit of state)"));
  const runs = [...new Set(curves.map((curve) => curve.run))], list = make("ul");
  const nth = {};
  for (const curve of curves) {
    const run = runs.indexOf(curve.run);
    nth[run] = (nth[run] ?? -1) + 1;
    const style = { stroke: HUES()[run % HUES().length], "stroke-dasharray": DASHES[nth[run] % DASHES.length] };
    const points = curve.norms.map((norm, i) => [i + 1, Math.log10(norm)]).filter(([, log]) => log >= low);
    chart.append(svg("polyline", { class: "curve", ...style, points: points.map(([k, log]) => `${x(k)},${y(log)}`).join(" ") }));
    const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
    sign.append(svg("line", { class: "curve", ...style, x1: 0, x2: 34, y1: 5, y2: 5 }));
    sign.style.display = "inline-block";
    const item = make("li", {}, sign);
    item.append(` ${curve.run}, layer ${curve.layer}, by ${curve.field}`);
    list.append(item);
  }
  $("look-back").replaceChildren(list, chart);
}

function drawGates() {
  $("gates-section").hidden = data.saturation.length === 0;
  const size = 190, edge = 48;
  $("gates").replaceChildren(...data.saturation.map((gate) => {
    const chart = svg("svg", { viewBox: `0 0 ${size + edge + 8} ${size + edge}`, width: size + edge + 8, role: "img" });
    const at = (share) => share * (size - 8) + 4;
    chart.append(svg("rect", { class: "grid", x: edge, y: 3, width: size, height: size, fill: "none" }));
    chart.append(svg("line", { class: "grid", x1: edge, y1: 3, x2: edge + size, y2: size + 3 }));
    gate.open.forEach((open, unit) => {
      const dot = svg("circle", { cx: edge + at(open), cy: 3 + size - at(gate.shut[unit]), r: 3.2, fill: HUES()[0], "fill-opacity": 0.45 });
      dot.append(svg("title", {}, `unit ${unit}: open ${(100 * open).toFixed(0)} %, shut ${(100 * gate.shut[unit]).toFixed(0)} %`));
      chart.append(dot);
    });
    for (const share of [0, 0.5, 1]) {
      chart.append(svg("text", { x: edge + at(share), y: size + 19, "text-anchor": "middle" }, String(100 * share)));
      chart.append(svg("text", { x: edge - 5, y: 7 + size - at(share), "text-anchor": "end" }, String(100 * share)));
    }
    chart.append(svg("text", { x: edge + size / 2, y: size + 38, "text-anchor": "middle" }, "open (% of the time)"));
    chart.append(svg("text", { transform: `translate(12 ${size / 2}) rotate(-90)`, "text-anchor": "middle" }, "shut (% of the time)"));
    const mean = (shares) => ((100 * shares.reduce((a, b) => a + b, 0)) / shares.length).toFixed(0);
    const caption = make("figcaption");
    caption.textContent = `${data.kinds[gate.kind]} of layer ${data.layers[gate.layer]}: open ${mean(gate.open)} %, shut ${mean(gate.shut)} % of the time`;
    caption.style.maxWidth = `${size + edge}px`;
    chart.setAttribute("aria-label", caption.textContent);
    return make("figure", {}, chart, caption);
  }));
}

// The page.

$("about").append(...data.about.map(([name, value]) => {
  const span = make("span");
  span.textContent = name ? `${name}: ${value}` : value;
  return span;
}));
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  paint();
  drawLookBack();
  drawGates();
}
$("theme").addEventListener("click", () => dress(isDark() ? "light" : "dark"));
window.addEventListener("resize", drawLookBack);
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
prefersDark.addEventListener("change", () => dress(prefersDark.matches ? "dark" : "light"));
document.documentElement.dataset.theme = prefersDark.matches ? "dark" : "light";
look({ kind: "surprisal" }).then(() => { drawLookBack(); drawGates(); document.body.dataset.ready = "true"; });
