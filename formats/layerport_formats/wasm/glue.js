// How the module beside a .wasm file gets at what is in it; `file` is generated.

const url = new URL(file, import.meta.url);
const bytes =
  url.protocol === "file:"
    ? (await import("node:fs")).readFileSync(url)
    : await (await fetch(url)).arrayBuffer();
const { module, instance } = await WebAssembly.instantiate(bytes);
const section = (name) => WebAssembly.Module.customSections(module, name)[0];
const facts = JSON.parse(new TextDecoder().decode(section("layerport")));
export const { inputs, outputs, labels } = facts;
const { largestBatch, golden } = facts;
export const engine = "wasm";
