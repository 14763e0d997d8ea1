
// Charts, as SVG.

function svg(tag, attributes = {}, text = undefined) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
const HUES = () => (isDark() ? ["#6cb0ff", "#f0a040", "#63d0a4", "#e58fc6", "#d8d257", "#b8a3f5"]
  : ["#0b5cad", "#c45a00", "#00795a", "#a83279", "#7a6a00", "#6b4fc0"]);
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
const hueOf = (nth) => HUES()[nth % HUES().length];

// How far back it looks.

function scales(curves) { // the size of the chart, and from numbers to places in it
  const width = Math.max(300, Math.min(720, $("look-back").clientWidth || 720)), height = 320;
  const left = 72, right = width - 12, top = 10, bottom = height - 40;
  const most = Math.max(...curves.map((curve) => curve.norms.length));
  const logs = curves.flatMap((curve) => curve.norms.filter((norm) => norm > 0).map(Math.log10));
  const high = Math.ceil(Math.max(...logs)), low = Math.max(Math.floor(Math.min(...logs)), high - 20);
  const x = (k) => left + ((right - left) * (k - 1)) / Math.max(1, most - 1);
  const y = (log) => top + ((bottom - top) * (high - log)) / Math.max(1, high - low);
  return { width, height, left, right, top, bottom, most, high, low, x, y };
}
function drawAxes(chart, { width, height, left, right, top, bottom, most, high, low, x, y }) {
  for (let log = high; log >= low; log -= high - low > 12 ? 2 : 1) {
    chart.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(log), y2: y(log) }));
    chart.append(svg("text", { x: left - 6, y: y(log) + 4, "text-anchor": "end" }, log === 0 ? "1" : `1e${log}`));
  }
  for (let k = 0; k <= most; k += most > 40 ? 20 : most > 10 ? 5 : 1) {
    const at = Math.max(1, k);
    chart.append(svg("text", { x: x(at), y: bottom + 18, "text-anchor": "middle" }, String(at)));
  }
  chart.append(svg("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, `${data.token}s back (k)`));
  chart.append(svg("text", { transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" },
    "gradient norm (nats per standard deviation)"));
}
function lineSign(style) { // for the list of what the lines are
  const sign = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
  sign.append(svg("line", { ...style, x1: 0, x2: 34, y1: 5, y2: 5 }));
  sign.style.display = "inline-block";
  return sign;
}
function drawCurves(chart, list, curves, runs, { low, x, y }) {
  const nth = {};
  for (const curve of curves) {
    nth[curve.run] = (nth[curve.run] ?? -1) + 1;
    const style = { class: "curve", stroke: hueOf(runs.indexOf(curve.run)),
      "stroke-dasharray": DASHES[nth[curve.run] % DASHES.length] };
    const points = curve.norms.map((norm, i) => [i + 1, Math.log10(norm)]).filter(([, log]) => log >= low);
    chart.append(svg("polyline", { ...style, points: points.map(([k, log]) => `${x(k)},${y(log)}`).join(" ") }));
    list.append(make("li", {}, lineSign(style), ` ${curve.run}, layer ${curve.layer}, ${curve.field}`));
  }
}
function drawSeqLens(chart, list, runs, { most, top, bottom, x }) {
  for (const [run, seqLen] of Object.entries(data.seqLens)) {
    const style = { class: "seq-len", stroke: hueOf(runs.indexOf(run)) }, isInside = seqLen <= most;
    if (isInside) {
      chart.append(svg("line", { ...style, x1: x(seqLen), x2: x(seqLen), y1: top, y2: bottom }));
      chart.append(svg("text", { x: x(seqLen) + 4, y: top + 12 }, `seq_len ${seqLen}`));
    }
    list.append(make("li", {}, ...(isInside ? [lineSign(style)] : []),
      ` ${run}: training sent gradients back over at most seq_len = ${seqLen} ${data.token}s`));
  }
}
function drawLookBack() {
  const curves = data.curves.filter((curve) => curve.norms.some((norm) => norm > 0));
  $("look-back-section").hidden = curves.length === 0;
  if (curves.length === 0) return;
  const to = scales(curves), runs = [...new Set(curves.map((curve) => curve.run))], list = make("ul");
  const chart = svg("svg", { viewBox: `0 0 ${to.width} ${to.height}`, role: "img", width: to.width,
    "aria-label": `Gradient norm by how many ${data.token}s back, one curve a layer` });
  drawAxes(chart, to);
  drawCurves(chart, list, curves, runs, to);
  drawSeqLens(chart, list, runs, to);
  $("look-back").replaceChildren(list, chart);
}

// Gates that stay shut or open.

const LASTING = { // what gates of units with a long memory look like
  f: "A forget gate (f) far to the right belongs to a unit that remembers for long.",
  z: "An update gate (z) far to the right belongs to a unit that remembers for long.",
  minGRU: "The update gate (z) of a minGRU writes: far up belongs to a unit that remembers for long.",
  a: "A decay (a) far to the right belongs to a unit that remembers for long.",
};
function lastingGates() {
  const kinds = data.saturation.map(({ layer, kind }) => (kind === "z" && !hasKind(layer, "r") ? "minGRU" : kind));
  return [...new Set(kinds)].map((kind) => LASTING[kind] ?? "").filter(Boolean).join(" ");
}
const SIZE = 190, EDGE = 48; // of a chart of gates, and its margin for labels
const inChart = (share) => share * (SIZE - 8) + 4;
function gateDot(gate, unit) {
  const open = gate.open[unit], shut = gate.shut[unit];
  const dot = svg("circle", { cx: EDGE + inChart(open), cy: 3 + SIZE - inChart(shut), r: 3.2, fill: hueOf(0), "fill-opacity": 0.45 });
  dot.append(svg("title", {}, `unit ${unit}: open ${(100 * open).toFixed(0)} %, shut ${(100 * shut).toFixed(0)} %`));
  return dot;
}
function drawGateAxes(chart) {
  chart.append(svg("rect", { class: "grid", x: EDGE, y: 3, width: SIZE, height: SIZE, fill: "none" }));
  chart.append(svg("line", { class: "grid", x1: EDGE, y1: 3, x2: EDGE + SIZE, y2: SIZE + 3 }));
  for (const share of [0, 0.5, 1]) {
    chart.append(svg("text", { x: EDGE + inChart(share), y: SIZE + 19, "text-anchor": "middle" }, String(100 * share)));
    chart.append(svg("text", { x: EDGE - 5, y: 7 + SIZE - inChart(share), "text-anchor": "end" }, String(100 * share)));
  }
  chart.append(svg("text", { x: EDGE + SIZE / 2, y: SIZE + 38, "text-anchor": "middle" }, "open (% of the time)"));
  chart.append(svg("text", { transform: `translate(12 ${SIZE / 2}) rotate(-90)`, "text-anchor": "middle" }, "shut (% of the time)"));
}
function gateFigure(gate) {
  const chart = svg("svg", { viewBox: `0 0 ${SIZE + EDGE + 8} ${SIZE + EDGE}`, width: SIZE + EDGE + 8, role: "img" });
  drawGateAxes(chart);
  chart.append(...gate.open.map((_, unit) => gateDot(gate, unit)));
  const mean = (shares) => ((100 * shares.reduce((a, b) => a + b, 0)) / shares.length).toFixed(0);
  const caption = make("figcaption", {}, `${data.kinds[gate.kind]} of layer ${data.layers[gate.layer]}: `
    + `open ${mean(gate.open)} %, shut ${mean(gate.shut)} % of the time`);
  caption.style.maxWidth = `${SIZE + EDGE}px`;
  chart.setAttribute("aria-label", caption.textContent);
  return make("figure", {}, chart, caption);
}
function drawGates() {
  $("gates-section").hidden = data.saturation.length === 0;
  $("lasting").textContent = lastingGates();
  $("gates").replaceChildren(...data.saturation.map(gateFigure));
}

// The page.

$("about").append(...data.about.map(([name, value]) => make("span", {}, name ? `${name}: ${value}` : value)));
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  paint();
  drawLookBack();
  drawGates();
}
$("theme").addEventListener("click", () => dress(isDark() ? "light" : "dark"));
window.addEventListener("resize", drawLookBack);
let screenTheme = ""; // paper is white
window.addEventListener("beforeprint", () => { screenTheme = document.documentElement.dataset.theme; dress("light"); });
window.addEventListener("afterprint", () => dress(screenTheme));
prefersDark.addEventListener("change", () => dress(prefersDark.matches ? "dark" : "light"));
document.documentElement.dataset.theme = prefersDark.matches ? "dark" : "light";
look({ kind: "surprisal" }).then(() => { drawLookBack(); drawGates(); document.body.dataset.ready = "true"; });
