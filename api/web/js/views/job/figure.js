// Losses, accuracies and rate of a job over its epochs.

import {chart} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {ended} from "../../jobs/states.js";
import {percent} from "../../jobs/words.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";

const MARKED = 40; // epochs, below which each has a marker

/** The two charts of a job. Returns {element, update(job, epochs), say(text of the connection), close()}. */
export function figure(job) {
  const made = new Figure(job);
  return {
    element: made.element,
    update: (changed, epochs) => made.update(changed, epochs),
    say: (text) => { made.stream.textContent = text; },
    close: () => made.close(),
  };
}

class Figure {
  constructor(job) {
    this.job = job;
    this.epochs = [];
    this.upper = null; // promises of charts
    this.lower = null;
    this.curves = h("div");
    this.rates = h("div");
    this.log = h("input", {type: "checkbox", onchange: () => this.draw()});
    this.stream = h("span", {class: "muted", role: "status"});
    const switches = h("div", {class: "row"}, this.stream, h("label", {class: "check"}, this.log, t("job.log_rate")));
    this.element = h(
      "section", {class: "card stack"},
      h("div", {class: "row spread"}, h("h2", {}, t("job.figure")), switches), this.curves, this.rates,
    );
  }

  update(job, epochs) {
    this.job = job;
    this.epochs = epochs.filter(Boolean);
    return this.draw();
  }

  async draw() {
    if (!this.epochs.length) {
      fill(this.curves, h("p", {class: "muted"}, ended(this.job.state) ? t("job.no_epoch") : t("job.first_epoch")));
      return;
    }
    this.upper ??= chart(this.curves, {height: 340});
    this.lower ??= chart(this.rates, {height: 200});
    const [upper, lower] = [await this.upper, await this.lower];
    upper.update(accuracies(this.job, this.epochs));
    lower.update(rates(this.job, this.epochs, this.log.checked));
  }

  close() {
    for (const each of [this.upper, this.lower]) each?.then((made) => made.destroy());
  }
}

/** What both charts have over their epochs. */
function axis(job) {
  return {title: t("job.epoch"), range: [0.5, Math.max(job.progress.epochs, 1) + 0.5]};
}

function line(epochs, name, value, colour, more = {}) {
  const mode = epochs.length < MARKED ? "lines+markers" : "lines";
  return {name, x: epochs.map((each) => each.epoch + 1), y: epochs.map(value), colour, mode, ...more};
}

function accuracies(job, epochs) {
  const field = (name, colour, more) => line(epochs, t(`job.${name}`), (epoch) => epoch[name], colour, more);
  const held = epochs.some((epoch) => epoch.val_accuracy !== undefined);
  return {
    traces: [
      field("train_loss", 0),
      field("train_accuracy", 3, {axis: "y2", dash: "dash"}),
      ...(held ? [field("val_accuracy", 1, {axis: "y2", dash: "dot"})] : []),
      field("test_accuracy", 2, {axis: "y2"}),
    ],
    x: axis(job),
    y: {title: t("job.loss")},
    y2: {title: t("job.accuracy")},
    label: t("job.figure_label", {n: epochs.length, accuracy: percent(job.best?.test_accuracy)}),
    key: job.id,
  };
}

function rates(job, epochs, log) {
  const groups = epochs[0].lr.length;
  const name = (i) => (groups > 1 ? t("job.lr_of", {n: i}) : t("job.lr"));
  return {
    traces: Array.from({length: groups}, (_, i) => line(epochs, name(i), (epoch) => epoch.lr[i], 4 + i, {step: true})),
    x: axis(job),
    y: {title: t("job.lr"), log, zero: true},
    label: t("job.rate_label", {rate: number(epochs.at(-1).lr[0])}),
    key: `${job.id} ${log}`,
  };
}
