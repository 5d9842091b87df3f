// The map of a text's words: a colour for how much each has to do with the answer, and a sign for its direction.

import { make, notice, number, told } from "./dom.js";

/**
 * The map's nodes.
 *
 * @param {{pieces: {column: string | null, text: string, score: number}[], score: {name: string, unit: string, signed: boolean, scale: number},
 *   notes: string[]}} reply What /v1/explain says.
 * @param {string[]} columns That the run reads; their names are shown where there are several.
 */
export function wordNodes({ pieces, score, notes }, columns) {
  if (!pieces.length) return [notice("There are no words to show.")];
  const strongest = [...pieces].sort((one, other) => Math.abs(other.score) - Math.abs(one.score)).slice(0, 8);
  const sign = (value) => (score.signed ? (value < 0 ? "▼ " : "▲ ") : "");
  return [
    key(score),
    ...grouped(pieces, columns).map(({ column, words }) =>
      make("p", { class: "words", dir: "auto", tabindex: "0" },
        column === null ? null : make("span", { class: "column-name" }, told(column)),
        words.flatMap((piece) => word(piece, score)))),
    make("details", {}, make("summary", {}, "The strongest words"),
      make("table", {},
        make("thead", {}, make("tr", {},
          make("th", { scope: "col" }, "words"),
          make("th", { scope: "col", class: "number" }, told(score.name), ` (${score.unit})`))),
        make("tbody", {}, strongest.map((piece) => make("tr", {},
          make("th", { scope: "row" }, told(piece.text.trim() || "·")),
          make("td", { class: "number" }, `${sign(piece.score)}${number(piece.score)}`)))))),
    ...notes.map((note) => make("p", { class: "hint" }, told(note))),
  ];
}

function key(score) {
  const sample = (side, text) => make("span", { class: `word ${side}`, "--strength": 0.8 }, text);
  if (!score.signed) return make("p", { class: "keys" }, sample("for", "The stronger"), " the colour and the line, the more the answer changes without the words.");
  const numeric = score.name === "expected value" || score.name === "value";
  return make("p", { class: "keys" },
    sample("for", numeric ? "▲ raises" : "▲ speaks for"), " and ", sample("against", numeric ? "▼ lowers" : "▼ speaks against"), " ",
    numeric ? "the number" : told(score.name), ". The stronger, the more.");
}

/** Pieces in runs of one column; the template's own words stay with what they stand in. */
function grouped(pieces, columns) {
  if (columns.length < 2) return [{ column: null, words: pieces }];
  const groups = [];
  for (const piece of pieces) {
    if (!groups.length || (groups.at(-1).column !== piece.column && piece.text.trim())) groups.push({ column: piece.column, words: [] });
    groups.at(-1).words.push(piece);
  }
  return groups;
}

function word(piece, score) {
  const strength = Math.min(1, Math.abs(piece.score) / (score.scale || 1));
  const against = score.signed && piece.score < 0;
  // Spaces stay outside of the colour; the sign stands with words that matter.
  const [, before, text, after] = /^(\s*)([\s\S]*?)(\s*)$/.exec(piece.text);
  if (!text) return [piece.text];
  const signs = score.signed && strength >= 0.25
    ? [make("span", { class: "sign", "aria-hidden": "true" }, against ? "▼" : "▲"), make("span", { class: "hidden" }, against ? " (against)" : " (for)")]
    : [];
  return [before, make("span", { class: `word ${against ? "against" : "for"}`, "--strength": strength.toFixed(3), title: number(piece.score) }, text, signs), after];
}
