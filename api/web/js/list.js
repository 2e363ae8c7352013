// A list of jobs, or of experiments: filters, pages, rows that change in place.

import {Offline, get} from "./api.js";
import {fill, h, uid} from "./dom.js";
import {polling} from "./jobs/live.js";
import {STATES, ended} from "./jobs/states.js";
import {Curves} from "./list/curves.js";
import {row} from "./list/row.js";
import {empty, failure, loading} from "./parts.js";
import {t} from "./texts.js";

const LIMIT = 20;

/**
 * Fills `root` with a list. Returns what takes it down.
 *
 * what: {path (of the API), name ("jobs" or "experiments", of the answer's texts), labels (whether there is a filter by
 *        label), beside (elements above the list)}
 */
export function list(root, params, what) {
  const made = new List(root, params.query, what);
  made.look();
  const stop = polling(() => made.look(), () => (made.busy ? 2 : 8));
  return () => {
    made.turn = -1;
    stop();
  };
}

class List {
  constructor(root, query, what) {
    this.what = what;
    this.asked = Object.fromEntries(["state", "label", "cursor"].map((name) => [name, query.get(name) ?? ""]));
    this.before = []; // cursors of the newer pages, for the way back
    this.rows = new Map();
    this.curves = new Curves();
    this.next = null;
    this.turn = 0; // of the latest request: one before it that comes after it is not shown
    this.busy = false;
    this.filters = filters(this.asked, what, (change) => this.filter(change));
    this.pages = this.makePages();
    this.content = h("div", {}, loading());
    this.trouble = h("div");
    this.body = h("tbody");
    this.table = table(t(`${what.name}.title`), this.body);
    const card = h(
      "div", {class: "card stack"},
      this.filters.element, this.trouble, this.content, h("div", {class: "row pages"}, Object.values(this.pages)),
    );
    fill(root, h("div", {class: "row spread"}, h("h1", {}, t(`${what.name}.title`)), this.submitLink()), what.beside, card);
  }

  makePages() {
    const button = (onclick, text) => h("button", {type: "button", onclick}, text);
    return {
      newest: button(() => this.go(""), t("list.newest")),
      newer: button(() => this.go(this.before.pop() ?? ""), t("list.newer")),
      older: button(() => {
        this.before.push(this.asked.cursor);
        this.go(this.next);
      }, t("list.older")),
    };
  }

  submitLink() {
    return h("a", {class: "button primary", href: this.what.submit}, t(`${this.what.name}.new`));
  }

  filter(change) {
    Object.assign(this.asked, change);
    this.before.length = 0;
    this.go("");
  }

  go(cursor) {
    this.asked.cursor = cursor ?? "";
    const given = Object.entries(this.asked).filter(([, value]) => value);
    history.replaceState(null, "", `#/${this.what.name}${given.length ? `?${new URLSearchParams(given)}` : ""}`);
    this.rows.clear();
    fill(this.content, loading());
    this.look();
  }

  /** Asks for the jobs of the page, and shows them. */
  async look() {
    this.turn += 1;
    const mine = this.turn;
    const {state, label, cursor} = this.asked;
    try {
      const query = {state, label: this.what.labels ? label : "", cursor, limit: LIMIT};
      const answer = await get(this.what.path, {query});
      if (mine !== this.turn) return;
      this.next = answer.next_cursor;
      this.busy = answer.jobs.some((job) => !ended(job.state));
      fill(this.trouble);
      this.draw(answer.jobs);
      this.readCurves(answer.jobs, mine);
    } catch (error) {
      if (mine === this.turn && error.name !== "AbortError") this.failed(error);
    }
  }

  failed(error) {
    if (this.rows.size && error instanceof Offline) {
      const text = [t("state.offline"), ". ", t("state.offline_help")];
      fill(this.trouble, h("p", {class: "note bad", role: "alert"}, text));
    } else fill(this.content, failure(error, () => this.look()));
  }

  draw(jobs) {
    this.pages.newest.hidden = this.pages.newer.hidden = !this.asked.cursor;
    this.pages.older.hidden = !this.next;
    if (!jobs.length) {
      this.rows.clear();
      fill(this.content, this.nothing());
      return;
    }
    const elements = jobs.map((job) => this.rowOf(job).element);
    const kept = new Set(jobs.map((job) => job.id));
    for (const id of this.rows.keys()) if (!kept.has(id)) this.rows.delete(id);
    const {body, table: shown, content} = this;
    if (elements.length !== body.children.length || elements.some((each, i) => body.children[i] !== each)) fill(body, elements);
    if (shown.parentNode !== content) fill(content, shown);
  }

  rowOf(job) {
    if (!this.rows.has(job.id)) this.rows.set(job.id, row(job));
    const found = this.rows.get(job.id);
    found.update(job);
    found.draw(this.curves.of(job));
    return found;
  }

  nothing() {
    if (this.asked.state || this.asked.label || this.asked.cursor) {
      const clear = h("button", {type: "button", onclick: () => this.filters.clear()}, t("list.clear"));
      return empty(t("list.none_found"), t("list.none_found_help"), clear);
    }
    return empty(t(`${this.what.name}.none`), t(`${this.what.name}.none_help`), this.submitLink());
  }

  /** The values of each row that lacks some. The last epoch's, which the list itself has, are not asked for. */
  async readCurves(jobs, mine) {
    const draw = (job) => this.rows.get(job.id)?.draw(this.curves.of(job));
    const missing = this.curves.take(jobs);
    jobs.forEach(draw);
    await this.curves.read(missing, () => mine === this.turn, draw);
  }
}

/** The fields that a list is filtered by. `onChange` gets {state} or {label}, or both. Returns {element, clear()}. */
function filters(asked, what, onChange) {
  const state = h(
    "select",
    {id: uid("state"), value: asked.state, onchange: () => onChange({state: state.value})},
    h("option", {value: ""}, t("list.all_states")),
    STATES.map((each) => h("option", {value: each}, t(`states.${each}`))),
  );
  const label = h("input", {
    id: uid("label"), value: asked.label, placeholder: "team=vision", autocomplete: "off", spellcheck: "false",
    onchange: () => onChange({label: label.value.trim()}),
  });
  const labelled = (name, control) => h("div", {class: "field"}, h("label", {for: control.id}, name), control);
  return {
    element: h(
      "div", {class: "row filters"}, labelled(t("list.state"), state), what.labels && labelled(t("list.label"), label),
    ),
    clear() {
      state.value = "";
      label.value = "";
      onChange({state: "", label: ""});
    },
  };
}

function table(name, body) {
  const heads = ["state", "what", "progress", "curve", "created"].map((each) => h("th", {scope: "col"}, t(`list.${each}`)));
  return h("table", {class: "list", "aria-label": name}, h("thead", {}, h("tr", {}, heads)), body);
}
