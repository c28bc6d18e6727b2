
// How the model learns. Written once by hand.

let steps = 0;

function flatten(value, to, where) {
  for (const item of value) {
    if (isList(item)) flatten(item, to, where);
    else to.push(item);
  }
  return to;
}

// Adding up multiples of zero tells whether there is a NaN or an infinity.
function checkFinite(data, where) {
  let a = 0, b = 0, c = 0, d = 0;
  const whole = data.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    a += data[i] * 0;
    b += data[i + 1] * 0;
    c += data[i + 2] * 0;
    d += data[i + 3] * 0;
  }
  for (let i = whole; i < data.length; i++) a += data[i] * 0;
  if (a + b + c + d !== 0) throw new RangeError(`${where} holds a number that is not finite`);
}

// Puts class numbers where 1 stands in rows of zeros.
function setClasses(numbers, classes, to, where) {
  to.fill(0, 0, numbers.length * classes);
  for (let i = 0; i < numbers.length; i++) {
    const number = Number(numbers[i]);
    if (!Number.isInteger(number) || number < 0 || number >= classes) {
      throw new RangeError(`${where}: ${numbers[i]} is no class; there are ${classes}, from 0`);
    }
    to[i * classes + number] = 1;
  }
}

function setTarget(value, target, rows, to) {
  const where = `the target of ${quote(target.name)}`;
  const size = product(target.shape.slice(1));
  if (typeof value === "number") value = [value];
  if (!isList(value)) throw new TypeError(`${where}: expected a number or a list of numbers`);
  const flat = isFlat(value) ? value : flatten(value, [], where);
  const numbers = target.classes ? (rows * size) / target.classes : -1;
  if (flat.length === rows * size) {
    copyNumbers(flat, to, 0, where, kindOf(target));
    checkFinite(to.subarray(0, flat.length), where);
  } else if (flat.length === numbers) {
    setClasses(flat, target.classes, to, where);
  } else {
    const labels = target.classes ? ` or ${numbers} class numbers` : "";
    throw new RangeError(
      `${where}: ${flat.length} numbers; ${rows} samples need ${rows * size}${labels}`
    );
  }
}

function targetsByName(y) {
  if (targets.length === 1 && (typeof y !== "object" || y === null || isList(y))) return [y];
  const names = targets.map(({ name }) => JSON.stringify(name)).join(", ");
  if (typeof y !== "object" || y === null || isList(y)) {
    throw new TypeError(`the targets are an object with ${names}`);
  }
  return targets.map(({ name }) => {
    if (!Object.prototype.hasOwnProperty.call(y, name)) {
      throw new TypeError(`the target of ${JSON.stringify(name)} is missing`);
    }
    return y[name];
  });
}

function option(options, name, usual, isRight) {
  const given = options[name] ?? usual;
  if (typeof given !== "number" || !isRight(given)) {
    throw new RangeError(`${name} is ${given}, which is no such number`);
  }
  return given;
}

export function train(x, y, options = {}) {
  const rate = option(options, "learningRate", training.learningRate, (v) => v >= 0 && v < Infinity);
  const seed = option(options, "seed", training.seed, (v) => Number.isInteger(v) && v >= 0);
  const { given, rows } = readInputs(x);
  given.forEach((one, k) => {
    if (kindOf(inputs[k]) === "float") checkFinite(one.flat, `input ${quote(inputs[k].name)}`);
  });
  if (rows > training.batch) {
    throw new RangeError(`a training step takes at most ${training.batch} samples, not ${rows}`);
  }
  targetsByName(y).forEach((value, k) => setTarget(value, targets[k], rows, training.targets[k]));
  given.forEach(({ flat }, k) => training.inputs[k].set(flat));
  training.rate[0] = rate;
  training.count[0] = steps + 1;
  [seed, steps, 0].forEach((word, k) => {
    if (training.random[k]) training.random[k][0] = word;
  });
  runTraining(rows);
  steps += 1;
  return training.loss[0];
}

const savedTypes = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, int16: Int16Array,
  int32: Int32Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, bool: Uint8Array,
};

function encode(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  if (typeof bytes.toBase64 === "function") return bytes.toBase64();
  if (typeof Buffer === "function") return Buffer.from(bytes).toString("base64");
  let characters = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    characters += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(characters);
}

function savedWeight({ dtype, shape, values, constant }) {
  if (constant) return constant;
  // What has no typed array of its own (float16, int64) is written as what it is computed in.
  if (!savedTypes[dtype]) dtype = values instanceof Float32Array ? "float32" : "int32";
  return { dtype, shape, data: encode(savedTypes[dtype].from(values)) };
}

