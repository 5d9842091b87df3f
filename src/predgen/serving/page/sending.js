// Many rows → their predictions, in requests of about a second: what fails alone is kept as that row's error.

import { Refused, ownWords, predict } from "./service.js";

const SECONDS = 1.0; // a request should take: progress moves, and a stop is quick
const FIRST = 8;
const TRIES = 8;
const LONGEST_WAIT = 30;

/** Characters as the service counts them: a pair of surrogates is one. */
function length(text) {
  let count = text.length;
  for (let place = 0; place < text.length; place++) if (text.charCodeAt(place) >= 0xd800 && text.charCodeAt(place) < 0xdc00) count--;
  return count;
}

const encoder = new TextEncoder();

function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("Stopped.", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, 1000 * seconds);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Rows on their way. `results` holds, row by row, a prediction, `{error}`, or null where it is still to come. */
export class Sending {
  /**
   * @param {object} run To be asked.
   * @param {object[]} rows Column → text.
   * @param {{rows?: number, characters?: number, body_bytes?: number}} limits The service's.
   * @param {(state: Sending) => void} progress Called when something has changed.
   */
  constructor(run, rows, limits, progress) {
    this.run = run;
    this.rows = rows;
    this.limits = limits;
    this.progress = progress;
    this.results = new Array(rows.length).fill(null);
    this.done = 0;
    this.failed = 0;
    this.waiting = null; // why nothing moves just now
    this.size = FIRST;
    this.spent = 0; // seconds of requests that were answered
    this.answered = 0; // rows in them
  }

  /** Seconds that the rest should take; null before the first reply. */
  get left() {
    return this.answered ? ((this.rows.length - this.done) * this.spent) / this.answered : null;
  }

  /**
   * Sends what is still to come.
   *
   * @param {AbortSignal} signal Stops it; what has come is kept, and it can be called again.
   * @throws {Refused} If the service refuses what no other part would be spared.
   */
  async go(signal) {
    const open = this.results.flatMap((result, place) => (result === null ? [place] : []));
    while (open.length) {
      const part = this.next(open);
      if (part.length) await this.send(part, signal);
      this.progress(this);
    }
  }

  /** Takes the next part off what is open; rows that are too large for any request become errors. */
  next(open) {
    const most = Math.min(this.size, this.limits.rows ?? Infinity);
    const bytes = (this.limits.body_bytes ?? Infinity) - encoder.encode(JSON.stringify(this.run.name)).length - 64;
    const part = [];
    let used = 0;
    while (open.length && part.length < most) {
      const row = this.rows[open[0]];
      const texts = Object.entries(row).flatMap(([column, value]) => [value].flat().map((text) => [column, text]));
      const long = texts.find(([, text]) => length(text) > (this.limits.characters ?? Infinity));
      const size = encoder.encode(JSON.stringify(row)).length + 1;
      if (texts.every(([, text]) => !text.trim())) this.fail(open.shift(), "The row is empty.");
      else if (long) this.fail(open.shift(), `${long[0]}: the text has ${length(long[1]).toLocaleString("en")} characters; the service takes ${this.limits.characters.toLocaleString("en")}.`);
      else if (size > bytes) this.fail(open.shift(), "The row is larger than a request may be.");
      else if (used + size > bytes) break;
      else {
        part.push(open.shift());
        used += size;
      }
    }
    return part;
  }

  async send(part, signal) {
    for (let tries = 0; ; tries++) {
      const started = performance.now();
      try {
        const reply = await predict(this.run, part.map((place) => this.rows[place]), false, signal);
        if (reply.predictions?.length !== part.length) throw new Refused(200, { message: `The service answered ${reply.predictions?.length} of ${part.length} rows.` });
        this.waiting = null;
        this.take(part, reply.predictions, (performance.now() - started) / 1000);
        return;
      } catch (problem) {
        if (!(problem instanceof Refused)) throw problem;
        if (problem.passing) {
          if (tries + 1 >= TRIES) throw problem;
          const wait = Math.min(problem.wait ?? 2 ** tries / 2, LONGEST_WAIT);
          this.waiting = `${problem.status ? "The service is busy" : "The service does not answer"}; trying again.`;
          this.progress(this);
          await sleep(wait, signal);
          continue;
        }
        this.waiting = null;
        if (problem.status !== 400 && problem.status !== 413 && problem.status !== 422) throw problem;
        await this.apart(part, problem, signal);
        return;
      }
    }
  }

  take(part, predictions, seconds) {
    part.forEach((place, index) => {
      if (predictions[index].error === undefined) this.results[place] = predictions[index];
      else {
        this.results[place] = { error: String(predictions[index].error) };
        this.failed++;
      }
    });
    this.done += part.length;
    this.spent += seconds;
    this.answered += part.length;
    const better = (part.length * SECONDS) / Math.max(seconds, 0.001);
    this.size = Math.max(1, Math.round(Math.min(better, 2 * this.size)));
  }

  /** The row that the service names is set aside; where it names none, the part is halved. */
  async apart(part, problem, signal) {
    if (part.length === 1) {
      this.fail(part[0], ownWords(problem));
      return;
    }
    if (Number.isInteger(problem.row) && problem.row >= 0 && problem.row < part.length) {
      this.fail(part[problem.row], ownWords(problem));
      await this.send(part.filter((_, index) => index !== problem.row), signal);
      return;
    }
    const middle = Math.ceil(part.length / 2);
    await this.send(part.slice(0, middle), signal);
    await this.send(part.slice(middle), signal);
  }

  fail(place, message) {
    this.results[place] = { error: message };
    this.failed++;
    this.done++;
  }
}
