// CSV, read and written: RFC 4180 with what is met besides (BOM, CRLF, LF or CR, semicolons and tabs).

/** What is wrong with a file, in words for the page. */
export class CsvProblem extends Error {}

/** Bytes → text. UTF-8, or UTF-16 where a byte order mark says so. */
export function decodeBytes(bytes) {
  const [first, second] = new Uint8Array(bytes.slice(0, 2));
  const name = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(name, { fatal: true }).decode(bytes);
  } catch {
    throw new CsvProblem(`This file is not in ${name.toUpperCase()}. Save it as “CSV UTF-8” and choose it again.`);
  }
}

/** The delimiter that the first line has most of, quotes aside. */
export function delimiterOf(text) {
  const counts = new Map([[",", 0], [";", 0], ["\t", 0]]);
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === "\n" || character === "\r")) break;
    else if (!quoted && counts.has(character)) counts.set(character, counts.get(character) + 1);
  }
  return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best))[0];
}

/**
 * Text → records of fields. Lines that hold nothing are no records.
 *
 * @param {string} text Without or with a byte order mark.
 * @param {string} delimiter One character.
 * @returns {{fields: string[], line: number}[]} With the line, from 1, that each begins on.
 * @throws {CsvProblem} If a quoted field is not closed.
 */
export function parseRecords(text, delimiter) {
  const records = [];
  let place = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let line = 1;
  while (place < text.length) {
    const fields = [];
    const began = line;
    for (;;) {
      let field;
      if (text[place] === '"') {
        const opened = line;
        let end = text.indexOf('"', place + 1);
        while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
        if (end < 0) throw new CsvProblem(`The quote that opens on line ${opened} is never closed.`);
        const inside = text.slice(place + 1, end);
        line += inside.match(/\r\n|\r|\n/g)?.length ?? 0;
        field = inside.replaceAll('""', '"');
        place = end + 1;
        // What stands behind a closing quote belongs to the field: spreadsheets read it so.
        while (place < text.length && text[place] !== delimiter && text[place] !== "\n" && text[place] !== "\r") field += text[place++];
      } else {
        const start = place;
        while (place < text.length && text[place] !== delimiter && text[place] !== "\n" && text[place] !== "\r") place++;
        field = text.slice(start, place);
      }
      fields.push(field);
      if (text[place] !== delimiter) break;
      place++;
    }
    if (text[place] === "\r" && text[place + 1] === "\n") place++;
    place++;
    line++;
    if (fields.length > 1 || fields[0].trim() !== "") records.push({ fields, line: began });
  }
  return records;
}

/**
 * A file's text → its header and rows.
 *
 * @param {string} text The whole file.
 * @returns {{columns: string[], rows: string[][], lines: number[], ragged: number, delimiter: string}} Rows are as long as the header;
 *   `ragged` counts those that were shorter, or longer by empty fields alone.
 * @throws {CsvProblem} If there is no row, a name is missing or twice there, or a row has more fields than the header.
 */
export function readTable(text) {
  const delimiter = delimiterOf(text);
  const [header, ...records] = parseRecords(text, delimiter);
  if (!header) throw new CsvProblem("The file is empty.");
  const columns = header.fields.map((name) => name.trim());
  const twice = columns.find((name, place) => name !== "" && columns.indexOf(name) !== place);
  if (twice !== undefined) throw new CsvProblem(`The column ${JSON.stringify(twice)} is there twice.`);
  if (columns.every((name) => name === "")) throw new CsvProblem("The first line names no columns.");
  if (!records.length) throw new CsvProblem("The file has a line of column names and no rows below it.");
  let ragged = 0;
  const rows = records.map(({ fields, line }) => {
    if (fields.slice(columns.length).some((field) => field !== "")) {
      throw new CsvProblem(
        `The row on line ${line} has ${fields.length} fields, the header ${columns.length}. A text that holds a “${delimiter === "\t" ? "tab" : delimiter}” must stand in quotes.`,
      );
    }
    if (fields.length !== columns.length) ragged++;
    return columns.map((_, place) => fields[place] ?? "");
  });
  return { columns, rows, lines: records.map((record) => record.line), ragged, delimiter };
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?$/;

/** A cell that no spreadsheet runs as a formula: what could be one is given an apostrophe, numbers are left alone. */
export function guarded(cell) {
  return /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/.test(cell) && !NUMBER.test(cell) ? `'${cell}` : cell;
}

/** Rows of texts → a CSV text, CRLF at line ends, guarded, with a byte order mark so that spreadsheets read UTF-8. */
export function writeTable(rows) {
  const field = (value) => {
    const cell = guarded(String(value ?? ""));
    return /[",;\t\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };
  return `\ufeff${rows.map((row) => row.map(field).join(",")).join("\r\n")}\r\n`;
}
