// Runs a model and answers requests, a line of JSON each: prepare, block. An adapter's `load` gives
// { predict, work }: what is checked, and what is measured where that is something else.
// Arguments: the adapter, the folder of the model, what else the adapter needs.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [adapter, folder, ...rest] = process.argv.slice(2);
const WARM_UP = 1500; // milliseconds: compilers of JavaScript and WebAssembly take their time

function floats(name) {
  const bytes = readFileSync(`${folder}/${name}`);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const samples = floats("samples.f32");
const expected = floats("expected.f32");
const shape = JSON.parse(readFileSync(`${folder}/model.json`, "utf8"));
const { load } = await import(`./${adapter}.mjs`);
const { predict, work = predict } = await load(folder, ...rest);

let run = async () => {};
let calls = 1;

// Awaiting costs time, which a function that does not ask for it should not pay.
function repeat(x, batch) {
  const isPromise = work(x, batch) instanceof Promise;
  if (!isPromise) return async (times) => { for (let i = 0; i < times; i++) work(x, batch); };
  return async (times) => { for (let i = 0; i < times; i++) await work(x, batch); };
}

function difference(y) {
  let largest = 0;
  for (let i = 0; i < y.length; i++) largest = Math.max(largest, Math.abs(y[i] - expected[i]));
  return largest;
}

async function prepare({ batch, seconds }) {
  const x = samples.slice(0, batch * shape.features);
  const y = await predict(x, batch);
  if (y.length !== batch * shape.classes) throw new Error(`${y.length} outputs`);
  run = repeat(x, batch);
  calls = 1;
  for (const start = performance.now(); performance.now() - start < WARM_UP; calls *= 2) {
    await run(calls);
  }
  const start = performance.now();
  await run(calls);
  const passed = performance.now() - start;
  calls = Math.max(1, Math.round((calls * seconds * 1000) / passed));
  return { calls, difference: difference(y) };
}

async function block() {
  const wall = performance.now();
  const cpu = process.cpuUsage();
  await run(calls);
  const { user, system } = process.cpuUsage(cpu);
  return { wall: (performance.now() - wall) / 1e3 / calls, cpu: (user + system) / 1e6 / calls };
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  try {
    console.log(JSON.stringify(await (request.do === "prepare" ? prepare(request) : block())));
  } catch (error) {
    console.log(JSON.stringify({ failed: String(error) }));
  }
}
