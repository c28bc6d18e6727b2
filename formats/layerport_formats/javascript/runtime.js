// How the model is called. Written by hand; what `minify.py` says holds for it. Lines between
// "//#if" and "//#end" are for models with that feature.

//#if types
const arrayTypes = { float: Float32Array, int: Int32Array, bool: Uint8Array };
//#end
const quote = JSON.stringify;
const show = (extents) => `[${extents.map((extent) => extent ?? "n").join(", ")}]`;
const product = (extents) => extents.reduce((total, extent) => total * extent, 1);
const isTyped = (x) => ArrayBuffer.isView(x) && !(x instanceof DataView);
const isList = (x) => Array.isArray(x) || isTyped(x);
const isFlat = (x) => isTyped(x) || !isList(x[0]);
const kindOf = ({ dtype }) => ["float", "int", "bool"].find((kind) => dtype.includes(kind));
const whatIs = (x) => (x === null ? "null" : isList(x) ? "a list" : typeof x);

function wrongType(where, problem) {
  throw new TypeError(`${where}: ${problem}`);
}

function wrongSize(where, problem) {
  throw new RangeError(`${where}: ${problem}`);
}

function decode(text) {
  const bytes =
    Uint8Array.fromBase64?.(text) ??
    (typeof Buffer === "function"
      ? Buffer.from(text, "base64")
      : Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  return new Uint8Array(bytes).buffer;
}

// Bytes as `text.py` writes them: a character each, or two where a blank or "!" comes before.
function decodeCode(text, first) {
  const bytes = [];
  let start = first;
  for (let i = 0; i < text.length; i++) {
    const place = text.charCodeAt(i) - 35;
    if (place < 0) start = first - 91 * (place + 1);
    else {
      bytes.push(start + place);
      start = first;
    }
  }
  return Uint8Array.from(bytes);
}

// Copies numbers and checks each; `where` is for messages.
function copyNumbers(source, to, offset, where, kind) {
  //#if ints
  if (kind === "float" && isTyped(source) && typeof source[0] === "number") {
  //#else
  if (isTyped(source) && typeof source[0] === "number") {
  //#end
    to.set(source, offset);
    return;
  }
  for (let i = 0; i < source.length; i++) {
    if (!["number", "bigint", "boolean"].includes(typeof source[i])) {
      wrongType(where, `expected a number at position ${i}, got ${whatIs(source[i])}`);
    }
    //#if ints
    const value = Number(source[i]);
    if (kind === "int" && !Number.isInteger(value)) {
      wrongType(where, `expected an integer at position ${i}, got ${value}`);
    }
    if (kind === "int" && (value < -2147483648 || value > 4294967295)) {
      wrongSize(where, `${value} at position ${i} does not fit into 32 bits`);
    }
    to[offset + i] = kind === "bool" ? (value ? 1 : 0) : value;
    //#else
    to[offset + i] = Number(source[i]);
    //#end
  }
}

// Copies a list nested as `extents` say; its last levels may be flat. Returns the offset behind it.
function copyNested(source, extents, to, offset, where, kind) {
  if (!isList(source)) wrongType(where, `expected lists nested as ${show(extents)}`);
  if (isFlat(source)) {
    const size = product(extents);
    if (source.length !== size) {
      wrongSize(where, `${source.length} numbers where ${show(extents)} has ${size}`);
    }
    copyNumbers(source, to, offset, where, kind);
    return offset + size;
  }
  if (extents.length < 2 || source.length !== extents[0]) {
    wrongSize(where, `a list of ${source.length} lists where ${show(extents)} was expected`);
  }
  for (const part of source) offset = copyNested(part, extents.slice(1), to, offset, where, kind);
  return offset;
}

const depthOf = (x) => (isList(x) ? 1 + (isFlat(x) ? 0 : depthOf(x[0])) : 0);

// One input as flat numbers: { flat, rows, form }; form: "flat", "rows" (nested), "row" (nested,
// one sample without a batch axis).
function readInput(value, port) {
  const where = { toString: () => `input ${quote(port.name)}` };  // made when it is needed
  //#if ints
  const kind = kindOf(port);
  const isFloat = kind === "float";
  //#end
  //#if fixed
  const batched = port.shape[0] === null;
  const extents = batched ? port.shape.slice(1) : port.shape;
  //#else
  const extents = port.shape.slice(1);
  //#end
  const size = product(extents);
  if (typeof value === "number" && size === 1) value = [value];
  if (!isList(value)) {
    wrongType(where, `expected a typed array or (nested) array, got ${whatIs(value)}`);
  }
  let rows = value.length;
  let form = "rows";
  let whole = [rows, ...extents];
  if (isFlat(value)) {
    whole = [rows];
    rows /= size;
    form = "flat";
    //#if fixed
    if (!(rows >= 1) || rows % 1 || (!batched && rows > 1)) {
    //#else
    if (!(rows >= 1) || rows % 1) {
    //#end
      const each = `${show(port.shape)} needs ${size} each`;
      wrongSize(where, `${value.length} numbers are no whole number of samples: ${each}`);
    }
    //#if ints
    if (isFloat && value instanceof Float32Array) return { flat: value, rows, form };
    //#else
    if (value instanceof Float32Array) return { flat: value, rows, form };
    //#end
  //#if fixed
  } else if (!batched) {
    rows = 1;
    whole = extents;
  //#end
  } else if (
    depthOf(value) < port.shape.length &&
    !value.every((row) => isList(row) && isFlat(row) && row.length === size)
  ) {
    rows = 1;
    whole = extents;
    form = "row";
  }
  //#if ints
  const flat = new (isFloat ? Float32Array : Int32Array)(rows * size);
  copyNested(value, whole, flat, 0, where, kind);
  //#else
  const flat = new Float32Array(rows * size);
  copyNested(value, whole, flat, 0, where);
  //#end
  return { flat, rows, form };
}

function byName(x) {
  const isNamed = Object(x) === x && !Array.isArray(x) && !ArrayBuffer.isView(x);
  //#if inputs
  if (!isNamed) {
    const names = inputs.map(({ name }) => quote(name)).join(", ");
    throw new TypeError(`this model takes an object with the inputs ${names}`);
  }
  //#else
  if (!isNamed) return [x];
  //#end
  for (const key of Object.keys(x)) {
    if (!inputs.some(({ name }) => name === key)) {
      throw new TypeError(`this model has no input ${quote(key)}`);
    }
  }
  return inputs.map(({ name }) => {
    if (!Object.hasOwn(x, name)) throw new TypeError(`the input ${quote(name)} is missing`);
    return x[name];
  });
}

// The inputs as flat numbers, in order, and the number of samples.
function readInputs(x) {
  const given = byName(x).map((value, k) => readInput(value, inputs[k]));
  //#if fixed
  const batched = inputs.findIndex(({ shape }) => shape[0] === null);
  const rows = batched < 0 ? 1 : given[batched].rows;
  //#else
  const { rows } = given[0];
  //#end
  //#if inputs
  given.forEach((one, k) => {
    if (inputs[k].shape[0] === null && one.rows !== rows) {
      throw new RangeError(`the inputs have ${rows} and ${one.rows} samples`);
    }
  });
  //#end
  return { given, rows };
}

function nest(numbers, extents) {
  if (!extents.length) return numbers[0];
  if (extents.length === 1) return Array.from(numbers);
  const size = product(extents.slice(1));
  return Array.from({ length: extents[0] }, (_, i) =>
    nest(numbers.subarray(i * size, (i + 1) * size), extents.slice(1))
  );
}

//#if affine
const shapesFor = (rows) =>
  outputExtents.map((extents) => extents.map(([constant, each]) => constant + each * rows));
//#else
const shapesFor = (rows) => outputs.map(({ shape }) => shape.map((extent) => extent ?? rows));
//#end

// Elements that lie in a buffer with these strides, one behind the other.
function gather(source, extents, strides, to = new source.constructor(source.length)) {
  let next = 0;
  const walk = (axis, place) => {
    if (axis === extents.length) {
      to[next++] = source[place];
      return;
    }
    for (let i = 0; i < extents[axis]; i++) walk(axis + 1, place + i * strides[axis]);
  };
  walk(0, 0);
  return to;
}

function compute(given, rows) {
  //#if whole
  if (rows > largestBatch) {
    throw new RangeError(`this model takes at most ${largestBatch} samples at once, not ${rows}`);
  }
  //#end
  const shapes = shapesFor(rows);
  //#if types
  const made = shapes.map((extents, k) => new arrayTypes[kindOf(outputs[k])](product(extents)));
  //#else
  const made = shapes.map((extents) => new Float32Array(product(extents)));
  //#end
  //#if whole
  given.forEach(({ flat }, k) => inputBuffers[k].set(flat));
  run(rows);
  // Results lie in their buffers as those of the largest batch do.
  const rooms = shapesFor(largestBatch);
  made.forEach((to, k) => {
    const strides = rooms[k].map((_, axis) => product(rooms[k].slice(axis + 1)));
    gather(outputBuffers[k], shapes[k], strides, to);
  });
  //#else
  for (let start = 0; start < rows; start += largestBatch) {
    const end = Math.min(start + largestBatch, rows);
    given.forEach(({ flat }, k) => {
      const size = flat.length / rows;
      inputBuffers[k].set(flat.subarray(start * size, end * size));
    });
    run(end - start);
    made.forEach((to, k) => {
      const size = to.length / rows;
      to.set(outputBuffers[k].subarray(0, (end - start) * size), start * size);
    });
  }
  //#end
  return { made, shapes };
}

export function predict(x) {
  const { given, rows } = readInputs(x);
  const { made, shapes } = compute(given, rows);
  //#if inputs
  const allFlat = given.every(({ form }) => form === "flat");
  const isSingle = given.some(({ form }) => form === "row");
  //#else
  const allFlat = given[0].form === "flat";
  const isSingle = given[0].form === "row";
  //#end
  const results = made.map((numbers, k) => {
    if (allFlat) return numbers;
    const withoutBatch = isSingle && outputs[k].shape[0] === null && shapes[k][0] === 1;
    return nest(numbers, withoutBatch ? shapes[k].slice(1) : shapes[k]);
  });
  //#if results
  return Object.fromEntries(outputs.map(({ name }, k) => [name, results[k]]));
  //#else
  return results[0];
  //#end
}
