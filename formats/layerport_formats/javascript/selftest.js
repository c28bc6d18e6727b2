
export function selfTest() {
  const values = (text, port) => {
    const kind = kindOf(port) === "float" ? Float32Array : Int32Array;
    return new kind(decode(text));
  };
  const given = golden.inputs.map((text, k) => {
    const data = values(text, inputs[k]);
    return { data, rows: golden.samples, form: "flat" };
  });
  const { made } = compute(given);
  let ok = true;
  let maxDifference = 0;
  made.forEach((result, k) => {
    const expected = values(golden.outputs[k], outputs[k]);
    const scale = expected.reduce((m, v) => (Number.isFinite(v) ? Math.max(m, Math.abs(v)) : m), 0);
    expected.forEach((want, i) => {
      if (Object.is(result[i], want) || result[i] === want) return;
      const difference = Math.abs(result[i] - want);
      const allowed = golden.tolerance * (scale + Math.abs(want));
      if (!(difference <= allowed)) ok = false;
      maxDifference = Math.max(maxDifference, Number.isNaN(difference) ? Infinity : difference);
    });
  });
  return { ok, maxDifference };
}
