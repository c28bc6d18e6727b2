// How the module beside a .wasm file gets at what is in it; `file` is generated.

const place = new URL(file, import.meta.url);
const bytes =
  place.protocol === "file:"
    ? (await import("node:fs")).readFileSync(place)
    : await (await fetch(place)).arrayBuffer();
const wasm = await WebAssembly.instantiate(bytes);
const section = (title) => WebAssembly.Module.customSections(wasm.module, title)[0];
const facts = JSON.parse(new TextDecoder().decode(section("layerport")));
export const { inputs, outputs, labels } = facts;
const { largestBatch, golden } = facts;
export const engine = "wasm";
