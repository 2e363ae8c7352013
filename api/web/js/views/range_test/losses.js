// The losses of a range test over its rates, with the suggested ones marked.

import {chart, traceColour} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {ended} from "../../jobs/states.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";
import {SUGGESTIONS} from "./suggestions.js";

const COLOURS = {valley: 2, max_lr: 1, steepest: 3};

/** The figure of a range test. Returns {element, update(job), close()}. */
export function losses() {
  const made = new Losses();
  return {element: made.element, update: (job) => made.update(job), close: () => made.close()};
}

class Losses {
  constructor() {
    this.element = h("section", {class: "card stack"});
    this.job = null; // once it has a result, which does not change any more
    this.plot = null;
    this.toggle = h("input", {type: "checkbox", checked: true, onchange: () => this.draw()});
    this.recoloured = () => this.draw();
    document.addEventListener("themechange", this.recoloured);
  }

  close() {
    document.removeEventListener("themechange", this.recoloured);
    this.plot?.destroy();
  }

  async update(job) {
    const {result} = job;
    const title = h("h2", {}, t("range.figure"));
    if (!result) fill(this.element, title, h("p", {class: "muted"}, ended(job.state) ? t("range.nothing") : t("range.later")));
    if (!result || this.job) return;
    this.job = job;
    const box = h("div");
    const seeds = result.losses && h("label", {class: "check"}, this.toggle, t("range.each_seed"));
    const ending = h("p", {class: "muted"}, t(`range.ended_${result.ended}`, {n: number(result.lr.length)}));
    fill(this.element, h("div", {class: "row spread"}, title, seeds), ending, box);
    this.plot = await chart(box, {height: 400});
    this.draw();
  }

  draw() {
    this.plot?.update(figure(this.job, this.toggle.checked));
  }
}

/** What the chart is to show; `each` says whether the losses of every seed are among it. */
function figure({id, result, spec}, each) {
  const line = (name, y, width, more = {}) => ({name, x: result.lr, y, colour: 0, width, ...more});
  const seeds = (each && result.losses) || [];
  return {
    traces: [
      ...seeds.map((own, i) => line(t("range.each_seed"), own, 1, {colour: 8, opacity: 0.45, legend: i === 0})),
      line(result.losses ? t("range.mean") : t("range.loss"), result.loss, 1, {opacity: 0.55}),
      line(t("range.smoothed"), result.smoothed_loss, 3),
    ],
    x: {title: t("range.rate"), log: spec.mode === "exp"},
    y: {title: t("range.loss"), range: between(result)},
    marks: SUGGESTIONS.filter((name) => result.suggestion[name] !== null).map((name) => ({
      x: result.suggestion[name],
      label: `${name} ${number(result.suggestion[name], 3)}`,
      colour: traceColour(COLOURS[name]),
    })),
    label: t("range.figure_label", {n: result.lr.length}),
    key: id,
  };
}

/** The losses that are worth seeing: without the last ones, which diverge. */
function between(result) {
  const smooth = result.smoothed_loss.filter(Number.isFinite);
  if (smooth.length <= 1) return undefined;
  const most = Math.max(...smooth.slice(0, Math.max(1, smooth.length - 3)));
  const least = Math.min(...smooth, ...result.loss.filter(Number.isFinite));
  return [least - 0.05 * (most - least), most + 0.15 * (most - least)];
}
