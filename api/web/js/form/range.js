// The bar of a number's slider: from where to where, and whether its steps are equal or factors.

import {h} from "../dom.js";
import {t} from "../texts.js";
import {bounds} from "./schema.js";

const STEPS = 1000;  // of a bar
// what a name says of its numbers
export const RATE = /(^|_)(lr|m|M|rate|target)$|_lr(_|$)|^(init|peak|end|min|max)(_value)?$|learning_rate|weight_decay|^eps$|threshold$/;
export const FACTOR = /decay_rate|lr_rate|factor|gamma|scale$|momentum|ratio|frac|pct|alpha|power|exponent|dropout|decay$|smoothing|rate$/;
export const COUNT_OF_STEPS = /step|iter|epoch|period|milestone|boundar|warmup|patience|cooldown|^T_|^t_|_t$|max_update|^by$/;

/** A number with so many digits. */
export function rounded(value, digits = 3) {
  return Number(value.toPrecision(digits));
}

/** The bar of a number's slider; `now` is the value that it begins with, steps() how many the run has. */
export class Bar {
  constructor(name, schema, now, steps) {
    Object.assign(this, {name, schema, steps});
    this.whole = schema.type === "integer";
    this.span = range(name, schema, now, steps());
    this.element = h("input", {type: "range", min: 0, max: STEPS, step: 1, "aria-label": t("form.slider", {name})});
  }

  /** Says what the bar stands for. */
  say(text) {
    this.element.setAttribute("aria-valuetext", text);
  }

  /** Moves the bar to a value, which may be none, or none of its own. */
  place(now, text) {
    const {name, schema, element} = this;
    const at = typeof now === "number" ? now : this.span.from;
    if (typeof now === "number" && (at > this.span.to || at < this.span.from)) this.span = range(name, schema, now, this.steps());
    const {from, to, log} = this.span;
    if (this.whole) Object.assign(element, {min: from, max: to, step: Math.max(1, Math.round((to - from) / STEPS)), value: at});
    else if (log) element.value = at <= 0 ? 0 : 1 + (STEPS - 1) * Math.log(at / from) / Math.log(to / from);
    else element.value = STEPS * (at - from) / (to - from);
    this.say(text);
  }

  /** The number that the bar stands at. */
  get value() {
    const at = Number(this.element.value);
    if (this.whole) return at;
    return this.span.log ? this.#factor(at) : this.#share(at);
  }

  #factor(at) {
    const {least, strictLeast} = bounds(this.schema);
    const {from, to} = this.span;
    const low = strictLeast ? from : least;
    return at === 0 && low <= 0 ? Math.max(0, low) : rounded(from * (to / from) ** (Math.max(0, at - 1) / (STEPS - 1)));
  }

  #share(at) {
    const {least, most, strictLeast, strictMost} = bounds(this.schema);
    const {from, to} = this.span;
    const tick = (to - from) / STEPS;
    let next = rounded(from + (to - from) * at / STEPS, 4);
    if (strictLeast && next <= least) next = rounded(least + tick);
    if (strictMost && next >= most) next = rounded(most - tick);
    return next;
  }

  /** The number that an arrow key makes of another: one up or down in its second digit. */
  beside(now, up) {
    const by = this.whole ? 1 : 10 ** Math.floor(Math.log10(Math.abs(now) || this.span.to / 10)) / 10;
    return rounded(now + up * by, this.whole ? 16 : 6);
  }
}

/** The slider's range: from where to where, and whether its steps are factors. */
function range(name, schema, value, steps) {
  const {least, most} = bounds(schema);
  const now = typeof value === "number" ? value : null;
  const upTo = (top) => Math.min(most, Math.max(top, now === null ? 0 : 2 * Math.abs(now)));
  if (schema.type === "integer") {
    const from = Math.max(least, -upTo(steps));
    if (most <= 1000) return {from, to: most, log: false};
    return {from, to: upTo(COUNT_OF_STEPS.test(name) ? steps : 10), log: false};
  }
  if (Number.isFinite(least) && most <= 1) return {from: least, to: most, log: false};
  const factor = FACTOR.test(name) && !/_lr$|weight_decay/.test(name);
  if (RATE.test(name) && !factor && least >= 0) return {from: Math.min(1e-7, now || 1e-7), to: upTo(10), log: true};
  if (now !== null && now > 5 && least >= 0) return {from: Math.min(1, now), to: upTo(now * 100), log: true};
  const wide = /power|exponent/.test(name) ? 4 : 1;
  return {from: Number.isFinite(least) && least > -1000 ? least : -upTo(10), to: upTo(wide), log: false};
}
