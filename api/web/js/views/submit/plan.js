// What a job would do, by its dry run: steps, curve, doubts, and what is wrong with it.

import {chart} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {facts} from "../../jobs/facts.js";
import {USUAL} from "../../kinds.js";
import {copyButton, number} from "../../parts.js";
import {t, tOr, translated} from "../../texts.js";

const POINTS = 2000; // of a curve that are drawn

/** The card beside the form, with the button that submits it; `request()` is what would be submitted. */
export class Plan {
  constructor(request) {
    this.facts = h("div", {class: "stack", "aria-live": "polite"});
    this.messages = h("div", {class: "stack"});
    this.box = h("div");
    this.plot = null; // the promise of a chart
    this.button = h("button", {type: "submit", class: "primary"});
    const copy = copyButton(() => JSON.stringify(request() ?? {}, null, 2), t("submit.copy"));
    this.element = h(
      "section",
      {class: "card stack beside", "aria-label": t("submit.plan")},
      h("h2", {}, t("submit.plan")),
      this.box,
      this.facts,
      this.messages,
      h("div", {class: "row"}, this.button, copy),
    );
  }

  /** What is submitted is a job of another kind. */
  name(kind) {
    this.button.textContent = tOr(`submit.go_${kind}`, t(`submit.go_${USUAL}`));
  }

  /** Says what is wrong: as long as anything is, there is no plan, and nothing to submit. */
  refuse(list) {
    if (list.length) fill(this.facts);
    this.button.disabled = list.length > 0;
    fill(this.messages, list.map((each) => h("p", {class: "note bad", role: "alert"}, each)));
  }

  async show(answer) {
    fill(
      this.facts,
      facts(counted(answer)),
      answer.warnings.map((each) => h("p", {class: "note warn"}, translated(each.message))),
      answer.lr === null && h("p", {class: "note"}, t("submit.follows_metric")),
    );
    this.box.hidden = !answer.lr;
    if (!answer.lr) return;
    this.plot ??= chart(this.box, {height: 260}); // one, whoever asks first
    (await this.plot).update(figure(answer));
  }

  close() {
    this.plot?.then((made) => made.destroy());
  }
}

function counted(answer) {
  const each = [t("submit.steps_per_epoch"), number(answer.steps_per_epoch)];
  if (answer.runs === undefined) return [[t("submit.steps"), number(answer.steps)], each];
  return [
    [t("submit.configurations"), number(answer.configurations)],
    [t("submit.runs"), number(answer.runs)],
    [t("submit.steps_in_all"), number(answer.steps)],
    each,
  ];
}

function figure({lr, spec}) {
  const isByEpoch = spec.interval === "epoch";
  const isSweep = "start_lr" in spec; // from one rate to another: a range test's
  return {
    traces: lr.map((rates, i) => ({
      name: lr.length > 1 ? t("job.lr_of", {n: i}) : t("job.lr"),
      ...thin(rates),
      colour: i,
      step: isByEpoch,
    })),
    x: {title: isByEpoch ? t("job.epoch") : t("job.step")},
    y: {title: t("job.lr"), log: isSweep && spec.mode === "exp", zero: !isSweep},
    label: t("submit.curve_label", {n: number(lr[0].length)}),
  };
}

/** At most so many points of a curve, its ends among them. */
function thin(rates) {
  const every = Math.ceil(rates.length / POINTS);
  const x = [];
  const y = [];
  for (let i = 0; i < rates.length; i += every) {
    x.push(i);
    y.push(rates[i]);
  }
  if (rates.length && x.at(-1) !== rates.length - 1) {
    x.push(rates.length - 1);
    y.push(rates.at(-1));
  }
  return {x, y};
}
