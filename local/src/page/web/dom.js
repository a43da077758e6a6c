// Elements and numbers. What clients sent is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children. A child that is no element becomes text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets a text where it changed, so that an unchanged page is not laid out again. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** `–` where there is no number. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 100_000) return SHORT.format(value);
  return value < 10 ? TENTHS.format(value) : WHOLE.format(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? WHOLE.format(value) : TENTHS.format(value)} ${units[unit]}`;
}

/** A time in milliseconds, as `12 ms` or `4.1 s`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${WHOLE.format(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${WHOLE.format(ms / 60_000)} min`;
}

export function clockTime(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}
