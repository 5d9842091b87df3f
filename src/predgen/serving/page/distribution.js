// A number's distribution as a chart, with the prediction and its interval; drawn anew when its width changes.

import { draw, make, number, percent } from "./dom.js";

const HEIGHT = 190;
const SIDE = 14;
const TOP = 26;
const FOOT = 48;
const MOST_BARS = 90;

/**
 * The chart of a distribution, and a table of its numbers.
 *
 * @param {{support: number[], probabilities: number[]}} distribution Ascending support.
 * @param {{prediction: number, interval: [number, number]}} prediction What is marked.
 * @param {{low: number, high: number, step: number | null, decimals: number | null}} range Of the run's numbers.
 */
export function distributionChart(distribution, prediction, range) {
  const decimals = range.decimals;
  const points = distribution.support.map((value, place) => ({ value, share: distribution.probabilities[place] }));
  const [from, to] = seen(points, prediction, range);
  const inside = points.filter((point) => point.value >= from && point.value <= to);
  const hidden = 1 - inside.reduce((sum, point) => sum + point.share, 0);
  const kept = gathered(inside, from, to);
  const best = points.reduce((most, point) => (point.share > most.share ? point : most), points[0]);
  const label = `Distribution from ${number(points[0].value, decimals)} to ${number(points.at(-1).value, decimals)}; likeliest ${number(best.value, decimals)} with ${percent(best.share)}.`;
  const note = hidden > 0.0005 ? `Not shown: ${percent(hidden)} of the probability, outside ${number(from, decimals)} to ${number(to, decimals)}.` : null;
  return [figure((width) => chart(width, kept, [from, to], prediction, decimals, label), note), table(points, decimals)];
}

/** The prediction and its interval alone, where a run has no distribution; within the run's range, if there is one; no table. */
export function rangeChart(prediction, range) {
  const decimals = range.decimals;
  const [low, high] = prediction.interval;
  const room = Math.max(high - low, Math.abs(prediction.prediction) * 0.01, 1e-9);
  const ends = Number.isFinite(range.low) && Number.isFinite(range.high) && range.high - range.low < 20 * room
    ? [range.low, range.high]
    : [Math.min(low, prediction.prediction) - 0.5 * room, Math.max(high, prediction.prediction) + 0.5 * room];
  const label = `${number(prediction.prediction, decimals)} within ${number(low, decimals)} to ${number(high, decimals)}.`;
  return [figure((width) => chart(width, [], ends, prediction, decimals, label), null), null];
}

/** The stretch that is shown: all of a short range, of a long one what holds nearly all of the probability. */
function seen(points, prediction, range) {
  if (range.step && (range.high - range.low) / range.step < MOST_BARS) return [range.low, range.high];
  const ends = [points[0].value, points.at(-1).value];
  let [left, right, mass] = [0, points.length - 1, 0];
  while (left < right && mass + points[left].share < 0.001) mass += points[left++].share;
  mass = 0;
  while (right > left && mass + points[right].share < 0.001) mass += points[right--].share;
  const marks = [prediction.prediction, ...prediction.interval].filter((value) => value >= ends[0] && value <= ends[1]);
  const [low, high] = [Math.min(points[left].value, ...marks), Math.max(points[right].value, ...marks)];
  const room = 0.04 * (high - low || 1);
  return [Math.max(ends[0], low - room), Math.min(ends[1], high + room)];
}

/** Bars of equal width, no more than fit: each the probability of the support within it. */
function gathered(points, from, to) {
  if (!points.length) return [];
  const gaps = points.slice(1).map((point, place) => point.value - points[place].value);
  const step = gaps.length ? Math.min(...gaps) : 1;
  const whole = (gap) => Math.abs(gap / step - Math.round(gap / step)) < 0.01;
  const regular = (to - from) / step < MOST_BARS && gaps.every(whole); // improbable numbers may be missing between
  if (regular) return points.map((point) => ({ from: point.value - step / 2, to: point.value + step / 2, value: point.value, share: point.share }));
  const size = (to - from || 1) / MOST_BARS;
  const bins = Array.from({ length: MOST_BARS }, (_, place) => ({ from: from + place * size, to: from + (place + 1) * size, share: 0 }));
  for (const point of points) bins[Math.min(MOST_BARS - 1, Math.floor((point.value - from) / size))].share += point.share;
  return bins.filter((bin) => bin.share > 0);
}

