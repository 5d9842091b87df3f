// One prediction as a picture: labels as bars, a number as its distribution, a record field by field.

import { distributionChart, rangeChart } from "./distribution.js";
import { facts, make, notice, number, percent, told } from "./dom.js";

const LEVEL = 0.9; // that sets and intervals hold: the service asks for the library's default
const SHOWN = 8; // labels before the rest is folded

/** What kind of answer a prediction is, by what it holds. */
export function kindOf(prediction) {
  if (prediction.error !== undefined) return "error";
  if (prediction.fields !== undefined) return "record";
  if (prediction.interval !== undefined) return "number";
  return Array.isArray(prediction.prediction) ? "labels" : "label";
}

/** A record's field as a prediction of its own. */
export function fieldPrediction(prediction, name) {
  return { ...prediction.fields[name], prediction: prediction.prediction[name] };
}

/** A prediction in one short line, for screen readers and tables. */
export function inWords(prediction, run) {
  switch (kindOf(prediction)) {
    case "error":
      return prediction.error;
    case "record":
      return Object.keys(prediction.fields)
        .map((name) => `${name}: ${inWords(fieldPrediction(prediction, name), run.fields[name])}`)
        .join("; ");
    case "number": {
      const [low, high] = prediction.interval.map((value) => number(value, run.range.decimals));
      return `${number(prediction.prediction, run.range.decimals)}, between ${low} and ${high}`;
    }
    case "labels":
      return prediction.prediction.join(", ") || "none of the labels";
    default: {
      const share = prediction.probabilities?.[prediction.prediction];
      const name = prediction.prediction ?? "no answer";
      return share === undefined ? name : `${name}, ${percent(share)}`;
    }
  }
}

/** A prediction's nodes, for a run or a record's field. */
export function answerNodes(prediction, run) {
  switch (kindOf(prediction)) {
    case "error":
      return [notice(prediction.error)];
    case "record":
      return Object.keys(prediction.fields).map((name) =>
        make("section", { class: "field" }, make("h3", {}, told(name)),
          answerNodes(fieldPrediction(prediction, name), run.fields[name])),
      );
    case "number":
      return numberNodes(prediction, run);
    default:
      return labelNodes(prediction, run);
  }
}

function labelNodes(prediction, run) {
  const several = Array.isArray(prediction.prediction);
  const chosen = several ? prediction.prediction : [prediction.prediction];
  const share = several ? undefined : prediction.probabilities[prediction.prediction];
  const title = several ? chosen.join(", ") || "None of the labels" : (prediction.prediction ?? "No answer");
  const headline = make("p", { class: "headline" }, told(title), share === undefined ? null : make("span", { class: "share" }, percent(share)));
  const shares = prediction.probabilities;
  // An object's keys do not keep their order where they are digits; the run's labels do.
  const entries = run.task === "ordered" ? run.labels.map((name) => [name, shares[name]]) : Object.entries(shares).sort((one, other) => other[1] - one[1]);
  const held = new Set(several ? [] : prediction.set);
  const marked = entries.map(([name, value]) => ({ name, value, chosen: chosen.includes(name), held: held.has(name) }));
  const first = run.task === "ordered" && marked.length <= 2 * SHOWN ? marked : marked.slice(0, SHOWN);
  const rest = marked.slice(first.length);
  return [
    headline,
    prediction.prediction === null ? make("p", { class: "muted" }, "The run abstains: no label is likely enough.") : null,
    bars(first, "Probability of each label"),
    rest.length ? make("details", {}, make("summary", {}, `${rest.length} more`), bars(rest, "Further labels")) : null,
    several
      ? make("p", { class: "hint" }, "Each label has a probability of its own; those with ✓ are predicted.")
      : make("p", { class: "hint" }, `✓ The labels that together hold the right one for ${100 * LEVEL}% of texts: `, listed(prediction.set), "."),
    ...remarks(prediction),
  ].filter(Boolean);
}

function listed(names) {
  return make("span", {}, names.flatMap((name, place) => [place ? ", " : "", told(name)]));
}

/** Bars of shares, each with its name and number; what they say is also there without the picture. */
export function bars(entries, label) {
  return make("ol", { class: "bars", "aria-label": label }, entries.map((each) =>
    make("li", { class: each.chosen ? "chosen" : undefined },
      make("span", { class: "name" }, told(each.name)),
      make("span", { class: "track", "aria-hidden": "true" }, make("span", { class: "bar", "--share": Math.max(each.value, 0.002) })),
      make("span", { class: "value" }, each.text ?? percent(each.value),
        make("span", { class: "tick" },
          each.held || (each.chosen && each.held === undefined) ? make("span", { "aria-hidden": "true" }, " ✓") : null,
          each.held ? make("span", { class: "hidden" }, " in the set") : null,
          each.chosen ? make("span", { class: "hidden" }, ", predicted") : null)),
    )));
}

function numberNodes(prediction, run) {
  const decimals = run.range.decimals;
  const [low, high] = prediction.interval;
  const shown = (value) => number(value, decimals);
  const [chart, table] = prediction.distribution
    ? distributionChart(prediction.distribution, prediction, run.range)
    : rangeChart(prediction, run.range);
  const pairs = [[`${100 * LEVEL}% interval`, `${shown(low)} to ${shown(high)}`]];
  // Mean and median repeat the prediction where a run has no distribution.
  if (prediction.distribution || prediction.mean !== prediction.prediction || prediction.median !== prediction.prediction) {
    pairs.push(["mean", number(prediction.mean, decimals === null ? null : decimals + 1)], ["median", shown(prediction.median)]);
  }
  return [
    make("p", { class: "headline" }, shown(prediction.prediction), make("span", { class: "share" }, `${shown(low)} to ${shown(high)}`)),
    chart,
    facts(pairs),
    table,
    prediction.text ? make("pre", { tabindex: "0", dir: "auto", class: "written" }, prediction.text) : null,
    ...remarks(prediction),
  ].filter(Boolean);
}

function remarks(prediction) {
  const lines = [];
  if (prediction.covered !== undefined && prediction.covered < 0.9995) lines.push(`Answers were searched for; those found hold at least ${percent(prediction.covered)} of the probability.`);
  if (prediction.close) lines.push("Close: rounding in half precision could decide it the other way.");
  return lines.map((line) => make("p", { class: "hint" }, line));
}
