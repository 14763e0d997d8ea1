
// Saliency: which earlier tokens the probability of the selected one depends on; see saliency.py.

let contributions = null; // levels, row by row, once they are unpacked
async function loadSaliency() {
  contributions ??= await inflate(data.saliency.data);
}
const hasSaliency = (t) => t > 0 && t < data.saliency.scales.length;
function contributionsTo(t) { // of the tokens 1, 2, ... before it, in nats
  const { back, levels, per_byte, scales } = data.saliency, row = t * Math.ceil(back / per_byte);
  return Float32Array.from({ length: Math.min(t, back) }, (_, i) => {
    const digit = Math.floor(contributions[row + Math.floor(i / per_byte)] / levels ** (i % per_byte)) % levels;
    return scales[t] * ((2 * digit) / (levels - 1) - 1);
  });
}
let painted = []; // the spans that have a color
function paintSaliency() {
  painted.forEach((t) => paintSpan(spans[t], 0));
  painted = [];
  if (!hasSaliency(here)) return;
  contributionsTo(here).forEach((nats, i) => {
    painted.push(here - 1 - i);
    paintSpan(spans[here - 1 - i], nats / data.saliency.scales[here]);
  });
}
const signed = (nats, digits = 2) => (nats < 0 ? "\u2212" : "+") + Math.abs(nats).toFixed(digits);
function strongest(t, count) { // [place, nats], the largest first
  const found = Array.from(contributionsTo(t), (nats, i) => [t - 1 - i, nats]).filter(([, nats]) => nats !== 0);
  return found.sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).slice(0, count);
}
function describeSaliency() { // for the details
  if (!hasSaliency(here)) {
    return [make("p", {}, here === 0 ? "Nothing comes before it." : `Saliency is computed for the first ${data.saliency.scales.length} ${data.token}s.`)];
  }
  const row = ([place, nats]) => make("li", {}, key(characters[place]), ` ${here - place} back: ${signed(nats)} nats`);
  return [make("h2", {}, "its probability depends most on"), make("ol", { class: "strongest" }, ...strongest(here, 5).map(row))];
}
