// The leaderboard of an experiment: its configurations by rank, or by any other column.

import {traceColour} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {downloadButton} from "../../jobs/files.js";
import {badge} from "../../jobs/states.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";
import {choice} from "./choice.js";
import {LEADERS} from "./curves.js";
import {interval, plainly, settingsOf, spread, words} from "./words.js";

const BASELINES = 200; // that are offered

/**
 * The card with the leaderboard. `onAsk({by} or {baseline})` is called when it is to be ordered, or compared, otherwise.
 * Returns {element, update(job), close()}.
 */
export function leaderboard(job, path, onAsk) {
  const board = new Board(job);
  const name = t("experiment.leaderboard");
  const tools = h(
    "div", {class: "row"},
    choice(t("experiment.by"), [["final", t("experiment.final")], ["best", t("experiment.best")]], (by) => onAsk({by})),
    choice(t("experiment.baseline"), baselines(job), (value) => onAsk({baseline: value === "" ? null : Number(value)})),
    downloadButton(`${path}/leaderboard?format=csv`, `${job.id}-leaderboard.csv`, t("experiment.csv")),
  );
  const head = h("div", {class: "row spread"}, h("h2", {}, name), tools);
  return {
    element: h("section", {class: "card stack"}, head, board.element, h("p", {class: "muted"}, t("experiment.caution"))),
    update: (changed) => board.update(changed),
    close: () => board.close(),
  };
}

function baselines(job) {
  const settings = settingsOf(job);
  const numbers = [...settings.keys()].sort((a, b) => a - b).slice(0, BASELINES);
  return [["", t("experiment.leader")], ...numbers.map((each) => [String(each), `${each}: ${words(settings.get(each))}`])];
}

class Board {
  constructor(job) {
    this.job = job;
    this.order = {column: "rank", down: false};
    this.element = h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": t("experiment.leaderboard")});
    this.recoloured = () => this.draw();
    document.addEventListener("themechange", this.recoloured);
  }

  close() {
    document.removeEventListener("themechange", this.recoloured);
  }

  update(job) {
    this.job = job;
    this.draw();
  }

  draw() {
    const {element, order, job} = this;
    const columns = columnsOf(job);
    const column = columns.find((each) => each.id === order.column) ?? columns[0];
    const rows = [...job.leaderboard].sort((a, b) => compared(column.value(a), column.value(b), order.down));
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.column : null;
    const scrolled = element.scrollLeft;
    const heads = columns.map((each) => this.head(each, each === column));
    const body = h("tbody", {}, rows.map((row) => drawn(row, columns)));
    fill(element, h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
    element.scrollLeft = scrolled;
    if (focused) element.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
  }

  /** The head of a column, which sorts by it; `mine` says that it does now. */
  head(column, mine) {
    const {down} = this.order;
    const onclick = () => {
      this.order = {column: column.id, down: mine ? !down : column.greatestFirst};
      this.draw();
    };
    const arrow = h("span", {"aria-hidden": "true"}, mine ? (down ? " ↓" : " ↑") : "");
    const attributes = {type: "button", class: "bare sort", dataset: {column: column.id}, onclick};
    const sort = h("button", attributes, column.name, arrow);
    const sorted = mine ? (down ? "descending" : "ascending") : null;
    return h("th", {scope: "col", class: column.number ? "number" : null, "aria-sort": sorted}, sort);
  }
}

/**
 * The columns of the leaderboard: {id, name, value(row), to sort by, show(row), where that is not the value itself, number,
 * greatestFirst (at the first click)}.
 */
function columnsOf(job) {
  const figure = (id, value, show) => ({
    id,
    name: t(`experiment.${id}`),
    value: (row) => value(row)?.mean,
    show: (row) => show(value(row)),
    number: true,
    greatestFirst: true,
  });
  const axes = [...new Set(job.leaderboard.flatMap((row) => Object.keys(row.settings)))];
  return [
    {id: "rank", name: t("experiment.rank"), value: (row) => row.rank, number: true, greatestFirst: false},
    ...axes.map((axis) => ({
      id: axis,
      name: axis,
      value: (row) => plainly(row.settings[axis]),
      number: typeof job.leaderboard[0].settings[axis] === "number",
      greatestFirst: false,
    })),
    figure("final", (row) => row.final_test_accuracy, spread),
    figure("best", (row) => row.best_test_accuracy, spread),
    figure("difference", (row) => row.difference, interval),
    {
      id: "runs",
      name: t("experiment.runs"),
      value: (row) => row.runs.succeeded ?? 0,
      show: (row) => states(row.runs),
      greatestFirst: true,
    },
  ];
}

function drawn(row, columns) {
  const colour = {class: "swatch", style: {background: traceColour(row.rank - 1)}, "aria-hidden": "true"};
  const swatch = row.rank <= LEADERS ? h("span", colour) : null;
  const cells = columns.map((each, i) =>
    h(
      "td",
      {class: each.number ? "number nowrap" : null},
      i === 0 ? swatch : null,
      each.show ? each.show(row) : cell(each.value(row)),
    ),
  );
  return h("tr", {dataset: {configuration: row.configuration}}, cells);
}

function cell(value) {
  return typeof value === "number" ? number(value) : String(value);
}

function states(runs) {
  const each = ([state, n]) => h("span", {class: "nowrap"}, badge(state), ` ${n}`);
  return h("span", {class: "row tight"}, Object.entries(runs).map(each));
}

/** Order of two cells; those that are empty come last, whichever way. */
function compared(a, b, down) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  const way = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return down ? -way : way;
}
