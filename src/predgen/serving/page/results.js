// Predictions as columns beside the rows that they are of.

import { fieldPrediction, kindOf } from "./answer.js";

const MOST_LABELS = 30; // that have a column each

/** A prediction as named cells. */
export function cells(prediction) {
  switch (kindOf(prediction)) {
    case "error":
      return [];
    case "record":
      return Object.keys(prediction.fields).flatMap((name) =>
        cells(fieldPrediction(prediction, name)).map(([title, value]) => [title === "prediction" ? name : `${name} ${title}`, value]));
    case "number":
      return [
        ["prediction", prediction.prediction], ["low", prediction.interval[0]], ["high", prediction.interval[1]],
        ["mean", prediction.mean], ["median", prediction.median],
        ...(prediction.text === undefined ? [] : [["text", prediction.text]]),
      ];
    case "labels":
      return [["prediction", prediction.prediction.join("; ")], ...each(prediction)];
    default: {
      const share = prediction.probabilities[prediction.prediction];
      return [["prediction", prediction.prediction ?? ""], ["probability", share ?? ""], ["set", prediction.set.join("; ")], ...each(prediction)];
    }
  }
}

function each(prediction) {
  const entries = Object.entries(prediction.probabilities);
  return entries.length > MOST_LABELS ? [] : entries.map(([name, share]) => [`p(${name})`, share]);
}

/**
 * The table that is downloaded: the file's columns, then the answers', then why a row has none.
 *
 * @param {{columns: string[], rows: string[][]}} table As it was read.
 * @param {(object | null)[]} results A row's prediction, `{error}`, or null where it was not reached.
 * @returns {string[][]} With the header in front.
 */
export function resultTable(table, results) {
  const answered = results.map((result) => new Map(result === null ? [] : cells(result)));
  const names = [...new Set(answered.flatMap((cell) => [...cell.keys()])), "error"];
  const taken = new Set(table.columns);
  const titles = names.map((name) => {
    let title = name;
    while (taken.has(title)) title = `predgen ${title}`;
    taken.add(title);
    return title;
  });
  const rows = table.rows.map((row, place) => [
    ...row,
    ...names.slice(0, -1).map((name) => answered[place].get(name) ?? ""),
    results[place] === null ? "not predicted: stopped before" : (results[place].error ?? ""),
  ]);
  return [[...table.columns, ...titles], ...rows];
}

/**
 * How the predicted numbers are spread: each with its share of the rows, their median, and what nine of ten lie between;
 * null where answers are no single numbers.
 */
export function numberSpread(results) {
  const answered = results.filter((result) => result !== null && result.error === undefined);
  if (!answered.length || answered.some((result) => kindOf(result) !== "number")) return null;
  const values = answered.map((result) => result.prediction).sort((one, other) => one - other);
  const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const support = [...counts.keys()];
  return {
    distribution: { support, probabilities: support.map((value) => counts.get(value) / values.length) },
    marks: { prediction: at(0.5), interval: [at(0.05), at(0.95)] },
  };
}

/** How often each label was predicted, most first; null where answers are no single labels. */
export function labelCounts(results) {
  const counts = new Map();
  for (const result of results) {
    if (result === null || kindOf(result) === "error") continue;
    if (kindOf(result) !== "label") return null;
    const name = result.prediction ?? "no answer";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort((one, other) => other[1] - one[1]);
}
