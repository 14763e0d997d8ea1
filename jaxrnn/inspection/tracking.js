
// Units that follow something: the ranking of page.py, and a search by pattern.

function indexOf({ layer, kind }) {
  return data.tracks.findIndex((track) => track.layer === layer && track.kind === kind);
}
function unitButton(track, unit) {
  const { kind, layer } = data.tracks[track];
  const button = make("button", { type: "button" }, `${kind}, unit ${unit}, layer ${data.layers[layer]}`);
  button.addEventListener("click", () => {
    lookAt(track, unit);
    $("controls").scrollIntoView({ block: "start" });
  });
  return button;
}
function barOf(share) {
  const bar = make("b");
  bar.style.width = `${100 * Math.abs(share)}%`;
  return make("td", { class: "bar" }, bar);
}
function rowOf(track, unit, score, before = [], after = []) {
  const cell = (text) => make("td", {}, text);
  return make("tr", {}, ...before.map(cell), make("td", {}, unitButton(track, unit)), cell(Math.abs(score).toFixed(2)),
    ...after.map(cell), cell(shownCost(data.tracks[track].layer, unit)), barOf(score));
}
function showRanking() {
  const rows = data.tracking.map((found, i) => {
    const isFirst = found.feature !== data.tracking[i - 1]?.feature;
    return rowOf(indexOf(found), found.unit, found.score, [isFirst ? found.feature : ""], [found.baseline.toFixed(2)]);
  });
  const none = "This text has none of these features often enough: 4 times in each half.";
  $("tracking").tBodies[0].append(...(rows.length ? rows : [make("tr", {}, make("td", { colspan: 6 }, none))]));
}
showRanking();
showMostUsed();

// Regular expressions run in a worker, which is stopped if one takes too long; in the page it would hang the tab.

const LONGEST_SEARCH = 2000; // milliseconds
const MATCHER = `onmessage = ({ data: { source, text } }) => {
  try {
    const found = [...text.matchAll(new RegExp(source, "gmu"))];
    postMessage({ ranges: found.map((match) => [match.index, match.index + match[0].length]) });
  } catch (error) { postMessage({ problem: "Not a regular expression: " + error.message }); }
};`;
function findRanges(source) {
  const address = URL.createObjectURL(new Blob([MATCHER], { type: "text/javascript" })), worker = new Worker(address);
  return new Promise((resolve) => {
    const stop = setTimeout(() => resolve({ problem: "This pattern takes too long; change it." }), LONGEST_SEARCH);
    worker.onmessage = (event) => { clearTimeout(stop); resolve(event.data); };
    worker.postMessage({ source, text: data.text });
  }).finally(() => { worker.terminate(); URL.revokeObjectURL(address); });
}
function flagsOf(ranges) { // 1 inside of a match, by character
  const flags = new Float32Array(characters.length), starts = new Map(); // by UTF-16 unit, as regular expressions count
  let unit = 0;
  characters.forEach((c, t) => { starts.set(unit, t); unit += c.length; });
  for (const [start, end] of ranges) {
    for (let i = start; i < end; i++) if (starts.has(i)) flags[starts.get(i)] = 1;
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
async function rankUnits(flags) { // [track, unit, score] of all states that are not left out
  const found = [];
  for (const [index, track] of data.tracks.entries()) {
    if (track.kind !== "h" && track.kind !== "c") continue;
    for (let unit = 0; unit < track.scales.length; unit++) {
      const activities = await activity(index, unit);
      if (activities !== null) found.push([index, unit, correlation(activities, flags)]);
    }
  }
  return found.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
}
function precisionNote() { // of the coarsest state
  const states = data.tracks.filter((track) => track.kind === "h" || track.kind === "c");
  const levels = Math.min(...states.map((track) => track.levels[1]));
  if (levels === 255) return "";
  const values = levels === 0 ? "only the ranked units are on this page" : `most states have ${levels} shades on this page`;
  return ` The order is approximate, because ${values}; jaxrnn inspect --pattern ranks all units in full precision.`;
}
let searching = 0; // so that an answer that comes late is not shown
async function search(source) {
  const ticket = ++searching, say = (text) => { if (ticket === searching) $("found-note").textContent = text; };
  spans.forEach((span) => span.classList.remove("match"));
  $("found").hidden = true;
  if (source === "") return say("");
  say("Looking\u2026");
  const { ranges, problem } = await findRanges(source);
  if (problem) return say(problem);
  const flags = flagsOf(ranges), count = flags.reduce((sum, flag) => sum + flag, 0);
  if (count === 0 || count === flags.length) return say(count ? "It matches everything." : "It matches nothing here.");
  const found = await rankUnits(flags);
  if (ticket !== searching) return;
  flags.forEach((flag, t) => spans[t].classList.toggle("match", flag === 1));
  $("found").tBodies[0].replaceChildren(...found.slice(0, 8).map((row) => rowOf(...row)));
  $("found").hidden = false;
  say(`${count} ${data.token}s match; they are underlined. These units follow them best, over the whole text, `
    + `so that with few matches chance has its share.${precisionNote()}`);
}
$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search($("pattern").value);
});
