// The page: which run, one text and its answer, and a table.

import { answerNodes, inWords, kindOf } from "./answer.js";
import { at, counted, duration, make, notice, told } from "./dom.js";
import { Earlier } from "./earlier.js";
import { Refused, curlLine, explain, isList, listRuns, ownWords, predict, useKey, valueOf } from "./service.js";
import { TablePart } from "./table.js";
import { wordNodes } from "./words.js";

let service = null; // what /v1/runs says
let run = null; // the run that is asked
let answered = null; // the row whose answer is shown
let asking = null; // stops the request for one text
const table = new TablePart((busy) => {
  at("run").disabled = busy;
});
const earlier = new Earlier(at("earlier"), at("earlier-list"), (row) => {
  fillIn(row);
  at("field-0").focus(); // the button leaves the list
  ask();
});

async function begin() {
  try {
    service = await listRuns();
  } catch (problem) {
    at("title").textContent = "predgen";
    if (problem.status === 401) {
      at("subtitle").textContent = "This service asks for an API key.";
      showKey();
      at("key").focus();
      if (at("key").value) showAlert(problem.message);
    } else showAlert(problem.message);
    return;
  }
  showAlert(null);
  if (service.key_required) showKey();
  at("run-setting").hidden = service.runs.length < 2;
  at("run").replaceChildren(...service.runs.map((each) => make("option", { value: each.name }, each.name)));
  at("content").hidden = false;
  choose(service.runs[0]);
}

function showKey() {
  at("key-setting").hidden = false;
}

function choose(chosen) {
  asking?.abort();
  run = chosen;
  at("title").replaceChildren(told(run.name));
  at("subtitle").replaceChildren(...summary(run));
  document.title = `${run.name} – predgen`;
  at("service").textContent = `${run.method}, version ${run.version}.`;
  at("fields").replaceChildren(...run.columns.map(field));
  showExamples();
  at("answer-body").replaceChildren(make("p", { class: "muted" }, "Appears here, with its probability."));
  at("words").hidden = true;
  at("call").hidden = true;
  answered = null;
  earlier.clear();
  showAlert(null);
  table.use(run, service.limits ?? {});
}

function summary(described) {
  const parts = [];
  if (described.labels) parts.push(make("span", {}, `${counted(described.labels.length, "label")}: `, ...namesOf(described.labels)));
  else if (described.range) parts.push(`a number from ${described.range.low} to ${described.range.high}`.replaceAll("-", "−"));
  else parts.push(make("span", {}, "a record of ", ...namesOf(described.targets)));
  parts.push(make("span", { class: "whole" }, told(described.model)));
  return parts.flatMap((part, place) => (place ? [" · ", part] : [part]));
}

function namesOf(names) {
  const shown = names.slice(0, 5).flatMap((name, place) => [place ? ", " : "", told(name)]);
  return names.length > 5 ? [...shown, ", …"] : shown;
}

function field(column, place) {
  const rows = run.columns.length > 1 ? 3 : 6;
  const area = make("textarea", {
    id: `field-${place}`, name: column, rows, dir: "auto", spellcheck: "true", "aria-describedby": `problem-${place}`,
    input: () => clearProblem(place),
    keydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        at("one").requestSubmit();
      }
    },
  });
  return make("div", { class: "field-of-text" }, make("label", { for: area.id }, told(column), isList(run, column) ? make("span", { class: "hint" }, " one a line") : null), area, make("p", { id: `problem-${place}`, class: "problem" }));
}

function areas() {
  return run.columns.map((_, place) => at(`field-${place}`));
}

function clearProblem(place) {
  at(`problem-${place}`).textContent = "";
  at(`field-${place}`).removeAttribute("aria-invalid");
}

function showProblem(place, message) {
  at(`problem-${place}`).textContent = message;
  at(`field-${place}`).setAttribute("aria-invalid", "true");
  at(`field-${place}`).focus();
}

function fillIn(row) {
  areas().forEach((area, place) => {
    area.value = [row[run.columns[place]] ?? ""].flat().join("\n");
    clearProblem(place);
  });
}

function showExamples() {
  const examples = (run.examples ?? []).slice(0, 4);
  at("examples").hidden = !examples.length;
  at("examples").replaceChildren(make("span", { class: "hint" }, "Try"), ...examples.map((example) => {
    const text = run.columns.map((column) => [example[column] ?? ""].flat().join(" / ")).join(" · ");
    return make("button", { type: "button", class: "example", click: () => {
      fillIn(example);
      ask();
    } }, told(text.length > 60 ? `${text.slice(0, 59)}…` : text));
  }));
}