function figure(drawn, note) {
  const place = make("div", { class: "chart-place" });
  const redraw = () => {
    const width = Math.round(place.clientWidth) || 320;
    if (place.firstChild?.getAttribute("width") !== String(width)) place.replaceChildren(drawn(width));
  };
  place.append(drawn(320));
  new ResizeObserver(redraw).observe(place);
  return make("figure", {}, place, note ? make("p", { class: "hint" }, note) : null);
}

function chart(width, entries, [from, to], prediction, decimals, label) {
  const edges = [Math.min(from, ...entries.map((entry) => entry.from)), Math.max(to, ...entries.map((entry) => entry.to))];
  const span = edges[1] - edges[0] || 1;
  const x = (value) => SIDE + ((Math.min(Math.max(value, edges[0]), edges[1]) - edges[0]) / span) * (width - 2 * SIDE);
  const height = entries.length ? HEIGHT : TOP + FOOT + 14;
  const floor = height - FOOT;
  const most = Math.max(...entries.map((entry) => entry.share), 1e-12);
  const svg = draw("svg", { class: "chart", role: "img", width, height, viewBox: `0 0 ${width} ${height}` }, draw("title", {}, label));
  const [low, high] = prediction.interval;
  const between = (entry) => (entry.from + entry.to) / 2 >= low - 1e-9 && (entry.from + entry.to) / 2 <= high + 1e-9;
  for (const entry of entries) {
    const tall = Math.max((entry.share / most) * (floor - TOP), 0.75);
    const gap = x(entry.to) - x(entry.from) > 3 ? 1 : 0;
    const named = entry.value === undefined ? `${number(entry.from)} to ${number(entry.to)}` : number(entry.value, decimals);
    svg.append(draw("rect", {
      class: between(entry) ? "column" : "column outside",
      x: x(entry.from) + gap / 2, y: floor - tall, width: Math.max(x(entry.to) - x(entry.from) - gap, 0.5), height: tall,
    }, draw("title", {}, `${named}: ${percent(entry.share)}`)));
  }
  svg.append(draw("line", { class: "axis", x1: SIDE, x2: width - SIDE, y1: floor, y2: floor }));
  for (const tick of ticks(from, to, width < 420 ? 4 : 7)) {
    svg.append(draw("line", { class: "axis", x1: x(tick), x2: x(tick), y1: floor, y2: floor + 4 }));
    svg.append(draw("text", { class: "tick", x: x(tick), y: floor + 17, "text-anchor": anchor(x(tick), width) }, number(tick)));
  }
  // The interval lies below the ticks, as a line with ends; the prediction is a line through all.
  const level = floor + 33;
  svg.append(
    draw("line", { class: "whisker", x1: x(low), x2: x(high), y1: level, y2: level }),
    draw("line", { class: "whisker", x1: x(low), x2: x(low), y1: level - 5, y2: level + 5 }),
    draw("line", { class: "whisker", x1: x(high), x2: x(high), y1: level - 5, y2: level + 5 }),
    draw("line", { class: "decided", x1: x(prediction.prediction), x2: x(prediction.prediction), y1: TOP - 8, y2: level }),
    draw("circle", { class: "decided", cx: x(prediction.prediction), cy: level, r: 4.5 }),
    draw("text", { class: "mark", x: x(prediction.prediction), y: TOP - 13, "text-anchor": anchor(x(prediction.prediction), width) }, number(prediction.prediction, decimals)),
  );
  return svg;
}

function anchor(place, width) {
  return place < 34 ? "start" : place > width - 34 ? "end" : "middle";
}

/** Round numbers within a stretch. */
export function ticks(from, to, about) {
  const span = to - from;
  if (!(span > 0)) return [from];
  const raw = span / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) ?? 10 * power;
  const found = [];
  for (let index = Math.ceil(from / step - 1e-9); index * step <= to + 1e-9 * span; index++) found.push(Number((index * step).toPrecision(12)));
  return found;
}

function table(points, decimals) {
  const likeliest = [...points].sort((one, other) => other.share - one.share).slice(0, 10);
  return make("details", {}, make("summary", {}, "Numbers"),
    make("table", {},
      make("caption", {}, points.length > 10 ? "The ten likeliest" : "All of them"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "number" }, "number"), make("th", { scope: "col", class: "number" }, "probability"))),
      make("tbody", {}, likeliest.map((point) => make("tr", {}, make("td", { class: "number" }, number(point.value, decimals)), make("td", { class: "number" }, percent(point.share)))))));
}
