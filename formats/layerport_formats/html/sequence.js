// A text box of numbers, one step a line, with a drawing of them.
function textInput(fact, name, changed) {
  const { shape, integers, start } = fact;
  const size = count(shape);
  const across = shape.length > 1 ? count(shape.slice(1)) : 1;
  const lines = shape.length > 1 && shape[0] > 1;
  const told = make("p", { className: "told", id: `told-${Math.random().toString(36).slice(2)}` });
  told.setAttribute("aria-live", "polite");
  const box = make("textarea", { rows: 9, spellcheck: false });
  box.setAttribute("aria-label", `Numbers of ${shown(name)}`);
  box.setAttribute("aria-describedby", told.id);
  const text = [];
  const perLine = lines ? across : integers ? size : 8;
  for (let i = 0; i < size; i += perLine) text.push(start.slice(i, i + perLine).join(", "));
  box.value = text.join("\n");
  const plot = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  plot.setAttribute("viewBox", "0 0 300 80");
  plot.setAttribute("preserveAspectRatio", "none");
  plot.setAttribute("aria-hidden", "true");

  const unit = lines ? `${shape[0]} steps of ${across}` : `${size} numbers`;
  function read() {
    const parts = box.value.split(/[\s,;[\]]+/).filter((part) => part !== "");
    const wrong = parts.find((part) => Number.isNaN(Number(part)) && part !== "NaN");
    const broken = integers ? parts.find((part) => !Number.isInteger(Number(part))) : undefined;
    box.setAttribute("aria-invalid", String(parts.length !== size || (wrong ?? broken) !== undefined));
    if (wrong !== undefined) told.textContent = `“${shown(wrong)}” is no number`;
    else if (broken !== undefined) told.textContent = `“${shown(broken)}” is no whole number`;
    else told.textContent = parts.length === size ? unit : `${parts.length} of ${size} numbers (${unit})`;
    if (wrong !== undefined || broken !== undefined || parts.length !== size) return null;
    const values = (integers ? Int32Array : Float32Array).from(parts, Number);
    draw(values);
    return values;
  }

  function draw(values) {
    const steps = size / across;
    plot.replaceChildren();
    plot.classList.toggle("none", steps < 2 || across > 8 || integers);
    if (steps < 2 || across > 8 || integers) return;
    const low = Math.min(...values), high = Math.max(...values);
    for (let k = 0; k < across; k++) {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("points", Array.from({ length: steps }, (_, i) =>
        `${(300 * i) / (steps - 1)},${76 - (72 * (values[i * across + k] - low)) / (high - low || 1)}`
      ).join(" "));
      line.style.setProperty("--line", k);
      plot.append(line);
    }
  }

  box.addEventListener("input", changed);
  return { element: make("div", {}, box, told, plot), read };
}
