// How the model is called. Written once by hand; everything above it is generated.

const arrayTypes = { float: Float32Array, int: Int32Array, bool: Uint8Array };
const show = (shape) => `[${shape.map((extent) => extent ?? "n").join(", ")}]`;
const product = (shape) => shape.reduce((total, extent) => total * extent, 1);
const isTyped = (x) => ArrayBuffer.isView(x) && !(x instanceof DataView);
const isList = (x) => Array.isArray(x) || isTyped(x);
const isFlat = (x) => isTyped(x) || x.length === 0 || !isList(x[0]);
const kindOf = ({ dtype }) => ["float", "int", "bool"].find((kind) => dtype.includes(kind));
const rowShape = (port) => (port.shape[0] === null ? port.shape.slice(1) : port.shape);

function decode(text) {
  if (typeof Uint8Array.fromBase64 === "function") return Uint8Array.fromBase64(text).buffer;
  if (typeof Buffer === "function") return new Uint8Array(Buffer.from(text, "base64")).buffer;
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes.buffer;
}

// Copies numbers and checks each; `where` is for messages.
function copyNumbers(from, to, offset, kind, where) {
  if (kind === "float" && isTyped(from) && !(from instanceof BigInt64Array) &&
      !(from instanceof BigUint64Array)) {
    to.set(from, offset);
    return;
  }
  for (let i = 0; i < from.length; i++) {
    let value = from[i];
    if (typeof value === "bigint" || typeof value === "boolean") value = Number(value);
    if (typeof value !== "number") {
      const got = value === null ? "null" : isList(value) ? "a list" : typeof value;
      throw new TypeError(`${where}: expected a number at position ${i}, got ${got}`);
    }
    if (kind === "int" && !Number.isInteger(value)) {
      throw new TypeError(`${where}: expected an integer at position ${i}, got ${value}`);
    }
    if (kind === "int" && (value < -2147483648 || value > 4294967295)) {
      throw new RangeError(`${where}: ${value} at position ${i} does not fit into 32 bits`);
    }
    to[offset + i] = kind === "bool" ? (value ? 1 : 0) : value;
  }
}

// Copies a list nested as `shape` says; its last levels may be flat. Returns the offset behind it.
function copyNested(from, shape, to, offset, kind, where) {
  if (!isList(from)) throw new TypeError(`${where}: expected lists nested as ${show(shape)}`);
  if (isFlat(from)) {
    const size = product(shape);
    if (from.length !== size) {
      throw new RangeError(`${where}: ${from.length} numbers where ${show(shape)} has ${size}`);
    }
    copyNumbers(from, to, offset, kind, where);
    return offset + size;
  }
  if (shape.length < 2 || from.length !== shape[0]) {
    throw new RangeError(`${where}: a list of ${from.length} lists where ${show(shape)} was expected`);
  }
  for (const part of from) offset = copyNested(part, shape.slice(1), to, offset, kind, where);
  return offset;
}

const depthOf = (x) => (isList(x) ? 1 + (isFlat(x) ? 0 : depthOf(x[0])) : 0);

// One input as flat numbers: { data, rows, form }; form: "flat", "rows" (nested), "row" (nested,
// one sample without a batch axis).
function readInput(value, port) {
  const where = `input ${JSON.stringify(port.name)}`;
  const kind = kindOf(port);
  const shape = rowShape(port);
  const size = product(shape);
  if (typeof value === "number" && size === 1) value = [value];
  if (!isList(value)) {
    const got = value === null ? "null" : typeof value;
    throw new TypeError(`${where}: expected a typed array or (nested) array, got ${got}`);
  }
  if (isFlat(value)) {
    const rows = value.length / size;
    if (rows < 1 || !Number.isInteger(rows) || (port.shape[0] !== null && rows !== 1)) {
      throw new RangeError(
        `${where}: ${value.length} numbers are no whole number of samples: ` +
          `${show(port.shape)} needs ${size}${port.shape[0] === null ? " each" : ""}`
      );
    }
    const form = "flat";
    if (kind === "float" && value instanceof Float32Array) return { data: value, rows, form };
    const data = new (kind === "float" ? Float32Array : Int32Array)(value.length);
    copyNumbers(value, data, 0, kind, where);
    return { data, rows, form };
  }
  const batched = port.shape[0] === null;
  const flatRows = value.every((row) => isList(row) && isFlat(row) && row.length === size);
  const single = !batched || (depthOf(value) < port.shape.length && !flatRows);
  const rows = single ? 1 : value.length;
  const data = new (kind === "float" ? Float32Array : Int32Array)(rows * size);
  copyNested(value, single ? shape : [rows, ...shape], data, 0, kind, where);
  return { data, rows, form: single && batched ? "row" : "rows" };
}

