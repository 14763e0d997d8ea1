// A model that `jaxrnn export --format onnx` wrote, in a browser: what it says of itself, and text from it. There is no
// page in this file; take it into your own.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("./node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1; // more need headers from the server, and products this small gain nothing by them

const LARGEST = 65536; // units of a layer, characters of a vocabulary
const PIECE = 256; // characters of a beginning that are read by one call

export class ModelError extends Error {} // its message is for people to read

// Opens a model from the bytes of its file: {about, sample, release}.
export async function openModel(bytes) {
  const about = describe(bytes);
  let session;
  try {
    session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
  } catch (error) {
    throw damaged(error);
  }
  const missing = ["tokens", ...about.states.map((state) => state.input)].filter((name) => !session.inputNames.includes(name));
  if (missing.length > 0) throw new ModelError(`this file is damaged: its graph does not take ${missing[0]}`);
  return {
    about,
    sample: (seed, options) => sample(session, about, seed, options),
    release: () => session.release(),
  };
}

// Goes on from the text `seed`, and yields a string at a time. Temperature 0 takes the most likely character each time.
async function* sample(session, about, seed, { length, temperature, rngSeed }) {
  const { encode, decode, separator } = alphabet(about);
  const random = randomNumbers(rngSeed);
  const zeros = () => Object.fromEntries(about.states.map(({ input, size }) => [input, new ort.Tensor("float32", new Float32Array(size), [1, size])]));
  let carry = zeros(), logits;

  async function read(ids) {
    const tokens = new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]);
    try {
      const outputs = await session.run({ tokens, ...carry });
      carry = Object.fromEntries(about.states.map(({ input, output }) => [input, outputs[output]]));
      logits = outputs.logits.data.subarray(-about.size); // of the last character
    } catch (error) {
      throw damaged(error);
    }
  }

  let ids = encode(seed);
  for (let written = 0; written < length; written++) {
    const start = ids.lastIndexOf(separator);
    if (start >= 0) [ids, carry] = [ids.slice(start), zeros()]; // nothing before a separator has a say in what follows it
    for (let at = 0; at < ids.length; at += PIECE) await read(ids.slice(at, at + PIECE));
    ids = [choose(logits, temperature, random)];
    yield decode(ids[0]);
  }
}

// The likeliest after Gumbel noise is a draw from the softmax.
function choose(logits, temperature, random) {
  let best = 0, highest = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const score = temperature > 0 ? logits[id] / temperature - Math.log(-Math.log(random())) : logits[id];
    if (score > highest) [best, highest] = [id, score];
  }
  return best;
}

// Numbers between 0 and 1, neither of them, from a seed of 32 bits: mulberry32.
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

// From text to ids, from an id to text, and the id at which a text begins anew (-1 where there is none).
function alphabet({ vocabulary, separator }) {
  const characters = Array.from(vocabulary.characters), ids = new Map(characters.map((character, id) => [character, id]));
  const separatorId = separator === null ? -1 : ids.get(separator) ?? -1;
  if (vocabulary.tokens === "bytes") {
    const decoder = new TextDecoder(); // a character may take several bytes
    return {
      encode: (text) => Array.from(new TextEncoder().encode(text || "\n")),
      decode: (id) => decoder.decode(Uint8Array.of(id), { stream: true }),
      separator: separatorId,
    };
  }
  const beginning = ["\n", " ", characters[0]].find((character) => ids.has(character)); // where none is typed
  return {
    encode: (text) => Array.from(text || beginning, (character) => {
      if (ids.has(character)) return ids.get(character);
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      throw new ModelError(`the model does not know the character ${JSON.stringify(character)} (U+${code}); leave it out`);
    }),
    decode: (id) => characters[id],
    separator: separatorId,
  };
}

// What the file says of the model within it. An ONNX file is a protobuf message: its field 14 is metadata, of each a key
// (field 1) and a value (field 2).
function describe(bytes) {
  if (bytes.length === 0) throw new ModelError("this file is empty");
  const text = new TextDecoder();
  let about;
  try {
    for (const [field, pair] of fields(bytes)) {
      if (field !== 14) continue;
      const { 1: key, 2: value } = Object.fromEntries(fields(pair));
      if (key !== undefined && value !== undefined && text.decode(key) === "jaxrnn") about = JSON.parse(text.decode(value));
    }
  } catch {
    throw new ModelError("this is no ONNX file, or it was cut short; export the model once more");
  }
  if (about === undefined) throw new ModelError("this ONNX file is not from jaxrnn: it does not say what its characters are");
  const isSize = (size) => Number.isInteger(size) && size > 0 && size <= LARGEST;
  const characters = about?.vocabulary?.characters;
  const isWhole = typeof characters === "string" && isSize(Array.from(characters).length) && Array.isArray(about.states)
    && about.states.every((state) => typeof state?.input === "string" && typeof state.output === "string" && isSize(state.size));
  if (!isWhole) throw new ModelError("this file is damaged: it does not describe its characters and states");
  return { layers: [], separator: null, name: "", ...about, size: Array.from(characters).length };
}

// The fields of a protobuf message that hold bytes, as [number, bytes]; the others are passed over.
function* fields(bytes) {
  let at = 0;
  function integer() {
    for (let value = 0, scale = 1; scale < 2 ** 63; scale *= 128) {
      const byte = bytes[at++]; // undefined behind the end
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError("no integer");
  }
  while (at < bytes.length) {
    const tag = integer(), kind = tag % 8;
    const length = { 0: () => (integer(), 0), 1: () => 8, 2: integer, 5: () => 4 }[kind]();
    if (at + length > bytes.length) throw new RangeError("cut short");
    if (kind === 2) yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
    at += length;
  }
}

function damaged(error) {
  const said = String(error?.message ?? error).split("\n")[0].slice(0, 200);
  return new ModelError(`this file is damaged; export the model once more (onnxruntime says: ${said})`);
}
