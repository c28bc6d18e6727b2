// Names come from the model. They are put into the page as text, never as markup, and what would
// turn text around or not be seen is written out.
const shown = (name) => {
  const text = String(name).replace(
    /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (char) => "\\u" + char.codePointAt(0).toString(16).padStart(4, "0")
  );
  return text.trim() === "" ? "(no name)" : text;
};
const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const count = (shape) => shape.reduce((total, extent) => total * extent, 1);
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const short = (value) => {
  if (Number.isInteger(value) || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(5)));
};
