// onnxruntime-web, WebAssembly, one thread.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export async function load(folder, packages) {
  const ort = createRequire(`${packages}/`)("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(`${folder}/model.onnx`, {
    executionProviders: ["wasm"],
  });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  const { onnxShape } = JSON.parse(readFileSync(`${folder}/model.json`, "utf8"));
  const predict = async (x, batch) => {
    const tensor = new ort.Tensor("float32", x, [batch, ...onnxShape]);
    return (await session.run({ [input]: tensor }))[output].data;
  };
  return { predict };
}