const weightNamed = (name) => training.weights.find((weight) => weight.name === name);

// The weights of a fully connected layer as js-mind has them: rows of inputs, one an output.
function savedLayer({ w, b, transposed, scale, ...properties }) {
  const kernel = weightNamed(w), bias = weightNamed(b).values;
  const [columns, rows] = transposed ? kernel.shape : [...kernel.shape].reverse();
  const at = (i, j) => kernel.values[transposed ? j * rows + i : i * columns + j] * scale;
  const { className, ...rest } = properties;
  const matrix = Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) => at(i, j))
  );
  return { className, properties: { ...rest, w: matrix, b: Array.from(bias, (v) => [v]) } };
}

export function save() {
  for (const { name, values } of training.weights) {
    if (values && values instanceof Float32Array) checkFinite(values, `the weight ${JSON.stringify(name)}`);
  }
  if (training.layers) return JSON.stringify(training.layers.map(savedLayer));
  const weights = training.weights.map((weight) => [weight.name, savedWeight(weight)]);
  return JSON.stringify({
    format: "layerport", version: 2, network: training.network, weights: Object.fromEntries(weights),
  });
}

const sameShape = (a, b) => a.length === b.length && a.every((extent, k) => extent === b[k]);

function loadedWeight(entry, { name, shape }) {
  const where = `the weight ${JSON.stringify(name)}`;
  if (typeof entry !== "object" || entry === null) throw new TypeError(`${where} is missing`);
  if (!Array.isArray(entry.shape) || !sameShape(entry.shape, shape)) {
    throw new RangeError(`${where} has the shape ${JSON.stringify(entry.shape)}, not ${show(shape)}`);
  }
  let values = entry.values;
  if (typeof entry.data === "string") {
    const Kind = savedTypes[entry.dtype];
    if (!Kind) throw new TypeError(`${where} is of type ${entry.dtype}, which cannot be read here`);
    const bytes = decode(entry.data);
    if (bytes.byteLength % Kind.BYTES_PER_ELEMENT) throw new RangeError(`${where} is cut off`);
    values = new Kind(bytes);
  }
  if (!isList(values) || values.length !== product(shape)) {
    throw new RangeError(`${where} does not hold ${product(shape)} numbers`);
  }
  return values;
}

function fromVersion2(data) {
  if (data.format !== "layerport" || data.version !== 2 || typeof data.weights !== "object") {
    throw new TypeError("this is no layers.json of version 2");
  }
  const surplus = Object.keys(data.weights).find((name) => !weightNamed(name));
  if (surplus !== undefined) throw new TypeError(`this model has no weight ${JSON.stringify(surplus)}`);
  return training.weights.map((weight) => {
    const own = Object.prototype.hasOwnProperty.call(data.weights, weight.name);
    return [weight, loadedWeight(own ? data.weights[weight.name] : undefined, weight)];
  });
}

function fromLayers(data) {
  if (!training.layers || data.length !== training.layers.length) {
    throw new TypeError(`this model does not consist of ${data.length} layers of js-mind`);
  }
  return data.flatMap((entry, k) => {
    const { w, b, transposed, scale } = training.layers[k];
    const kernel = weightNamed(w), bias = weightNamed(b);
    const [columns, rows] = transposed ? kernel.shape : [...kernel.shape].reverse();
    const given = entry?.properties ?? {};
    const size = rows * columns;
    const flat = isList(given.w) ? flatten(given.w, []) : [];
    const offsets = isList(given.b) ? flatten(given.b, []) : [];
    if (flat.length !== size || given.w.length !== rows || offsets.length !== rows) {
      throw new RangeError(`layer ${k} does not have ${rows} rows of ${columns} weights`);
    }
    const values = new Float64Array(size);
    flat.forEach((value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      values[transposed ? column * rows + row : i] = value / scale;
    });
    return [[kernel, values], [bias, offsets]];
  });
}

export function load(json) {
  const data = typeof json === "string" ? JSON.parse(json) : json;
  if (typeof data !== "object" || data === null) throw new TypeError("this is no layers.json");
  const found = Array.isArray(data) ? fromLayers(data) : fromVersion2(data);
  for (const [{ name, values }, given] of found) {
    const where = `the weight ${JSON.stringify(name)}`;
    if (!values) continue;
    const checked = new values.constructor(given.length);
    copyNumbers(given, checked, 0, where, values instanceof Float32Array ? "float" : "int");
    checkFinite(checked, where);
  }
  for (const [{ values }, given] of found) if (values) values.set(given);
  training.slots.forEach(([values, start]) => values.fill(start));
  steps = 0;
}
