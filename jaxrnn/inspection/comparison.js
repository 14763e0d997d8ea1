// The surprisal of other runs on the same text, and its difference from that of the inspected one; see comparison.py.

const LARGEST_DIFFERENCE = 3; // nats; all above is as dark
function otherNats(t, run = view.run) { // null where that run has no prediction
  return data.compared[run].nats[t];
}
function comparisonShare(t) {
  const nats = otherNats(t);
  if (t === 0 || nats === null) return 0;
  return view.kind === "surprisal" ? nats / LARGEST_SURPRISAL : (nats - data.nats[t - 1]) / LARGEST_DIFFERENCE;
}
function rangeOfDifference() {
  return { low: -1, left: `\u2212${LARGEST_DIFFERENCE} nats (blue)`, right: `+${LARGEST_DIFFERENCE} nats (orange)`, levels: 255 };
}
function explainComparison({ kind, run }) {
  const name = data.compared[run].run;
  if (kind === "surprisal") return `The surprisal of each ${data.token} to ${name}. It has no color where ${name} has no prediction.`;
  return `How much more surprised ${name} is than ${data.name}: orange where ${data.name} predicts better, blue where ${name} does.`;
}
function compareNats(t) { // for the details
  return data.compared.map(({ run }, i) => {
    const nats = otherNats(t, i);
    return make("p", {}, `${run}: ${nats === null ? "no prediction" : `${nats.toFixed(2)} nats`}`);
  });
}
data.compared.forEach(({ run }, i) => {
  $("view").append(make("option", { value: `surprisal ${i}` }, `surprisal to ${run}`),
    make("option", { value: `difference ${i}` }, `surprisal to ${run} minus that to ${data.name}`));
});
