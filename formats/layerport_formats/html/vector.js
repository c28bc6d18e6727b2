// A slider and a number box for each number. The box takes any number, the slider shows where in
// the usual range it lies.
function vectorInput(fact, name, changed) {
  const size = count(fact.shape);
  const values = new (fact.integers ? Int32Array : Float32Array)(size);
  const single = size === 1;
  const rows = Array.from(values, (_, k) => {
    const label = shown(fact.names[k] ?? (single ? name : `x${k + 1}`));
    const [low, high] = fact.ranges[k];
    const step = fact.integers ? 1 : Number(((high - low) / 200).toPrecision(1)) || "any";
    const slider = make("input", { type: "range", min: low, max: high, step });
    const box = make("input", { type: "number", step: "any", inputMode: "decimal" });
    slider.setAttribute("aria-label", label);
    box.setAttribute("aria-label", `${label}, as a number`);
    const set = (value) => {
      values[k] = value;
      slider.value = value;
      slider.style.setProperty("--at", `${(100 * (slider.value - low)) / (high - low || 1)}%`);
    };
    slider.addEventListener("input", () => {
      set(slider.valueAsNumber);
      box.value = slider.value;
      changed();
    });
    box.addEventListener("input", () => {
      if (Number.isNaN(box.valueAsNumber)) return;
      set(box.valueAsNumber);
      changed();
    });
    const put = (value) => {
      set(value);
      box.value = short(Number(value));
    };
    const draw = () => {
      // Near the middle more often than at the ends.
      const at = (Math.random() + Math.random() + Math.random()) / 3;
      put(Number((low + (high - low) * at).toPrecision(3)));
    };
    put((low + high) / 2);
    const element = make("div", { className: "slider" },
      make("span", { textContent: label, title: label }), slider, box);
    return { element, draw, put, middle: (low + high) / 2 };
  });
  const button = (text, act) => {
    const made = make("button", { type: "button", textContent: text });
    made.addEventListener("click", () => {
      rows.forEach(act);
      changed();
    });
    return made;
  };
  return {
    element: make("div", {},
      make("div", { className: "sliders" }, ...rows.map((row) => row.element)),
      make("div", { className: "row" },
        button("Random", (row) => row.draw()), button("Reset", (row) => row.put(row.middle)))),
    read: () => values.slice(),
  };
}
