// Learning from what the user says, where the module can train: a button for each class, or fields
// for what the outputs should have been.
const MOST_BUTTONS = 24;

function learning(changed) {
  const area = byId("learning");
  const sizes = outputs.map((port) => count(port.shape.slice(port.shape[0] === null ? 1 : 0)));
  const kinds = facts.outputs.map(({ kind }) => kind);
  if (kinds.some((kind, k) => kind === "image" || (kind === "numbers" && sizes[k] > MOST_BUTTONS))) return null;
  let steps = 0;
  const button = (text, act, properties = {}) => {
    const made = make("button", { type: "button", textContent: text, title: text, ...properties });
    made.addEventListener("click", act);
    return made;
  };
  const field = (text, value, properties) => {
    const box = make("input", { type: "number", value, step: "any", ...properties });
    return [box, make("label", {}, text, box)];
  };
  const [rate, rateLabel] = field("Learning rate", "", { min: 0, placeholder: "usual" });
  const [repeats, repeatsLabel] = field("Steps", 1, { min: 1, max: 1000, step: 1 });
  const told = make("p", { className: "told", textContent: "Tell the model what it was, and it learns." });
  told.setAttribute("aria-live", "polite");

  function learn(wanted) {
    const x = Object.fromEntries(inputs.map((port, k) => [port.name, given[k]]));
    const y = outputs.length === 1 ? wanted[0] : Object.fromEntries(outputs.map((port, k) => [port.name, wanted[k]]));
    try {
      initial ??= save();
      let loss = 0;
      const times = Math.min(1000, Math.max(1, Math.round(repeats.valueAsNumber) || 1));
      const options = rate.value === "" ? {} : { learningRate: rate.valueAsNumber };
      for (let i = 0; i < times; i++) loss = train(x, y, options);
      steps += times;
      told.textContent = `${steps} step${steps > 1 ? "s" : ""} learned; the loss was ${short(loss)}`;
      again.disabled = false;
    } catch (error) {
      problem(String(error.message));
      return;
    }
    update();
  }

  // What one output should have been: { element, value }; a class may be told by a number.
  const oneOf = (k, chosen) => kinds[k] === "classes" ? [chosen]
    : Float32Array.from({ length: sizes[k] }, (_, i) => Number(i === chosen));
  function teacher(k) {
    if (kinds[k] === "numbers") {
      const names = labels?.length === sizes[k] ? labels.map(shown) : null;
      const fields = Array.from({ length: sizes[k] }, (_, i) =>
        field(names ? names[i] : sizes[k] === 1 ? shown(outputs[k].name) : `y${i + 1}`, 0, {}));
      const value = () => Float32Array.from(fields, ([box]) => box.valueAsNumber || 0);
      return { element: make("div", { className: "row" }, ...fields.map(([, label]) => label)), value };
    }
    const yesOrNo = sizes[k] === 1;
    const names = yesOrNo ? yesNoNames(outputs[k]) : classNames(sizes[k]);
    const value = (chosen) => yesOrNo ? [chosen] : oneOf(k, chosen);
    if (outputs.length === 1 && names.length <= MOST_BUTTONS) {
      const buttons = names.map((name, i) => button(name, () => learn([value(i)])));
      return { element: make("div", { className: "row classes" }, ...buttons), buttons };
    }
    const choice = make("select", {}, ...names.map((name, i) => make("option", { value: i, textContent: name })));
    choice.setAttribute("aria-label", shown(outputs[k].name));
    return { element: choice, value: () => value(Number(choice.value)) };
  }

  let initial = null;
  const teachers = outputs.map((_, k) => teacher(k));
  const buttons = teachers[0].buttons ??
    [button("Learn", () => learn(teachers.map((one) => one.value())), { className: "main" })];

  function download() {
    const link = make("a", { download: "layers.json" });
    link.href = URL.createObjectURL(new Blob([save()], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  const opener = make("input", { type: "file", accept: ".json,application/json", hidden: true });
  opener.addEventListener("change", async () => {
    try {
      load(await opener.files[0].text());
      told.textContent = "Weights loaded";
      again.disabled = initial === null;
      changed();
    } catch (error) {
      problem(String(error.message));
    }
    opener.value = "";
  });
  const again = button("Forget", () => {
    load(initial);
    steps = 0;
    again.disabled = true;
    told.textContent = "As it was at first";
    changed();
  }, { disabled: true });

  const classes = teachers[0].buttons !== undefined;
  area.append(
    make("h2", { textContent: classes ? "That was a …" : "That should have been …" }),
    told,
    ...teachers.map((one) => one.element),
    ...(classes ? [] : [make("div", { className: "row" }, ...buttons)]),
    make("div", { className: "settings" },
      make("div", { className: "row" }, rateLabel, repeatsLabel),
      make("div", { className: "row" }, again, button("Load…", () => opener.click()),
        button("Download layers.json", download, { className: "save" }), opener))
  );
  area.hidden = false;
  return { ready: (is) => buttons.forEach((one) => { one.disabled = !is; }) };
}
