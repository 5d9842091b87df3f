// Elements made from data: texts only ever become text nodes, so that nothing in them is read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name.startsWith("--")) node.style.setProperty(name, String(value)); // a style attribute would break the CSP
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element. Functions among the properties listen to the event of their name; names with `--` are styles. */
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function draw(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** The element of an id. */
export function at(id) {
  return document.getElementById(id);
}

/** A text from the data, whose direction does not leak into the words around it. */
export function told(text) {
  return make("bdi", {}, String(text));
}

/** A list of names and values. */
export function facts(pairs) {
  return make("dl", {}, pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** What stands in place of an answer when there is none. */
export function notice(text) {
  return make("p", { class: "notice" }, told(text));
}

/** A probability: never 100% or 0% where it is not. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1%";
  if (share < 1 && share > 0.999) return "> 99.9%";
  return `${(100 * share).toFixed(share > 0.0995 && share < 0.9 ? 0 : 1)}%`;
}

/** A number of the run's, with its decimals where it has such. */
export function number(value, decimals) {
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  const text = decimals === null || decimals === undefined ? String(Number(value.toPrecision(4))) : value.toFixed(decimals);
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text.replace("-", "−"); // there is no negative nothing
}

/** Seconds, as short as they deserve. */
export function duration(seconds) {
  if (seconds < 0.0995) return `${Math.max(1, Math.round(1000 * seconds))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A count with its noun: "1 row", "1,200 rows". */
export function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
