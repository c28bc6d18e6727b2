// The page: inputs on the left, results on the right, one after the other where it is narrow.
const facts = JSON.parse(byId("facts").textContent);
const inputViews = { image: imageInput, sliders: vectorInput, text: textInput };

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = text === "";
}

// The outputs of a sample as a list of flat arrays.
function answer(given) {
  const made = predict(Object.fromEntries(inputs.map((port, k) => [port.name, given[k]])));
  return outputs.length === 1 ? [made] : outputs.map((port) => made[port.name]);
}

const titled = (kind, port, ports, element) => {
  const name = shown(port.name);
  const head = ports.length > 1 ? [make("h2", { textContent: name, title: name })] : [];
  byId(kind).append(make("section", {}, ...head, element));
};

let given = null;
let waiting = 0;
let timing = 0;

function update() {
  waiting = 0;
  const read = asking.map((view) => view.read());
  given = read.includes(null) ? null : read;
  try {
    const made = given ? answer(given) : null;
    answering.forEach((view, k) => view.show(made && made[k]));
    problem("");
  } catch (error) {
    problem(String(error.message));
  }
  teaching?.ready(given !== null);
  clearTimeout(timing);
  timing = setTimeout(measure, 300);
}

// Once a frame is enough.
const changed = () => { waiting ||= requestAnimationFrame(update); };

// The clock of a page is coarse, so that many predictions are timed together.
function measure() {
  if (!given) return;
  const start = performance.now();
  let runs = 0, spent = 0;
  while (spent < 20 && runs < 500) {
    answer(given);
    runs++;
    spent = performance.now() - start;
  }
  const each = spent / runs;
  byId("time").textContent = `${each < 10 ? each.toPrecision(2) : Math.round(each)} ms a prediction`;
}

document.title = byId("title").textContent = shown(facts.title);
byId("title").title = document.title;
const sized = facts.bytes < 1e6 ? `${Math.round(facts.bytes / 1e3)} KB` : `${(facts.bytes / 1e6).toFixed(1)} MB`;
byId("size").textContent = `${sized}, weights inside`;

if (typeof selfTest === "function") {
  const { ok, maxDifference } = selfTest();
  byId("test").className = ok ? "passed" : "failed";
  byId("test").textContent = ok ? "Self-test passed" : "Self-test FAILED";
  byId("test").title = `The largest difference from the golden samples is ${maxDifference.toExponential(1)}`;
}

const asking = facts.inputs.map((fact, k) => inputViews[fact.view](fact, inputs[k].name, changed));
const answering = facts.outputs.map((fact, k) => {
  const size = count(outputs[k].shape.slice(outputs[k].shape[0] === null ? 1 : 0));
  return outputViews[fact.kind](fact, outputs[k], size);
});
asking.forEach((view, k) => titled("inputs", inputs[k], inputs, view.element));
answering.forEach((view, k) => titled("results", outputs[k], outputs, view.element));
const teaching = typeof train === "function" ? learning(changed) : null;
update();