function showAlert(message) {
  at("alert").replaceChildren(...(message ? [notice(message)] : []));
  at("start-alert").replaceChildren(...(message && at("content").hidden ? [notice(message)] : []));
}

/** The texts as a row; null, with the reason shown, where there is nothing to ask. */
function readRow() {
  const row = Object.fromEntries(run.columns.map((column, place) => [column, valueOf(run, column, areas()[place].value)]));
  if (Object.values(row).flat().every((text) => !text.trim())) {
    showProblem(0, "Type a text first.");
    return null;
  }
  const most = service.limits?.characters ?? Infinity;
  const long = run.columns.findIndex((column) => [...[row[column]].flat().join("")].length > most);
  if (long >= 0) {
    showProblem(long, `${[...[row[run.columns[long]]].flat().join("")].length.toLocaleString("en")} characters; the service takes up to ${most.toLocaleString("en")}.`);
    return null;
  }
  return row;
}

async function ask() {
  run.columns.forEach((_, place) => clearProblem(place));
  const row = readRow();
  if (row === null) return;
  asking?.abort();
  const mine = (asking = new AbortController());
  const wantsDistribution = !run.labels;
  at("answer").setAttribute("aria-busy", "true");
  showAlert(null);
  const started = performance.now();
  try {
    const reply = await predict(run, [row], wantsDistribution, mine.signal);
    if (mine !== asking) return;
    showAnswer(reply, row, (performance.now() - started) / 1000, wantsDistribution);
  } catch (problem) {
    if (mine !== asking || problem.name === "AbortError") return;
    showRefusal(problem);
  } finally {
    if (mine === asking) at("answer").setAttribute("aria-busy", "false");
  }
}

function showAnswer(reply, row, seconds, wantsDistribution) {
  const [prediction] = reply.predictions;
  answered = row;
  at("answer-body").replaceChildren(...answerNodes(prediction, run), make("p", { class: "hint took" }, `Answered in ${duration(reply.seconds)}; ${duration(seconds)} with the way there and back.`));
  at("said").textContent = `Answer: ${inWords(prediction, run)}.`;
  earlier.add(row, inWords(prediction, run));
  at("curl").textContent = curlLine(run, [row], wantsDistribution, service.key_required);
  at("copied").textContent = "";
  at("call").hidden = false;
  at("words").hidden = !run.explain || kindOf(prediction) === "error";
  at("words-body").replaceChildren();
  showFields();
}

function showRefusal(problem) {
  if (!(problem instanceof Refused)) throw problem;
  if (problem.status === 401) {
    showKey();
    at("key").focus();
  }
  const place = run.columns.indexOf(problem.field);
  if (place >= 0) showProblem(place, ownWords(problem));
  else showAlert(problem.wait === null ? ownWords(problem) : `${problem.message} Try again in ${duration(problem.wait)}.`);
}

/** Of a record, the choice of the field whose answer is looked into. */
function showFields() {
  const several = run.targets.length > 1;
  at("word-actions").hidden = false;
  at("word-field-setting").hidden = !several;
  at("word-field").replaceChildren(...(several ? run.targets.map((name) => make("option", { value: name }, name)) : []));
}

async function askWords() {
  const row = answered;
  const button = at("explain");
  button.disabled = true;
  button.textContent = "Reading …";
  try {
    const reply = await explain(run, row, at("word-field").value);
    if (row !== answered) return;
    at("words-body").replaceChildren(...wordNodes(reply, run.columns), make("p", { class: "hint" }, `Took ${duration(reply.seconds)}: the text is read again without each word.`));
    at("said").textContent = "The words are shown.";
    at("word-actions").hidden = run.targets.length < 2;
    at("words-title").focus();
  } catch (problem) {
    if (row !== answered) return;
    if (!(problem instanceof Refused)) throw problem;
    at("words-body").replaceChildren(notice(ownWords(problem)));
    at("said").textContent = problem.message;
  } finally {
    button.disabled = false;
    button.textContent = "Show the words";
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(at("curl")); // no clipboard without https or a permission
    at("copied").textContent = "Selected; copy it with Ctrl C.";
  }
}

at("one").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
at("key-setting").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(at("key").value);
  if (service === null) begin();
  else showAlert(null);
});
at("key").addEventListener("input", () => useKey(at("key").value));
at("run").addEventListener("change", () => choose(service.runs.find((each) => each.name === at("run").value)));
at("explain").addEventListener("click", askWords);
at("copy").addEventListener("click", copy);
if (/Mac|iP(hone|ad)/.test(navigator.platform)) at("shortcut").querySelector("kbd").textContent = "⌘";
begin();
