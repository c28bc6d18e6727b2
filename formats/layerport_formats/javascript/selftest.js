//#if drawn
// Numbers that whoever wrote the model drew as well: `golden.py`.
function drawInputs() {
  let state = golden.seed;
  return inputs.map((port) => {
    const extents = port.shape.map((extent) => extent ?? golden.samples);
    //#if ints
    const isFloat = kindOf(port) === "float";
    const flat = new (isFloat ? Float32Array : Int32Array)(product(extents));
    //#else
    const flat = new Float32Array(product(extents));
    //#end
    for (let i = 0; i < flat.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      //#if ints
      flat[i] = isFloat ? state / 2147483648 : state >>> 31;
      //#else
      flat[i] = state / 2147483648;
      //#end
    }
    return { flat };
  });
}
//#else
const drawInputs = () =>
  inputs.map((port, k) => ({
    flat: new (kindOf(port) === "float" ? Float32Array : Int32Array)(golden.inputs[k]()),
  }));
//#end

export function selfTest() {
  const { made } = compute(drawInputs(), golden.samples);
  const bytes = golden.outputs();
  let ok = true;
  let maxDifference = 0;
  let start = 0;
  for (const result of made) {
    //#if types
    const Kind = result instanceof Float32Array ? Float32Array : Int32Array;
    const expected = new Kind(bytes, start, result.length);
    //#else
    const expected = new Float32Array(bytes, start, result.length);
    //#end
    start += expected.byteLength;
    const finite = expected.filter(Number.isFinite);
    const scale = finite.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    expected.forEach((want, i) => {
      const difference = Object.is(result[i], want) ? 0 : Math.abs(result[i] - want);
      if (difference === 0) return;
      if (!(difference <= golden.tolerance * (scale + Math.abs(want)))) ok = false;
      maxDifference = Math.max(maxDifference, difference >= 0 ? difference : Infinity);
    });
  }
  return { ok, maxDifference };
}
