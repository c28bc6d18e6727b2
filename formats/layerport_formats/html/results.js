// Shows an output. Of many classes the most likely ones are shown.
const MOST_BARS = 12;
const MOST_NUMBERS = 200;

// The names of the classes of an output, if there are names for each of them.
function classNames(size) {
  const listed = labels ?? [];
  if (listed.length === size) return listed.map(shown);
  return Array.from({ length: size }, (_, k) => String(k));
}

// The two names of an output that is a single probability: for no, and for yes.
function yesNoNames(port) {
  if (labels?.length === 2) return labels.map(shown);
  const yes = shown(labels?.length === 1 ? labels[0] : port.name);
  return [`not ${yes}`, yes];
}

function barsOutput(fact, port, size) {
  const yesOrNo = size === 1;
  const names = yesOrNo ? yesNoNames(port).slice(1) : classNames(size);
  const many = size > MOST_BARS;
  const answer = make("output", { className: "answer" });
  const rows = Array.from({ length: Math.min(size, MOST_BARS) }, (_, k) => {
    const name = make("span", { className: "name", textContent: names[k], title: names[k] });
    const bar = make("i");
    const value = make("b");
    const element = make("li", {}, name, make("span", { className: "bar" }, bar), value);
    return { element, name, bar, value };
  });
  const list = make("ol", { className: names.every((name) => name.length <= 2) ? "bars short" : "bars" },
    ...rows.map((row) => row.element));
  function show(values) {
    const order = Array.from({ length: size }, (_, k) => k);
    if (many && values) order.sort((a, b) => values[b] - values[a]);
    const best = values ? values.indexOf(Math.max(...values)) : -1;
    const negative = yesOrNo && values && values[0] < 0.5;
    const word = negative ? yesNoNames(port)[0] : names[best];
    answer.textContent = best < 0 ? "" : word;
    answer.title = answer.textContent;
    answer.classList.toggle("wordy", answer.textContent.length > 3);
    rows.forEach((row, place) => {
      const k = order[place];
      row.element.classList.toggle("best", k === best && !negative);
      row.name.textContent = row.name.title = names[k];
      row.bar.style.width = values ? `${100 * Math.min(1, Math.max(0, values[k]))}%` : "0";
      row.value.textContent = values ? percent(values[k]) : "";
    });
  }
  const more = many ? [make("p", { className: "told", textContent: `the first ${MOST_BARS} of ${size}` })] : [];
  return { element: make("div", {}, answer, list, ...more), show };
}

function numbersOutput(fact, port, size) {
  if (size > MOST_BARS) {
    const text = make("output", { className: "numbers" });
    const show = (values) => {
      text.textContent = values
        ? Array.from(values.slice(0, MOST_NUMBERS), short).join("  ") + (size > MOST_NUMBERS ? " …" : "")
        : "";
    };
    return { element: text, show };
  }
  const names = size === 1 ? [shown(labels?.length === 1 ? labels[0] : port.name)]
    : labels?.length === size ? labels.map(shown) : Array.from({ length: size }, (_, k) => `y${k + 1}`);
  const cells = names.map((name) => make("dd", {}));
  const list = make("dl", { className: size === 1 ? "one" : "" },
    ...names.flatMap((name, k) => [make("dt", { textContent: name, title: name }), cells[k]]));
  const show = (values) => cells.forEach((cell, k) => {
    cell.textContent = values ? short(values[k]) : "–";
    cell.classList.toggle("long", cell.textContent.length > 9);
  });
  return { element: list, show };
}

function imageOutput(fact) {
  const { height, width, channels, channelsFirst } = fact;
  const canvas = make("canvas", { width, height, className: "pad made" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The image that the model makes");
  const context = canvas.getContext("2d");
  function show(values) {
    context.clearRect(0, 0, width, height);
    if (!values) return;
    const high = values.some((value) => value > 2) ? 255 : 1;
    const image = context.createImageData(width, height);
    const size = width * height;
    for (let i = 0; i < size; i++) {
      for (let channel = 0; channel < 3; channel++) {
        const c = Math.min(channel, channels - 1);
        image.data[4 * i + channel] = (255 / high) * values[channelsFirst ? c * size + i : i * channels + c];
      }
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
  return { element: make("div", { className: "frame" }, canvas), show };
}

const outputViews = { classes: barsOutput, scores: barsOutput, numbers: numbersOutput, image: imageOutput };
