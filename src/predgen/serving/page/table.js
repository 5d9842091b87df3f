// A CSV file → predictions: chosen, matched to the run's columns, sent, downloaded.

import { bars, inWords } from "./answer.js";
import { CsvProblem, decodeBytes, readTable, writeTable } from "./csv.js";
import { distributionChart } from "./distribution.js";
import { at, counted, duration, make, notice, number, percent, told } from "./dom.js";
import { labelCounts, numberSpread, resultTable } from "./results.js";
import { Sending } from "./sending.js";
import { valueOf } from "./service.js";

const MOST_BYTES = 200 * 2 ** 20; // a browser holds the file several times over
const PREVIEW = 5;
const MOST_ERRORS = 50;

/** The part of the page that a file goes through. */
export class TablePart {
  /** @param {(busy: boolean) => void} busy Told when rows begin and cease to be sent. */
  constructor(busy) {
    this.busy = busy;
    this.table = null;
    this.sending = null;
    this.stop = null;
    const input = at("file");
    input.addEventListener("change", () => {
      if (input.files.length) this.open(input.files[0]);
      input.value = ""; // so that the same file, mended, can be chosen again
    });
    const place = at("drop");
    const over = (on) => place.classList.toggle("over", on);
    // A file dropped beside the place would replace the page, and the work with it.
    addEventListener("dragover", (event) => {
      event.preventDefault();
      over(at("table").contains(event.target));
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) over(false);
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      const file = event.dataTransfer?.files[0];
      if (file && at("table").contains(event.target)) this.open(file);
    });
    addEventListener("beforeunload", (event) => {
      if (this.stop) event.preventDefault();
    });
  }

  /** Whom rows are sent to from now on. */
  use(run, limits) {
    this.run = run;
    this.limits = limits;
    if (this.table && !this.stop) this.plan();
  }

  async open(file) {
    if (this.stop) {
      this.alert("Rows are being sent. Stop that first.");
      return;
    }
    this.alert(null);
    at("job").hidden = true;
    this.table = null;
    try {
      if (file.size > MOST_BYTES) throw new CsvProblem(`The file has ${Math.round(file.size / 2 ** 20)} MB; this page takes up to ${MOST_BYTES / 2 ** 20}. For larger ones there is “predgen predict RUN FILE”.`);
      this.table = { name: file.name, ...readTable(decodeBytes(await file.arrayBuffer())) };
    } catch (problem) {
      this.alert(problem instanceof CsvProblem ? problem.message : `The file cannot be read: ${problem.message}`);
      return;
    }
    this.plan();
    at("job").querySelector("select, button")?.focus();
  }

  alert(message) {
    at("table-alert").replaceChildren(...(message ? [notice(message)] : []));
  }

  /** Shows what was read, which column is which, and the button that begins. */
  plan() {
    const { name, columns, rows, ragged } = this.table;
    this.sending = null;
    const guesses = guess(this.run.columns, columns, rows);
    this.selects = this.run.columns.map((column, place) => {
      const select = make("select", { id: `column-${place}` }, make("option", { value: "" }, "– choose –"),
        columns.map((each, index) => make("option", { value: index }, each || `(column ${index + 1})`)));
      select.value = guesses[place] ?? "";
      select.addEventListener("change", () => this.showPlan());
      return select;
    });
    this.begin = make("button", { type: "button", click: () => this.start() }, `Predict ${counted(rows.length, "row")}`);
    at("job").replaceChildren(
      make("p", {}, make("strong", {}, told(name)), `: ${counted(rows.length, "row")}, ${counted(columns.length, "column")}.`,
        ragged ? ` ${counted(ragged, "row")} had fewer fields than the header; the missing ones are empty.` : ""),
      make("div", { class: "matches" }, this.run.columns.map((column, place) =>
        make("p", { class: "setting" }, make("label", { for: `column-${place}` }, told(column), " is"), this.selects[place]))),
      (this.preview = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first rows" })),
      make("p", { class: "actions" }, this.begin),
      (this.after = make("div", {})),
    );
    at("job").hidden = false;
    this.showPlan();
  }

  showPlan() {
    const chosen = this.selects.map((select) => select.value);
    this.begin.disabled = chosen.includes("");
    const rows = this.table.rows.slice(0, 3);
    this.preview.replaceChildren(previewTable("The first rows, as they will be read", this.run.columns,
      rows.map((row) => chosen.map((index) => (index === "" ? "" : row[index])))));
  }

  start() {
    const chosen = this.selects.map((select) => Number(select.value));
    const rows = this.table.rows.map((row) => Object.fromEntries(this.run.columns.map((column, place) => [column, valueOf(this.run, column, row[chosen[place]])])));
    this.sending = new Sending(this.run, rows, this.limits, (state) => this.show(state));
    this.bar = make("progress", { max: rows.length, value: 0, "aria-label": "Rows predicted" });
    this.line = make("p", { class: "progress-line" });
    this.heard = make("p", { class: "hidden", role: "status" });
    this.tenth = 0;
    this.outcome = make("div", {});
    this.stopButton = make("button", { type: "button", class: "quiet", click: () => this.stop?.abort() }, "Stop");
    this.after.replaceChildren(this.bar, this.line, this.heard, make("p", { class: "actions" }, this.stopButton), this.outcome);
    this.go();
  }

  async go() {
    this.stop = new AbortController();
    this.busy(true);
    this.begin.disabled = true;
    this.selects.forEach((select) => (select.disabled = true));
    this.stopButton.hidden = false;
    this.stopButton.focus();
    this.outcome.replaceChildren();
    let problem = null;
    try {
      this.show(this.sending);
      await this.sending.go(this.stop.signal);
    } catch (caught) {
      problem = caught;
    }
    this.stop = null;
    this.busy(false);
    this.begin.disabled = false;
    this.begin.classList.add("quiet"); // the download is what comes next
    this.begin.textContent = "Predict all anew";
    this.selects.forEach((select) => (select.disabled = false));
    this.stopButton.hidden = true;
    this.sending.waiting = null;
    this.show(this.sending);
    this.finish(problem);
  }

  show(state) {
    const total = state.rows.length;
    this.bar.value = state.done;
    const parts = [`${state.done.toLocaleString("en")} of ${counted(total, "row")}`];
    if (state.failed) parts.push(counted(state.failed, "error"));
    if (state.answered) parts.push(`${(state.answered / state.spent).toPrecision(2)} rows/s`.replace(/^(.*e.*) /, (_, text) => `${Number(text).toLocaleString("en")} `));
    if (this.stop && state.left !== null && state.done < total) parts.push(`${duration(state.left)} left`);
    if (state.waiting) parts.push(state.waiting);
    this.line.textContent = parts.join(" · ");
    const tenth = Math.floor((10 * state.done) / total);
    if (tenth > this.tenth && state.done < total) this.heard.textContent = `${10 * tenth}% of the rows are predicted.`; // not every part: that would be noise
    this.tenth = tenth;
  }

  finish(problem) {
    const state = this.sending;
    const open = state.rows.length - state.done;
    const said = problem === null
      ? `Done: ${counted(state.done, "row")}${state.failed ? `, ${counted(state.failed, "error")}` : ""}.`
      : problem.name === "AbortError"
        ? `Stopped after ${counted(state.done, "row")}; ${open.toLocaleString("en")} are left.`
        : `${problem.message} ${counted(state.done, "row")} came through; ${open.toLocaleString("en")} are left.`;
    this.heard.textContent = said;
    const download = make("button", { type: "button", click: () => this.download() }, "Download the result");
    this.outcome.replaceChildren(
      problem !== null && problem.name !== "AbortError" ? notice(said) : make("p", {}, said),
      make("p", { class: "actions" }, download,
        open ? make("button", { type: "button", class: "quiet", click: () => this.go() }, "Go on with the rest") : null),
      ...this.counts(),
      ...this.firstRows(),
      ...this.errors(),
      make("p", { class: "hint" }, "Cells that a spreadsheet would run as a formula begin with an apostrophe in the file."),
    );
    download.focus();
  }

  counts() {
    const spread = numberSpread(this.sending.results);
    if (spread !== null) return this.spread(spread);
    const counts = labelCounts(this.sending.results);
    if (!counts?.length) return [];
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    const entries = counts.slice(0, 12).map(([name, count]) => ({ name, value: count / total, text: `${count.toLocaleString("en")} (${percent(count / total)})` }));
    return [make("h3", {}, "What was predicted"), bars(entries, "How often each label was predicted"),
      counts.length > entries.length ? make("p", { class: "hint" }, `and ${counted(counts.length - entries.length, "label")} more`) : null].filter(Boolean);
  }

  spread({ distribution, marks }) {
    const { range } = this.sending.run;
    const shown = [marks.prediction, ...marks.interval].map((value) => number(value, range.decimals));
    return [make("h3", {}, "What was predicted"),
      make("div", { class: "narrow" }, distributionChart(distribution, marks, range)[0]),
      make("p", { class: "hint" }, `How the predictions are spread: median ${shown[0]}, nine of ten between ${shown[1]} and ${shown[2]}.`)];
  }

  firstRows() {
    const places = this.sending.results.flatMap((result, place) => (result === null || result.error !== undefined ? [] : [place])).slice(0, PREVIEW);
    if (!places.length) return [];
    const rows = places.map((place) => [...this.run.columns.map((column) => [this.sending.rows[place][column]].flat().join(" / ")), inWords(this.sending.results[place], this.sending.run)]);
    return [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first answers" }, previewTable("The first answers", [...this.run.columns, "answer"], rows))];
  }

  errors() {
    const failed = this.sending.results.flatMap((result, place) => (result?.error === undefined ? [] : [[`line ${this.table.lines[place]}`, result.error]]));
    if (!failed.length) return [];
    return [make("details", { class: "errors" }, make("summary", {}, `${counted(failed.length, "row")} without an answer`),
      make("ul", { class: "listing" }, failed.slice(0, MOST_ERRORS).map(([where, why]) => make("li", {}, make("strong", {}, where), ": ", told(why))),
        failed.length > MOST_ERRORS ? make("li", {}, `and ${failed.length - MOST_ERRORS} more, in the file`) : null))];
  }

  download() {
    const text = writeTable(resultTable(this.table, this.sending.results));
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    const stem = this.table.name.replace(/\.[^.]*$/, "") || "table";
    make("a", { href: address, download: `${stem}-predicted.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}

/** Which of the file's columns each of the run's is: of the same name, or the one with the longest texts. */
function guess(wanted, columns, rows) {
  const plain = columns.map((name) => name.toLowerCase());
  const found = wanted.map((name) => {
    const exact = columns.indexOf(name);
    const near = exact >= 0 ? exact : plain.indexOf(name.toLowerCase());
    return near >= 0 ? near : null;
  });
  if (wanted.length === 1 && found[0] === null) {
    const lengths = columns.map((_, index) => rows.slice(0, 100).reduce((sum, row) => sum + row[index].length, 0));
    return [lengths.indexOf(Math.max(...lengths))];
  }
  return found;
}

function previewTable(caption, columns, rows) {
  const short = (text) => (text.length > 140 ? `${text.slice(0, 139)}…` : text);
  return make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, told(name))))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, told(short(cell))))))));
}
