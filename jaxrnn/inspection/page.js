
// The text, its colors, and the details of one token. The JSON in #data comes from page.py.
const data = JSON.parse($("data").textContent);
const characters = Array.from(data.text);
const vocabulary = Array.from(data.vocabulary);
const isBytes = data.token === "byte"; // then a character of the text is the byte of its number
const shown = (c) => nameOf(c, isBytes);
const key = (c) => make("kbd", {}, shown(c));
const trackName = (track) => `${data.kinds[track.kind]} (${track.kind}) of layer ${data.layers[track.layer]}`;

// Activities: packed by packing.py, unpacked when they are first looked at. Ranked units are packed apart from the others.

function placeOfUnit(track, unit) {
  const nth = track.ranked.indexOf(unit);
  if (nth >= 0) return { part: 0, row: nth };
  return { part: 1, row: unit - track.ranked.filter((ranked) => ranked < unit).length };
}
const levelsOf = (track, unit) => track.levels[placeOfUnit(track, unit).part]; // 0: left out
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
const unpacked = new Map();
async function unpack(index, part) {
  const name = `${index} ${part}`;
  if (!unpacked.has(name)) unpacked.set(name, await inflate(data.tracks[index].data[part]));
  return unpacked.get(name);
}
async function activity(index, unit) { // null where it is left out
  const track = data.tracks[index], { low, scales } = track, { part, row } = placeOfUnit(track, unit);
  const levels = track.levels[part], perByte = track.per_byte[part];
  if (levels === 0) return null;
  const packed = await unpack(index, part), start = row * Math.ceil(characters.length / perByte);
  return Float32Array.from(characters, (_, t) => {
    const digit = Math.floor(packed[start + Math.floor(t / perByte)] / levels ** (t % perByte)) % levels;
    return scales[unit] * (low + ((1 - low) * digit) / (levels - 1));
  });
}

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
      if (INVISIBLE.test(whole)) return;
      wholes.set(t, whole);
      for (let k = 1; k < length; k++) wholes.set(t + k, REST);
    } catch { /* no UTF-8: each byte is shown for itself */ }
  });
}
if (isBytes) findWholes();
function spanFor(c, t) {
  const span = make("span", { "data-t": t });
  const isLoneByte = isBytes && !wholes.has(t) && !/[\n\t -~]/.test(c);
  const { text, isLabel } = isLoneByte ? { text: shown(c), isLabel: true } : inText(wholes.get(t) ?? c);
  if (c === "\n") span.className = "newline";
  if (isBytes && text === REST) span.className = "rest";
  if (isLabel) span.className = "odd";
  span.textContent = text;
  return span;
}
const spans = characters.map(spanFor);
$("text").append(...spans);

// What colors the text: the surprisal, the saliency of the selected token, or a state or gate of one unit.

let view = { kind: "surprisal" }, values = null, pinned = null, here = 0, unitBefore = 0;
const isUnit = (of = view) => of.track !== undefined;

function shareAt(t) {
  if (isUnit()) return values === null ? 0 : values[t] / data.tracks[view.track].scales[view.unit];
  if (view.run !== undefined) return comparisonShare(t);
  return view.kind === "saliency" || t === 0 ? 0 : data.nats[t - 1] / LARGEST_SURPRISAL;
}
function paint() {
  spans.forEach((span, t) => paintSpan(span, shareAt(t)));
  if (view.kind === "saliency") paintSaliency();
  drawLegend();
}
function strip(low, levels) { // as many shades as there are levels
  const shades = Math.min(levels, 64), node = make("i");
  const stops = Array.from({ length: shades }, (_, i) => {
    const color = css(colorOf(low + ((1 - low) * i) / (shades - 1)));
    return `${color} ${(100 * i) / shades}% ${(100 * (i + 1)) / shades}%`;
  });
  node.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  return node;
}
function rangeOfColors() { // null where there are none
  if (view.kind === "surprisal") return { low: 0, left: "0", right: `${LARGEST_SURPRISAL} nats and more`, levels: 255 };
  if (view.kind === "difference") return rangeOfDifference();
  if (view.kind === "saliency" && !hasSaliency(here)) return null;
  const track = data.tracks[view.track], { low, high, levels } = isUnit()
    ? { low: track.low, high: track.scales[view.unit], levels: levelsOf(track, view.unit) }
    : { low: -1, high: data.saliency.scales[here], levels: data.saliency.levels };
  const unit = isUnit() ? "" : " nats";
  if (low === 0) return { low, left: "0", right: String(high), levels };
  return { low, left: `${low * high} (blue)`, right: `${high}${unit} (orange)`, levels };
}
function drawLegend() {
  const range = rangeOfColors(), isLeftOut = isUnit() && values === null;
  const text = isLeftOut ? "left out, so that the page stays under 2 MB" : "";
  const shades = range !== null && range.levels < 255 ? ` in ${range.levels} shades` : "";
  const parts = isLeftOut || range === null ? [text] : [range.left, strip(range.low, range.levels), range.right, shades];
  $("legend").replaceChildren(...parts);
  $("legend").setAttribute("aria-label", parts.length === 1 ? text : `colors from ${range.left} to ${range.right}${shades}`);
}

