// Loads a model, predicts once and ends: what a process costs that does nothing else. Without
// arguments it does nothing at all.

const [adapter, folder, features, ...rest] = process.argv.slice(2);
if (adapter !== undefined) {
  const { load } = await import(`./${adapter}.mjs`);
  const { predict } = await load(folder, ...rest);
  await predict(new Float32Array(Number(features)), 1);
}
