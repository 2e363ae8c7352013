// The form of the chosen curve.

import {fill, h, uid} from "../../dom.js";
import {form} from "../../form.js";
import {empty, failure, loading} from "../../parts.js";
import {picker} from "../../picker.js";
import {t, translated} from "../../texts.js";
import {catalogue, entry, fitted, holders, isDriven, list, slot} from "./entries.js";
import {metricsField} from "./metrics.js";

const RATE = {
  type: "object",
  properties: {
    base_lr: {anyOf: [{type: "number", minimum: 0}, {type: "array", items: {type: "number", minimum: 0}}]},
  },
};

const FIELDS = ["schedule", "base_lr", "steps", "steps_per_epoch", "metrics"];  // of a request, that have one of a form

/**
 * The card with the form.
 *
 * on: {edited(curve, valid), its values have changed; renamed(); another(curve), it has another schedule; add(), a curve more;
 *      errors(list), of the run, which returns those that are not shown}
 */
export class Editor {
  constructor(curves, signal, on) {
    Object.assign(this, {curves, signal, on});
    this.forms = null;  // of the curve that is shown: {schedule, rate, metrics, rest}
    this.element = h("section", {class: "card stack editor", "aria-label": t("schedules.editor")});
  }

  /** The focus goes to the first field that fits a selector. */
  focus(selector) {
    this.element.querySelector(selector)?.focus();
  }

  /** Shows the chosen curve, once its schedule's entry is there. */
  async edit() {
    const curve = this.curves.selected;
    this.forms = null;
    if (!curve) {
      fill(this.element, this.nothing());
      return;
    }
    const {type} = curve.schedule;
    try {
      if (!catalogue[type]) fill(this.element, loading());
      await entry(type);
    } catch (error) {
      if (this.shows(curve)) fill(this.element, this.pick(curve), failure(error, () => this.edit()));
      return;
    }
    if (this.shows(curve) && type === curve.schedule.type) this.draw(curve, catalogue[type]);
  }

  shows(curve) {
    return curve === this.curves.selected && !this.signal.aborted;
  }

  nothing() {
    const add = h("button", {type: "button", class: "primary", onclick: () => this.on.add()}, t("schedules.add"));
    return empty(t("schedules.none"), t("schedules.none_help"), add);
  }

  draw(curve, {summary, formula, origin, parameters}) {
    const steps = () => this.curves.run.steps;
    const schedule = form(parameters, {value: curve.schedule, catalogue, steps, onChange: () => {
      curve.schedule = schedule.get();
      this.edited(curve);
    }});
    const rate = form(RATE, {value: {base_lr: curve.base_lr}, onChange: () => {
      curve.base_lr = rate.get().base_lr;
      this.edited(curve);
    }});
    const metrics = isDriven(curve.schedule) ? metricsField(curve, steps, () => this.edited(curve)) : null;
    this.forms = {schedule, rate, metrics, rest: h("div", {class: "stack problems", role: "alert"})};
    this.wrapping = h("div", {class: "field"});
    const about = [
      h("p", {}, capital(translated(summary))), h("p", {class: "formula"}, h("code", {}, translated(formula))),
      h("p", {class: "muted"}, t("schedules.origin", {origin: translated(origin)})),
    ];
    fill(
      this.element,
      this.name(curve), this.pick(curve), h("div", {class: "about"}, about), this.wrapping,
      this.forms.rest, metrics?.element, rate.element, schedule.element,
    );
    this.drawWrapping();
    this.tell(curve);
  }

  name(curve) {
    const id = uid("name");
    const input = h("input", {type: "text", id, value: curve.name, maxlength: 200, oninput: () => this.rename(curve, input)});
    return h("div", {class: "field"}, h("label", {for: id}, t("schedules.name")), input);
  }

  rename(curve, input) {
    const name = input.value.trim();
    const isWrong = !name || this.curves.all.some((each) => each !== curve && each.name === name);
    input.setAttribute("aria-invalid", String(isWrong));
    if (isWrong) return;
    curve.name = name;
    this.on.renamed();
  }

  edited(curve) {
    this.on.edited(curve, this.forms.schedule.valid() && this.forms.rate.valid());
  }

  pick(curve) {
    const choose = picker({
      label: t("schedules.schedule"), value: curve.schedule.type, members: () => Object.keys(catalogue), catalogue,
      visibleLabel: true, onPick: (type) => this.become(curve, type),
    });
    choose.input.addEventListener("focus", () => { list().then(() => choose.refresh(), () => {}); });
    return choose.element;
  }

  /** Another schedule, from its example, made to fit the run. */
  async become(curve, type) {
    const isNamedSo = curve.name.replace(/ \d+$/, "") === curve.schedule.type;
    let made = null;
    try {
      made = await fitted(type, curve.base_lr, this.curves.run.steps, this.signal);
    } catch (error) {
      fill(this.element, this.pick(curve), failure(error, () => this.become(curve, type)));
      return;
    }
    if (!this.signal.aborted) await this.replace(curve, made, isNamedSo, ".picker input");
  }

  /** Schedules that hold others: the chosen one can be put into one of them. */
  drawWrapping() {
    if (this.signal.aborted || !this.forms || !this.curves.selected) return;
    const curve = this.curves.selected;
    const all = holders();
    const id = uid("wrap");
    const options = all.map(([type]) => h("option", {value: type}, `${type}: ${translated(catalogue[type].summary)}`));
    // with its place from the beginning: what is below must not move under the pointer when the catalogue comes
    const select = h("select", {id, disabled: !all.length}, h("option", {value: ""}, t("schedules.wrap_none")), options);
    select.addEventListener("change", () => this.wrap(curve, select.value));
    fill(this.wrapping, h("label", {for: id}, t("schedules.wrap")), select);
  }

  async wrap(curve, type) {
    if (!type) return;
    const example = await fitted(type, curve.base_lr, this.curves.run.steps, this.signal);
    const {name, several} = slot(catalogue[type].parameters);
    const inner = several ? [curve.schedule, ...example[name].slice(1)] : curve.schedule;
    await this.replace(curve, {...example, [name]: inner}, curve.name === curve.schedule.type, "select");
  }

  /** A curve gets another schedule, and its name if `rename`; then a field has the focus. */
  async replace(curve, schedule, rename, field) {
    curve.schedule = schedule;
    if (rename) curve.name = this.curves.unique(schedule.type, curve);
    this.on.another(curve);
    await this.edit();
    this.focus(field);
  }

  /** Shows each error beside the field that it names, and the others above the form. */
  tell(curve) {
    if (!this.forms) return;
    const {schedule, rate, metrics, rest} = this.forms;
    const {problem} = curve;
    const errors = problem?.errors?.map(({loc, msg}) => ({loc: loc[0] === "body" ? loc.slice(1) : loc, msg})) ?? [];
    const under = (...names) => errors.filter((each) => names.includes(each.loc[0]));
    metrics?.say(under("metrics")[0]?.msg);
    const left = [
      ...schedule.errors(under("schedule").map(({loc, msg}) => ({loc: loc.slice(1), msg}))),
      ...rate.errors(under("base_lr")),
      ...this.on.errors(under("steps", "steps_per_epoch")),
      ...errors.filter((each) => !FIELDS.includes(each.loc[0])),
    ];
    fill(
      rest,
      left.map(({loc, msg}) => h("p", {class: "note bad"}, h("code", {}, loc.join(".")), " ", msg)),
      problem && !errors.length ? h("p", {class: "note bad"}, problem.message) : null,
    );
  }
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