const EXPLAINED = {
  surprisal: `The surprisal of each ${data.token}, given all before it: the stronger the color, the less likely it was to the network. The first has no surprisal, because nothing comes before it.`,
  saliency: `Which earlier ${data.token}s the probability of the selected one depends on (gradient times input): orange raises it, blue lowers it. A number estimates how much the log-probability would change without that ${data.token}'s embedding. Up to ${data.saliency.back} ${data.token}s back.`,
  h: "The hidden state: what this unit passes to the layer above and to the next step. Orange is above zero, blue below.",
  c: "The cell state: it is only added to and scaled, so that it can last. Orange is above zero, blue below.",
  i: "The input gate: how much of the candidate is written.",
  f: "The forget gate: how much of the state is kept. 1 keeps all of it, 0 forgets.",
  g: "The candidate: what would be written into the cell, between -1 (blue) and 1 (orange).",
  o: "The output gate: how much of the cell is shown.",
  r: "The reset gate: how much of the past the candidate sees.",
  z: "The update gate of a GRU: how much of the past is kept.",
  n: "The candidate for the new state, between -1 (blue) and 1 (orange).",
  a: "The decay: how much of the state is kept. 1 keeps all of it, 0 forgets.",
};
const hasKind = (layer, kind) => data.tracks.some((track) => track.layer === layer && track.kind === kind);
function explain(next) {
  if (next.run !== undefined) return explainComparison(next);
  const isMinGRU = next.kind === "z" && !hasKind(data.tracks[next.track].layer, "r");
  return isMinGRU ? "The update gate of a minGRU: how much of the candidate is written." : EXPLAINED[next.kind] ?? "";
}

let looking = 0; // so that an answer that comes late is not shown
async function look(next) {
  const ticket = ++looking;
  if (next.kind === "saliency") await loadSaliency();
  const activities = isUnit(next) ? await activity(next.track, next.unit) : null;
  if (ticket !== looking) return;
  view = next;
  values = activities;
  showChoice();
  $("what").textContent = explain(next);
  paint();
  describe(here);
}
function showChoice() {
  $("view").value = isUnit() ? view.track : [view.kind, view.run].join(" ").trim();
  $("unit-label").hidden = !isUnit();
  if (!isUnit()) return;
  unitBefore = view.unit;
  $("unit").max = data.tracks[view.track].scales.length - 1;
  $("unit").value = view.unit;
}
const lookAt = (track, unit) => look({ kind: data.tracks[track].kind, track, unit });
function lookAtTrack(index) { // at the unit that was looked at before, or at one that is not left out
  const track = data.tracks[index], unit = Math.min(unitBefore, track.scales.length - 1);
  return lookAt(index, levelsOf(track, unit) > 0 ? unit : track.ranked[0] ?? unit);
}

data.tracks.forEach((track, index) => {
  const isPartial = track.levels[1] === 0 && track.ranked.length < track.scales.length;
  $("view").append(make("option", { value: index }, trackName(track) + (isPartial ? ", ranked units only" : "")));
});
$("view").addEventListener("change", () => {
  const [first, run] = $("view").value.split(" "); // "surprisal", "difference 0": of the first run compared; "3": a track
  return first in data.tracks ? lookAtTrack(Number(first)) : look(run ? { kind: first, run: Number(run) } : { kind: first });
});
function chooseUnit(unit) {
  if (!isUnit() || !Number.isInteger(unit)) return;
  lookAt(view.track, Math.max(0, Math.min(data.tracks[view.track].scales.length - 1, unit)));
}
function nextUnit(step) { // the next one that is not left out
  if (!isUnit()) return;
  const track = data.tracks[view.track];
  for (let unit = view.unit + step; unit >= 0 && unit < track.scales.length; unit += step) {
    if (levelsOf(track, unit) > 0) return void chooseUnit(unit);
  }
}
$("unit").addEventListener("change", () => chooseUnit(Number($("unit").value)));

