// The curves of an experiment's runs, and which of their points are drawn.

import {t} from "../../texts.js";
import {settingsOf, words} from "./words.js";

/** Configurations in colour, one each of the theme's first. */
export const LEADERS = 6;
/** What there is a curve of. */
export const FIGURES = ["test_accuracy", "train_loss", "test_loss", "lr"];

const BANDS = 5; // of the others, by rank, each paler than the one before
const POINTS = 500; // of a curve that are drawn

/** The values of every run by epoch, as far as they are known. */
export class Curves {
  #runs = new Map(); // run -> {figure: values}

  get size() {
    return this.#runs.size;
  }

  has(run) {
    return this.#runs.has(run);
  }

  /** A figure of a run; empty where there is none yet. */
  values(run, figure) {
    return this.#runs.get(run)?.[figure] ?? [];
  }

  /** Sets the whole curve of a figure. */
  set(run, figure, values) {
    this.#of(run)[figure] = values;
  }

  /** An epoch of a run has ended: all its figures. */
  put(run, epoch, values) {
    const curve = this.#of(run);
    for (const name of FIGURES) curve[name][epoch] = name === "lr" ? values.lr[0] : values[name];
  }

  #of(run) {
    if (!this.#runs.has(run)) this.#runs.set(run, Object.fromEntries(FIGURES.map((name) => [name, []])));
    return this.#runs.get(run);
  }
}

/**
 * One trace for all runs of a leading configuration, and one for all runs of a band of the others: a trace costs more than
 * its points, and of these no more are drawn than can be distinguished. `part`: [from, to] of the epochs that are shown, or
 * null for all.
 */
export function traces(job, curves, figure, part) {
  const settings = settingsOf(job);
  const groups = grouped(job, curves);
  const places = [...groups.keys()].sort((a, b) => b - a);
  return places.map((place) => {
    const runs = groups.get(place);
    const leads = place <= LEADERS;
    return {
      ...joined(runs, leads ? POINTS : POINTS / 3, curves, figure, part),
      name: leads ? `${place}. ${words(settings.get(runs[0].configuration))}` : "",
      colour: leads ? place - 1 : 8,
      width: leads ? 2 : 1,
      opacity: leads ? 0.95 : 0.5 - (0.35 * (place - LEADERS - 1)) / BANDS,
      legend: leads,
      step: figure === "lr",
      hover: leads ? "%{text}: %{y:.4g}<extra></extra>" : null,
    };
  });
}

/** The runs that have curves, by the place of their configuration: its rank, or the band of it. */
function grouped(job, curves) {
  const ranks = new Map(job.leaderboard.map((row) => [row.configuration, row.rank]));
  const others = Math.max(1, ranks.size - LEADERS);
  const groups = new Map();
  for (const run of job.runs.filter((each) => curves.has(each.run))) {
    const rank = ranks.get(run.configuration);
    const place = rank <= LEADERS ? rank : LEADERS + 1 + Math.floor((BANDS * (rank - LEADERS - 1)) / others);
    if (!groups.has(place)) groups.set(place, []);
    groups.get(place).push(run);
  }
  return groups;
}

/** The curves of some runs one after another, with gaps between them. */
function joined(runs, most, curves, figure, part) {
  const x = [];
  const y = [];
  const text = [];
  for (const run of runs) {
    const name = `${t("experiment.run")} ${run.run}, ${t("experiment.seed")} ${run.seed}`;
    const values = curves.values(run.run, figure);
    for (const i of chosen(values, part, most)) {
      x.push(i + 1);
      y.push(values[i]);
      text.push(name);
    }
    x.push(null);
    y.push(null);
    text.push("");
  }
  return {x, y, text};
}

/** Which values of a curve are drawn: all, or of each of so many stretches the lowest and the highest, and the ends. */
function chosen(values, part, most) {
  const from = Math.max(0, Math.floor(part?.[0] ?? 0) - 2);
  const to = Math.min(values.length, Math.ceil(part?.[1] ?? values.length) + 1);
  const found = [];
  const wide = Math.ceil((2 * (to - from)) / most);
  for (let begin = from; begin < to; begin += wide) {
    let low = begin;
    let high = begin;
    for (let i = begin; i < Math.min(begin + wide, to); i += 1) {
      if (values[i] < values[low]) low = i;
      if (values[i] > values[high]) high = i;
    }
    found.push(Math.min(low, high));
    if (low !== high) found.push(Math.max(low, high));
  }
  if (to > from && found.at(-1) !== to - 1) found.push(to - 1);
  return found;
}
