// The curves over each other, the run that they are of, and how they are drawn.

import {chart, sketched} from "../../chart.js";
import {h, isNarrow} from "../../dom.js";
import {form} from "../../form.js";
import {loading} from "../../parts.js";
import {t} from "../../texts.js";

const RUN = {
  type: "object",
  properties: {
    steps: {type: "integer", minimum: 1, maximum: 10000000},
    steps_per_epoch: {anyOf: [{type: "integer", minimum: 1, maximum: 10000000}, {type: "null"}], default: null},
  },
  required: ["steps"],
};

/**
 * The card with the chart.
 *
 * log: whether its axis of rates is one of powers
 * on: {run(), after a change of the run; change(), of how it is drawn; ready(), whose promise is waited for before the
 *      library is loaded; made(), once the chart is there}
 */
export class Picture {
  constructor(curves, log, signal, on) {
    Object.assign(this, {curves, log, signal, on});
    this.momentum = true;
    this.chart = null;
    this.making = null;
    this.box = h("div", {class: "chart-box"}, loading());
    this.nothing = h("p", {class: "nothing-shown muted", hidden: true}, t("schedules.no_facts"));
    this.element = h(
      "section", {class: "card stack picture", "aria-label": t("schedules.picture")},
      this.controls(), h("div", {class: "chart-frame"}, this.box, this.nothing),
    );
  }

  controls() {
    this.runForm = this.makeRunForm();
    this.momentumBox = this.check("momentum", t("schedules.momentum"));
    this.momentumBox.hidden = true;
    const whole = h("button", {type: "button", class: "small", onclick: () => this.chart?.home()}, t("schedules.whole"));
    const switches = h("div", {class: "row switches"}, this.check("log", t("schedules.log")), this.momentumBox, whole);
    return h("div", {class: "controls"}, this.runForm.element, switches);
  }

  makeRunForm() {
    const {run} = this.curves;
    return form(RUN, {value: run, steps: () => Math.max(500, this.curves.run.steps), onChange: () => this.ran()});
  }

  /** Gives the run another number of steps, in its form as well. */
  setSteps(steps) {
    const {element} = this.runForm;
    this.curves.run = {...this.curves.run, steps};
    this.runForm = this.makeRunForm();
    element.replaceWith(this.runForm.element);
    this.on.run();
  }

  /** A box for one of the picture's own settings. */
  check(name, text) {
    const onchange = () => {
      this[name] = box.checked;
      this.on.change();
    };
    const box = h("input", {type: "checkbox", checked: this[name], onchange});
    return h("label", {class: "check"}, box, text);
  }

  ran() {
    if (!this.runForm.valid()) return;
    this.curves.run = {...this.runForm.get()};
    this.on.run();
  }

  /** Shows errors of the run beside its fields; returns those that have none. */
  errors(list) {
    return this.runForm.errors(list);
  }

  close() {
    this.chart?.destroy();
  }

  draw() {
    const {all, seen} = this.curves;
    this.momentumBox.hidden = !seen.some((each) => each.answer.momentum);
    this.nothing.hidden = seen.length > 0;
    if (this.chart) {
      this.chart.update(this.spec());
      return;
    }
    if (all.length && !all.some((each) => each.answer || each.problem)) return;  // they will draw
    const size = {height: isNarrow() ? 250 : 400};
    sketched(this.box, this.spec(), size);
    this.making ??= this.make(size);
  }

  /** The library comes after what can be used without it. */
  async make(size) {
    await this.on.ready();
    const made = await chart(this.box, size);
    if (this.signal.aborted) {
      made.destroy();
      return;
    }
    this.chart = made;
    this.draw();
    this.on.made();
  }

  /** What the chart is to show. */
  spec() {
    const {seen, selected, run} = this.curves;
    const traces = (curve) => [...rates(curve, curve === selected), ...(this.momentum ? momenta(curve) : [])];
    return {
      traces: seen.flatMap(traces),
      x: {title: t("schedules.step")},
      y: {title: t("schedules.lr"), log: this.log, zero: true},
      y2: {title: t("schedules.momentum")},
      legend: false,  // the list of curves is one
      label: t("schedules.label", {names: seen.map((each) => each.name).join(", ") || "–", steps: run.steps}),
      key: `${run.steps} ${this.log}`,
    };
  }
}

function rates(curve, chosen) {
  const look = {opacity: faded(curve), width: chosen ? 2.5 : 1.75, hover: "%{y:.5g}"};
  return lines(curve, curve.answer.lr).map((line, i) => (
    {...line, ...look, dash: i % 2 ? "dash" : "solid", step: isStaircase(line.y)}
  ));
}

function momenta(curve) {
  const look = {axis: "y2", opacity: faded(curve) * 0.8, width: 1.5, dash: "dot", hover: "%{y:.4g}"};
  return lines(curve, curve.answer.momentum).map((line) => (
    {...line, ...look, name: `${line.name} · ${t("schedules.momentum")}`}
  ));
}

/** A curve that is no longer valid stays, paler. */
function faded(curve) {
  return curve.problem ? 0.35 : 1;
}

/** One line for each group of parameters; none where there are no values. */
function lines({answer, name, colour}, values) {
  const groups = Array.isArray(values?.[0]) ? values : values ? [values] : [];
  const x = Array.from({length: answer.steps}, (_, i) => answer.start + i * answer.stride);
  const title = (i) => (groups.length > 1 ? t("schedules.group", {name, n: i + 1}) : name);
  return groups.map((y, i) => ({name: title(i), x, y, colour}));
}

/** Whether a curve is a staircase rather than a line: most values are those before them. */
function isStaircase(y) {
  let equal = 0;
  for (let i = 1; i < y.length; i += 1) equal += y[i] === y[i - 1];
  return y.length <= 60 || equal > y.length / 2;
}
