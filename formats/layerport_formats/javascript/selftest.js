
//#if drawn
// Numbers that whoever wrote the model drew as well: `golden.py`.
function drawInputs() {
  let state = golden.seed;
  return inputs.map((port) => {
    const isFloat = kindOf(port) === "float";
    const extents = port.shape.map((extent) => extent ?? golden.samples);
    const data = new (isFloat ? Float32Array : Int32Array)(product(extents));
    for (let i = 0; i < data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      data[i] = isFloat ? state / 2147483648 : state >>> 31;
    }
    return { data };
  });
}
//#else
const drawInputs = () =>
  inputs.map((port, k) => ({
    data: new (kindOf(port) === "float" ? Float32Array : Int32Array)(golden.inputs[k]()),
  }));
//#end

export function selfTest() {
  const { made } = compute(drawInputs(), golden.samples);
  const bytes = golden.outputs();
  let ok = true;
  let maxDifference = 0;
  let start = 0;
  for (const result of made) {
    const Kind = result instanceof Float32Array ? Float32Array : Int32Array;
    const expected = new Kind(bytes, start, result.length);
    start += expected.byteLength;
    const sizes = expected.map(Math.abs).filter(Number.isFinite);
    const scale = sizes.reduce((a, b) => Math.max(a, b), 0);
    expected.forEach((want, i) => {
      if (Object.is(result[i], want) || result[i] === want) return;
      const difference = Math.abs(result[i] - want);
      if (!(difference <= golden.tolerance * (scale + Math.abs(want)))) ok = false;
      maxDifference = Math.max(maxDifference, Number.isNaN(difference) ? Infinity : difference);
    });
  }
  return { ok, maxDifference };
}
