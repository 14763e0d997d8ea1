// Loads a model exported with `jaxrnn export --format onnx` in a browser, describes it, and samples from it. Independent
// of the page, for use in your own.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("./node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1; // more threads need server headers and do not speed up matrix products this small

const LARGEST = 65536; // maximum units of a layer and characters of a vocabulary
const PIECE = 256; // characters of the prompt per call

export class ModelError extends Error {} // its message is shown to the user

// Opens a model from the bytes of its file: {about, sample, release}.
export async function openModel(bytes) {
  const about = describe(bytes);
  let session;
  try {
    session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 4 });
  } catch (error) {
    throw corrupt(error);
  }
  const missing = ["tokens", ...about.states.map((state) => state.input)].filter((name) => !session.inputNames.includes(name));
  if (missing.length > 0) throw new ModelError(`this file is corrupt: its graph has no input ${missing[0]}`);
  return {
    about,
    sample: (seed, options) => sample(session, about, seed, options),
    release: () => session.release(),
  };
}

// Continues the prompt `seed` and yields one string per token. Temperature 0 always takes the most likely character.
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
      throw corrupt(error);
    }
  }

  let ids = encode(seed);
  for (let written = 0; written < length; written++) {
    const start = ids.lastIndexOf(separator);
    if (start >= 0) [ids, carry] = [ids.slice(start), zeros()]; // a separator resets the state
    for (let at = 0; at < ids.length; at += PIECE) await read(ids.slice(at, at + PIECE));
    ids = [choose(logits, temperature, random)];
    yield decode(ids[0]);
  }
}

// Samples from the softmax: the index of the highest logit after Gumbel noise is added.
function choose(logits, temperature, random) {
  let best = 0, highest = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const score = temperature > 0 ? logits[id] / temperature - Math.log(-Math.log(random())) : logits[id];
    if (score > highest) [best, highest] = [id, score];
  }
  return best;
}

// mulberry32: random numbers in (0, 1) from a 32-bit seed.
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

// The functions from text to ids and from an id to text, and the id of the separator, -1 without a separator.
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
  const start = ["\n", " ", characters[0]].find((character) => ids.has(character)); // replaces an empty prompt
  return {
    encode: (text) => Array.from(text || start, (character) => {
      if (ids.has(character)) return ids.get(character);
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      throw new ModelError(`the character ${JSON.stringify(character)} (U+${code}) is not in the vocabulary; leave it out`);
    }),
    decode: (id) => characters[id],
    separator: separatorId,
  };
}

// Reads the description of the model from the file. An ONNX file is a protobuf message whose field 14 holds metadata, each
// entry a key (field 1) and a value (field 2).
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
    throw new ModelError("this is not an ONNX file, or it is truncated; export the model again");
  }
  if (about === undefined) throw new ModelError("this ONNX file is not from jaxrnn: its metadata has no vocabulary; choose another");
  const isSize = (size) => Number.isInteger(size) && size > 0 && size <= LARGEST;
  const characters = about?.vocabulary?.characters;
  const isWhole = typeof characters === "string" && isSize(Array.from(characters).length) && Array.isArray(about.states)
    && about.states.every((state) => typeof state?.input === "string" && typeof state.output === "string" && isSize(state.size));
  if (!isWhole) throw new ModelError("this file is corrupt: its description of vocabulary and states is invalid; export the model again");
  return { layers: [], separator: null, name: "", ...about, size: Array.from(characters).length };
}

// The fields of a protobuf message that hold bytes, as [number, bytes]; other fields are skipped.
function* fields(bytes) {
  let at = 0;
  function integer() {
    for (let value = 0, scale = 1; scale < 2 ** 63; scale *= 128) {
      const byte = bytes[at++]; // undefined after the end
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError("invalid integer");
  }
  while (at < bytes.length) {
    const tag = integer(), kind = tag % 8;
    const length = { 0: () => (integer(), 0), 1: () => 8, 2: integer, 5: () => 4 }[kind]();
    if (at + length > bytes.length) throw new RangeError("truncated");
    if (kind === 2) yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
    at += length;
  }
}

function corrupt(error) {
  const reason = String(error?.message ?? error).split("\n")[0].slice(0, 200);
  return new ModelError(`this file is corrupt; export the model again (onnxruntime: ${reason})`);
}
