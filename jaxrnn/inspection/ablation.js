// Ablation: how much worse the text is predicted without a unit; see ablation.py.

const costs = new Map(data.ablation.map((of) => [of.layer, of.costs])); // nats, by layer
const costOf = (layer, unit) => costs.get(layer)?.[unit] ?? 0;
const shownCost = (layer, unit) => (costs.has(layer) ? signed(costOf(layer, unit), 4) : "");
function mostUsed(count) { // [layer, unit], the most expensive first
  const units = [...costs].flatMap(([layer, ofLayer]) => ofLayer.map((_, unit) => [layer, unit]));
  return units.sort((a, b) => costOf(...b) - costOf(...a)).slice(0, count);
}
function showMostUsed() {
  $("ablation-section").hidden = costs.size === 0;
  if (costs.size === 0) return;
  const rows = mostUsed(10), largest = Math.max(costOf(...rows[0]), 1e-9);
  $("ablation").tBodies[0].append(...rows.map(([layer, unit]) => {
    const button = unitButton(indexOf({ layer, kind: "h" }), unit);
    return make("tr", {}, make("td", {}, button), make("td", {}, shownCost(layer, unit)), barOf(costOf(layer, unit) / largest));
  }));
  const read = Math.min(...data.ablation.map((of) => of.characters));
  if (read < characters.length) $("ablated").textContent = `the first ${read} ${data.token}s`;
}
