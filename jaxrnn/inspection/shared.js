"use strict";
// What the page of `jaxrnn inspect` and that of `jaxrnn play` share. Text from users is only ever added as a text node.
const $ = (id) => document.getElementById(id);
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Names of tokens. A byte of a byte model is the character of its number, or from 0x80 on a lone surrogate.

const INVISIBLE = /[\p{Cc}\p{Co}\p{Cn}\p{Cs}\p{Default_Ignorable_Code_Point}\u2028\u2029\ufff9-\ufffb]/u;
const SIGNS = { "\n": "\u21b5", " ": "\u2423", "\t": "\u21e5" };
const byteOf = (c) => c.charCodeAt(0) % 0xdc00;
const escapedByte = (c) => "\\x" + byteOf(c).toString(16).padStart(2, "0");
const codePoint = (c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
function nameOf(c, isBytes) { // in a list, where each token stands alone
  if (c in SIGNS) return SIGNS[c];
  if (isBytes && !/[!-~]/.test(c)) return escapedByte(c);
  if (INVISIBLE.test(c) || /\p{Z}/u.test(c)) return codePoint(c);
  return /\p{M}/u.test(c) ? "\u25cc" + c : c; // a combining mark, on a dotted circle
}
function inText(c) { // in the text: an invisible character has a label, which also takes its effect on its neighbors away
  return c !== "\n" && c !== "\t" && INVISIBLE.test(c) ? { text: codePoint(c), isLabel: true } : { text: c, isLabel: false };
}

function percent(p) {
  if (p < 0.0001) return "< 0.01 %";
  if (p > 0.9995 && p < 1) return "> 99.9 %";
  return `${(100 * p).toFixed(p < 0.01 ? 2 : 1)} %`;
}

// Colors: blue below zero, orange above; they also differ in lightness.

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : prefersDark.matches;
}
const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));
function colorOf(share) { // from -1 to 1
  const middle = isDark() ? [20, 23, 27] : [255, 255, 255];
  const end = share < 0 ? (isDark() ? [74, 144, 226] : [29, 90, 172]) : (isDark() ? [240, 150, 50] : [200, 90, 0]);
  return mix(middle, end, Math.min(1, Math.abs(share)));
}
const luminance = ([r, g, b]) => [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const inkOn = (rgb) => (luminance(rgb) > 0.179 ? "#000000" : "#ffffff");
const css = (rgb) => `rgb(${rgb.join(",")})`;
function paintSpan(span, share) {
  const rgb = colorOf(share);
  span.style.backgroundColor = css(rgb);
  span.style.color = inkOn(rgb);
}

const LARGEST_SURPRISAL = 6; // nats; all above is as dark
