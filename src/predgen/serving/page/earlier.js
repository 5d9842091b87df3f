// The texts asked before, so that wordings can be compared: newest first, gone with the page.

import { make, told } from "./dom.js";

const MOST = 8;

/** A list of earlier answers, each a button that asks its text again. */
export class Earlier {
  /**
   * @param {HTMLElement} place Hidden while there is nothing to compare.
   * @param {HTMLElement} list In it.
   * @param {(row: object) => void} again Asks a row.
   */
  constructor(place, list, again) {
    Object.assign(this, { place, list, again, kept: [], shown: null });
  }

  /** Forgets all of them, for another run. */
  clear() {
    Object.assign(this, { kept: [], shown: null });
    this.show();
  }

  /**
   * The answer that is shown now; the one before moves to the list.
   *
   * @param {object} row Column → text.
   * @param {string} answer In words.
   */
  add(row, answer) {
    const same = (each) => JSON.stringify(each.row) === JSON.stringify(row);
    if (this.shown && !same(this.shown)) this.kept.unshift(this.shown);
    this.kept = this.kept.filter((each) => !same(each)).slice(0, MOST);
    this.shown = { row, answer };
    this.show();
  }

  show() {
    this.place.hidden = !this.kept.length;
    this.list.replaceChildren(...this.kept.map(({ row, answer }) => {
      const text = Object.values(row).flat().filter((each) => each.trim()).join(" · ").replace(/\s+/g, " ");
      return make("li", {}, make("button", { type: "button", class: "again", click: () => this.again(row) },
        make("span", { class: "text" }, told(text)), make("span", { class: "hint" }, told(answer))));
    }));
  }
}
