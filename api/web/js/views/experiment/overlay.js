// The curves of all runs of an experiment over each other.

import {get} from "../../api.js";
import {chart} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {throttled} from "../../jobs/live.js";
import {ended} from "../../jobs/states.js";
import {loading} from "../../parts.js";
import {t} from "../../texts.js";
import {choice} from "./choice.js";
import {Curves, FIGURES, traces} from "./curves.js";

const MANY = 20; // runs, above which the picture is drawn less often

/**
 * The card with the picture. `onError(problem)` is called when the curves cannot be read.
 * Returns {element, open(), update(job), put(run, epoch, values), close()}; `open` draws what there is for the first time.
 */
export function overlay(job, path, onError) {
  const made = new Overlay(job, path, onError);
  const figures = FIGURES.map((name) => [name, t(`job.${name}`)]);
  const head = h(
    "div", {class: "row spread"},
    h("h2", {}, t("experiment.curves")), choice(t("experiment.figure"), figures, (figure) => made.choose(figure)),
  );
  return {
    element: h("section", {class: "card stack"}, head, made.box),
    open: () => made.open(),
    update(changed) {
      made.job = changed;
      made.redraw();
    },
    put(run, epoch, values) {
      made.curves.put(run, epoch, values);
      made.redraw();
    },
    close: () => made.close(),
  };
}

class Overlay {
  constructor(job, path, onError) {
    Object.assign(this, {job, path, onError});
    this.curves = new Curves();
    this.figure = FIGURES[0];
    this.part = null; // epochs from and to, where the picture is zoomed
    this.plot = null; // the promise of a chart
    this.box = h("div", {}, loading());
    this.redraw = throttled(() => this.draw(), job.runs.length > MANY ? 1000 : 300);
  }

  close() {
    this.redraw.stop();
    this.plot?.then((made) => made.destroy());
  }

  async open() {
    if (ended(this.job.state)) await this.read();
    this.draw();
  }

  async choose(figure) {
    this.figure = figure;
    this.part = null;
    try {
      await this.open();
    } catch (problem) {
      this.onError(problem);
    }
  }

  /** The figure of all runs of an experiment that is over; the events have had it for one that is not. */
  async read() {
    const {figure, curves} = this;
    const isMissing = (run) => run.epoch !== null && curves.values(run.run, figure).length <= run.epoch;
    if (!this.job.runs.some(isMissing)) return;
    const {runs} = await get(`${this.path}/curves`, {query: {figure}});
    for (const {run, values} of runs) curves.set(run, figure, values);
  }

  async draw() {
    if (!this.curves.size) {
      const text = ended(this.job.state) ? t("job.no_epoch") : t("job.first_epoch");
      fill(this.box, h("p", {class: "muted"}, text));
      return;
    }
    this.plot ??= chart(this.box, {height: 420});
    (await this.plot).update(this.spec());
  }

  spec() {
    const {job, curves, figure, part} = this;
    return {
      traces: traces(job, curves, figure, part),
      x: {title: t("job.epoch"), range: [0.5, job.spec.base.epochs + 0.5]},
      y: {title: t(`job.${figure}`)},
      legend: true,
      reversed: true,
      closest: true,
      onZoom: (range) => {
        this.part = range;
        this.redraw();
      },
      label: t("experiment.figure_label", {n: job.runs.filter((run) => curves.has(run.run)).length}),
      key: figure,
    };
  }
}
