// What is asked of the service: runs, predictions, explanations. The key lives here and nowhere else.

let key = "";

/** The key for all further requests. */
export function useKey(given) {
  key = given.trim();
}

/** What the service refused, and why. */
export class Refused extends Error {
  /**
   * @param {number} status The HTTP status; 0 where nothing answered.
   * @param {{code?: string, message?: string, row?: number, field?: string}} problem What the service says of it.
   * @param {number | null} wait Seconds after which to ask again, where the service says so.
   */
  constructor(status, problem, wait = null) {
    super(problem.message ?? `The service answered with status ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.row = problem.row ?? null;
    this.field = problem.field ?? null;
    this.wait = wait;
  }

  /** Whether the same request may be answered later. */
  get passing() {
    return [0, 408, 429, 502, 503, 504].includes(this.status);
  }
}

async function ask(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  if (!/^[\x21-\x7e]*$/.test(key)) throw new Refused(401, { code: "unauthorized", message: "A key has no blanks and no letters beyond ASCII; this one has." });
  let reply;
  try {
    reply = await fetch(path, { method, headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Refused(0, { code: "unreachable", message: "The service does not answer. Is it still running?" });
  }
  let said = null;
  try {
    said = await reply.json();
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
  }
  if (!reply.ok) {
    const wait = Number.parseFloat(reply.headers.get("Retry-After") ?? "");
    throw new Refused(reply.status, said?.error ?? {}, Number.isFinite(wait) ? wait : null);
  }
  if (said === null) throw new Refused(reply.status, { message: "The service's reply is not JSON: something else answers at this address." });
  return said;
}

/** The runs, their columns and the service's limits. */
export function listRuns() {
  return ask("GET", "/v1/runs");
}

/** The body of a prediction of rows, each a mapping of columns to texts. */
export function predictBody(run, rows, distribution) {
  return { run: run.name, rows, ...(distribution ? { distribution: true } : {}) };
}

/** Predictions of rows; all of them or an error. */
export function predict(run, rows, distribution, signal) {
  return ask("POST", "/v1/predict", predictBody(run, rows, distribution), signal);
}

/** The map of a row's words; of a record, for one of its fields. */
export function explain(run, row, field, signal) {
  return ask("POST", "/v1/explain", { run: run.name, row, ...(field ? { field } : {}) }, signal);
}

/** Whether a run reads a list from a column: its example holds one. */
export function isList(run, column) {
  return (run.examples ?? []).some((example) => Array.isArray(example[column]));
}

/** A text as a run's column takes it: where that is a list, its lines. */
export function valueOf(run, column, text) {
  return isList(run, column) ? text.split(/\r\n|\r|\n/).map((line) => line.trim()).filter(Boolean) : text;
}

/** A message of one row, without the number that it had in its request. */
export function ownWords(problem) {
  return problem.message.replace(/^Row \d+(?=[:, ])/, "The row");
}

/** A request as a line for a POSIX shell; the key stays a variable, so that it is not copied about. */
export function curlLine(run, rows, distribution, keyRequired) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  return [
    `curl -sS ${quoted(`${location.origin}/v1/predict`)}`,
    ...(keyRequired ? ['-H "Authorization: Bearer $PREDGEN_KEY"'] : []),
    "-H 'Content-Type: application/json'",
    `--data-raw ${quoted(JSON.stringify(predictBody(run, rows, distribution)))}`,
  ].join(" \\\n  ");
}