function byName(x) {
  const named = typeof x === "object" && x !== null && !Array.isArray(x) && !ArrayBuffer.isView(x);
  if (!named) {
    if (inputs.length === 1) return [x];
    const names = inputs.map((port) => JSON.stringify(port.name)).join(", ");
    throw new TypeError(`this model takes an object with the inputs ${names}`);
  }
  for (const name of Object.keys(x)) {
    if (!inputs.some((port) => port.name === name)) {
      throw new TypeError(`this model has no input ${JSON.stringify(name)}`);
    }
  }
  return inputs.map((port) => {
    if (!Object.prototype.hasOwnProperty.call(x, port.name)) {
      throw new TypeError(`the input ${JSON.stringify(port.name)} is missing`);
    }
    return x[port.name];
  });
}

function nest(flat, shape) {
  if (shape.length === 0) return flat[0];
  if (shape.length === 1) return Array.from(flat);
  const size = product(shape.slice(1));
  return Array.from({ length: shape[0] }, (_, i) =>
    nest(flat.subarray(i * size, (i + 1) * size), shape.slice(1))
  );
}

// Brings results of a batch together, which lie in their buffer as those of the largest batch do.
function collect(buffer, shape, room, to) {
  let next = 0;
  const walk = (axis, from) => {
    if (axis === shape.length) {
      to[next++] = buffer[from];
      return;
    }
    const step = product(room.slice(axis + 1));
    for (let i = 0; i < shape[axis]; i++) walk(axis + 1, from + i * step);
  };
  walk(0, 0);
}

function compute(given) {
  const batched = inputs.findIndex((port) => port.shape[0] === null);
  const rows = batched < 0 ? 1 : given[batched].rows;
  given.forEach((one, k) => {
    if (inputs[k].shape[0] === null && one.rows !== rows) {
      throw new RangeError(`the inputs have ${rows} and ${one.rows} samples`);
    }
  });
  if (!splittable && rows > largestBatch) {
    throw new RangeError(`this model takes at most ${largestBatch} samples at once, not ${rows}`);
  }
  const shapes = outputShapes.map((shape) => shape(rows));
  const made = shapes.map((shape, k) => new arrayTypes[kindOf(outputs[k])](product(shape)));
  if (!splittable) {
    given.forEach(({ data }, k) => inputBuffers[k].set(data));
    run(rows);
    made.forEach((to, k) => collect(outputBuffers[k], shapes[k], outputShapes[k](largestBatch), to));
    return { made, shapes };
  }
  for (let start = 0; start < rows; start += largestBatch) {
    const end = Math.min(start + largestBatch, rows);
    given.forEach(({ data }, k) => {
      const size = data.length / rows;
      inputBuffers[k].set(data.subarray(start * size, end * size));
    });
    run(end - start);
    made.forEach((to, k) => {
      const size = to.length / rows;
      to.set(outputBuffers[k].subarray(0, (end - start) * size), start * size);
    });
  }
  return { made, shapes };
}

export function predict(x) {
  const given = byName(x).map((value, k) => readInput(value, inputs[k]));
  const { made, shapes } = compute(given);
  const flat = given.every((one) => one.form === "flat");
  const single = given.some((one) => one.form === "row");
  const results = made.map((data, k) => {
    if (flat) return data;
    const withoutBatch = single && outputs[k].shape[0] === null && shapes[k][0] === 1;
    return nest(data, withoutBatch ? shapes[k].slice(1) : shapes[k]);
  });
  if (results.length === 1) return results[0];
  return Object.fromEntries(outputs.map((port, k) => [port.name, results[k]]));
}