// One token: the prediction before it and the prediction after it.

function guesses(t, came) {
  return data.likeliest[t].map((id, i) => {
    const probability = data.probabilities[t][i], bar = make("b");
    bar.style.width = `${100 * probability}%`;
    return make("div", { class: vocabulary[id] === came ? "guess came" : "guess" }, key(vocabulary[id]), bar,
      make("span", {}, percent(probability)));
  });
}
function probabilityOf(t) { // the number of the list where the token is in it
  const nth = data.likeliest[t - 1].findIndex((id) => vocabulary[id] === characters[t]);
  return nth >= 0 ? data.probabilities[t - 1][nth] : Math.exp(-data.nats[t - 1]);
}
function whatCame(t) {
  if (t === 0) return ` \u2014 the first ${data.token}: nothing to expect it from`;
  return ` \u2014 ${data.nats[t - 1].toFixed(2)} nats, ${percent(probabilityOf(t))}, choice ${data.ranks[t - 1]}`;
}
const heading = (text) => make("h2", {}, text);
function describe(t) {
  spans[here].classList.remove("here");
  here = t;
  spans[t].classList.add("here");
  if (view.kind === "saliency") { paintSaliency(); drawLegend(); }
  const parts = t > 0 ? [heading("expected here"), ...guesses(t - 1, characters[t])] : [];
  parts.push(heading("came"), make("p", {}, key(characters[t]), whatCame(t)), ...compareNats(t));
  if (view.kind === "saliency") parts.push(...describeSaliency());
  if (isUnit()) parts.push(make("p", {}, `unit ${view.unit}: ${values === null ? "left out" : between(values[t])}`));
  parts.push(heading("expected next"), ...guesses(t, t + 1 < characters.length ? characters[t + 1] : null));
  $("details").replaceChildren(...parts);
}
function between(value) { // as exact as its level
  const track = data.tracks[view.track], { low } = track, scale = track.scales[view.unit];
  const half = (scale * (1 - low)) / (levelsOf(track, view.unit) - 1) / 2;
  if (half < 0.005 * scale) return value.toFixed(2);
  return `${Math.max(low * scale, value - half).toFixed(2)} to ${Math.min(scale, value + half).toFixed(2)}`;
}

// Pointer and keyboard.

const placeOf = (event) => event.target.closest?.("[data-t]")?.dataset.t;
$("text").addEventListener("mouseover", (event) => {
  const t = placeOf(event);
  if (t !== undefined && pinned === null) describe(Number(t));
});
$("text").addEventListener("click", (event) => {
  const t = placeOf(event);
  if (t !== undefined) describe((pinned = Number(t)));
});
const lineStart = (t) => (t === 0 ? 0 : characters.lastIndexOf("\n", t - 1) + 1);
const lineEnd = (t) => { const end = characters.indexOf("\n", t); return end < 0 ? characters.length : end; };
function lineBy(t, step) { // the same place in the line before or after
  const start = lineStart(t), column = t - start;
  if (step < 0) return start === 0 ? 0 : Math.min(lineStart(start - 1) + column, start - 1);
  const end = lineEnd(t);
  return end === characters.length ? end - 1 : Math.min(end + 1 + column, lineEnd(end + 1), characters.length - 1);
}
function forward(t) { // the step of the right arrow: backwards in a line that is read from right to left
  const letter = characters.slice(lineStart(t), lineEnd(t)).find((c) => /\p{L}/u.test(c)) ?? "";
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(letter) ? -1 : 1;
}
function targetOf(key) {
  return { ArrowLeft: here - forward(here), ArrowRight: here + forward(here), ArrowUp: lineBy(here, -1),
    ArrowDown: lineBy(here, 1), Home: 0, End: characters.length - 1 }[key];
}
function moveTo(t) {
  pinned = Math.max(0, Math.min(characters.length - 1, t));
  describe(pinned);
  spans[pinned].scrollIntoView({ block: "nearest" });
}
$("text").addEventListener("keydown", (event) => {
  if (event.key === "[" || event.key === "]") { // with AltGr or Option on many keyboards
    event.preventDefault();
    nextUnit(event.key === "]" ? 1 : -1);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { pinned = null; return; }
  const target = targetOf(event.key);
  if (target === undefined) return;
  event.preventDefault();
  moveTo(target);
});
