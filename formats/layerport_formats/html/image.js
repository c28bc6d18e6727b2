// A surface to draw on, or to put a picture on. One channel holds ink: 0 is paper, 1 is ink, and a
// drawing is placed as MNIST has its digits: its longer side fills 20/28 of the image, its centre
// of mass is the centre. Three channels, and photographs, are taken as they are.
function imageInput(fact, name, changed) {
  const { height, width, channels, channelsFirst, low, high } = fact;
  const colour = channels === 3;
  const scale = 280 / Math.max(height, width);
  const pad = make("canvas", {
    width: Math.round(width * scale), height: Math.round(height * scale), tabIndex: 0,
    className: colour ? "pad" : "pad ink",
  });
  pad.setAttribute("role", "application");
  pad.setAttribute("aria-label", `Drawing area of ${shown(name)}. The arrow keys move the pen, ` +
    "the space bar puts it down and lifts it, Delete clears.");
  const pen = pad.getContext("2d", { willReadFrequently: true });
  const small = make("canvas", { width, height, className: "seen" });
  small.setAttribute("role", "img");
  small.setAttribute("aria-label", "What the model sees");
  const pixels = small.getContext("2d", { willReadFrequently: true });
  pixels.imageSmoothingQuality = "high";
  const spot = make("span", { className: "spot", hidden: true });
  const hint = make("span", { className: "hint", textContent: "Draw here, or drop a picture" });
  const choose = make("input", { type: "file", accept: "image/*", hidden: true });
  const onPaper = make("input", { type: "checkbox" });
  const paperLabel = make("label", { hidden: true }, onPaper, "Dark ink on light paper");
  const ink = make("input", { type: "color", value: "#d03a2b", title: "Colour of the pen" });
  ink.setAttribute("aria-label", "Colour of the pen");

  let picture = null;
  let empty = true;

  function wipe() {
    pen.clearRect(0, 0, pad.width, pad.height);
    if (colour) {
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, pad.width, pad.height);
    }
  }

  function clear() {
    picture = null;
    empty = true;
    paperLabel.hidden = true;
    wipe();
    update();
  }

  function update() {
    hint.hidden = !empty;
    small.hidden = empty;
    changed();
  }

  // The picture, whole, in the middle; with one channel its light, or its dark, becomes ink.
  function placePicture() {
    wipe();
    const fit = Math.min(pad.width / picture.width, pad.height / picture.height);
    const w = picture.width * fit, h = picture.height * fit;
    const x = Math.round((pad.width - w) / 2), y = Math.round((pad.height - h) / 2);
    pen.drawImage(picture, x, y, w, h);
    if (!colour) {
      const image = pen.getImageData(0, 0, pad.width, pad.height);
      const { data } = image;
      const light = (i) => (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]) / 255;
      let brightest = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3]) brightest = Math.max(brightest, light(i));
      }
      for (let i = 0; i < data.length; i += 4) {
        const inked = onPaper.checked ? (0.8 * brightest - light(i)) / (0.6 * brightest + 0.01) : light(i);
        data[i + 3] = Math.round(data[i + 3] * Math.min(1, Math.max(0, inked)));
        data[i] = data[i + 1] = data[i + 2] = 0;
      }
      pen.putImageData(image, 0, 0);
    }
    empty = false;
    update();
  }

  async function open(file) {
    if (!file) return;
    try {
      picture = await createImageBitmap(file);
    } catch {
      problem(`${shown(file.name)} is no picture that this browser can read.`);
      return;
    }
    problem("");
    paperLabel.hidden = colour;
    onPaper.checked = !colour && Math.max(height, width) <= 32 && brightBorder(picture);
    placePicture();
  }

  // Where ink is: [left, top, width, height], or null.
  function extent() {
    const { data } = pen.getImageData(0, 0, pad.width, pad.height);
    let left = pad.width, right = -1, top = pad.height, bottom = -1;
    for (let y = 0; y < pad.height; y++) {
      for (let x = 0; x < pad.width; x++) {
        if (data[4 * (y * pad.width + x) + 3] < 32) continue;
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
      }
    }
    return right < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
  }

  const inkOf = () => {
    const { data } = pixels.getImageData(0, 0, width, height);
    return Float32Array.from({ length: width * height }, (_, i) => data[4 * i + 3] / 255);
  };

  function centred() {
    const box = extent();
    if (!box) return new Float32Array(width * height);
    const fit = ((20 / 28) * Math.min(width, height)) / Math.max(box[2], box[3]);
    const w = box[2] * fit, h = box[3] * fit;
    const place = (x, y) => {
      pixels.clearRect(0, 0, width, height);
      pixels.drawImage(pad, ...box, x, y, w, h);
      return inkOf();
    };
    const x = (width - w) / 2, y = (height - h) / 2;
    let mass = 0, acrossMass = 0, downMass = 0;
    place(x, y).forEach((v, i) => {
      mass += v;
      acrossMass += v * ((i % width) + 0.5);
      downMass += v * (Math.floor(i / width) + 0.5);
    });
    return mass ? place(x + width / 2 - acrossMass / mass, y + height / 2 - downMass / mass) : inkOf();
  }

  function read() {
    if (empty) return null;
    const range = (v) => low + (high - low) * v;
    if (!colour && (!picture || onPaper.checked)) {
      const values = centred();
      drawGray(pixels, values);
      return values.map(range);
    }
    pixels.clearRect(0, 0, width, height);
    pixels.drawImage(pad, 0, 0, width, height);
    if (!colour) {
      const values = inkOf();
      drawGray(pixels, values);
      return values.map(range);
    }
    const { data } = pixels.getImageData(0, 0, width, height);
    const size = width * height;
    return Float32Array.from({ length: 3 * size }, (_, i) => {
      const [pixel, channel] = channelsFirst ? [i % size, Math.floor(i / size)] : [Math.floor(i / 3), i % 3];
      return range(data[4 * pixel + channel] / 255);
    });
  }

  // Drawing, with a pointer or with keys.
  let last = null;
  function stroke(to) {
    pen.lineWidth = 22 * (Math.max(pad.width, pad.height) / 280);
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = colour ? ink.value : "#000";
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...to);
    pen.stroke();
    last = to;
    empty = false;
    update();
  }
  const point = (event) => {
    const box = pad.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * pad.width) / box.width,
      ((event.clientY - box.top) * pad.height) / box.height,
    ];
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    pad.setPointerCapture(event.pointerId);
    spot.hidden = true;
    last = point(event);
    stroke(last);
  });
  pad.addEventListener("pointermove", (event) => {
    if (last && event.buttons) stroke(point(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => { last = null; });
  }
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  let place = [pad.width / 2, pad.height / 2];
  pad.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (event.key === "Delete" || event.key === "Backspace") clear();
    else if (event.key === " ") {
      if (last) last = null;
      else {
        last = place;
        stroke(place);
      }
    } else if (move) {
      const bounds = [pad.width, pad.height];
      place = place.map((at, axis) => Math.min(bounds[axis], Math.max(0, at + 8 * move[axis])));
      if (last) stroke(place);
    } else return;
    event.preventDefault();
    spot.hidden = false;
    spot.classList.toggle("down", last !== null);
    spot.style.left = `${(100 * place[0]) / pad.width}%`;
    spot.style.top = `${(100 * place[1]) / pad.height}%`;
  });
  pad.addEventListener("blur", () => { spot.hidden = true; last = null; });

  const frame = make("div", { className: "frame" }, pad, hint, spot);
  frame.addEventListener("dragover", (event) => event.preventDefault());
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
  choose.addEventListener("change", () => { open(choose.files[0]); choose.value = ""; });
  onPaper.addEventListener("change", placePicture);
  const wiper = make("button", { type: "button", textContent: "Clear" });
  wiper.addEventListener("click", clear);
  const opener = make("button", { type: "button", textContent: "Picture…" });
  opener.addEventListener("click", () => choose.click());

  wipe();
  return {
    element: make("div", { className: "drawing" }, frame,
      make("div", { className: "row" }, wiper, opener, ...(colour ? [ink] : []), choose, paperLabel, small)),
    read,
  };
}

function brightBorder(picture) {
  const one = make("canvas", { width: 16, height: 16 }).getContext("2d");
  one.drawImage(picture, 0, 0, 16, 16);
  const { data } = one.getImageData(0, 0, 16, 16);
  let light = 0;
  for (let i = 0; i < 256; i++) {
    const edge = i < 16 || i >= 240 || i % 16 === 0 || i % 16 === 15;
    if (edge) light += (data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 765;
  }
  return light / 60 > 0.5;
}

// Numbers from 0 to 1 as gray.
function drawGray(context, values) {
  const image = context.createImageData(context.canvas.width, context.canvas.height);
  values.forEach((value, i) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}
