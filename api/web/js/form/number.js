// A control for a number: a slider for the usual range, a field for any.

import {h} from "../dom.js";
import {number as shown} from "../parts.js";
import {t} from "../texts.js";
import {field, speaker} from "./field.js";
import {bounds, complaint, isLength, isNumber, same} from "./schema.js";

const STEPS = 1000;  // of a bar
// what a name says of its numbers
const RATE = /(^|_)(lr|m|M|rate|target)$|_lr(_|$)|^(init|peak|end|min|max)(_value)?$|learning_rate|weight_decay|^eps$|threshold$/;
const FACTOR = /decay_rate|lr_rate|factor|gamma|scale$|momentum|ratio|frac|pct|alpha|power|exponent|dropout|decay$|smoothing|rate$/;
const COUNT_OF_STEPS = /step|iter|epoch|period|milestone|boundar|warmup|patience|cooldown|^T_|^t_|_t$|max_update|^by$/;

/** A share of the run. */
export const LENGTH = /^\d{1,15}(\.\d{1,15})?(%|ep)$/;

/** A value as it stands in a field. */
export function written(value) {
  if (value === undefined || value === null) return "";
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/**
 * What is typed into a field: {value}, or {message} with what is wrong with it. `takes` says what it may be: {numeric (the
 * schema of the number), length (whether also a share of the run), list (whether also several numbers)}.
 */
export function readNumber(words, {numeric, length, list}) {
  if (length && LENGTH.test(words)) return {value: words};
  if (list && words.includes(",")) {
    const found = words.split(",").map((each) => readNumber(each.trim(), {numeric, length: false, list: false}));
    return found.find((each) => each.message) ?? {value: found.map((each) => each.value)};
  }
  const value = words === "" ? NaN : Number(words);
  if (!Number.isFinite(value)) return {message: t(length ? "form.length" : list ? "form.number_or_list" : "form.number")};
  return {value, message: complaint(value, numeric)};
}

/** A value to begin with, where the schema has none. */
function guess(name, schema, steps) {
  if (schema.default !== undefined) return schema.default;
  if (schema.type === "integer") return Math.max(schema.minimum ?? 0, COUNT_OF_STEPS.test(name) ? Math.round(steps / 10) : 1);
  if (isNumber(schema)) {
    const value = RATE.test(name) && !FACTOR.test(name) ? 0.01 : 0.5;
    return complaint(value, schema) ? schema.minimum ?? 1 : value;
  }
  return undefined;
}

/** The control of a number; `rest` are all alternatives of its schema, `numeric` the one of a number. */
export function slider(name, schema, numeric, rest, value, context, required) {
  const takes = {numeric, length: rest.some(isLength), list: rest.some((each) => each.type === "array")};
  let now = value === undefined ? schema.default : value;
  if (now === undefined && required) now = guess(name, numeric, context.steps());
  const bar = new Bar(name, numeric, now, context.steps);
  const inputmode = takes.length || takes.list ? "text" : "decimal";
  const input = h("input", {type: "text", inputmode, autocomplete: "off", spellcheck: "false", value: written(now)});
  const shownIn = field(name, schema, input, {block: h("div", {class: "slider"}, bar.element, input)});
  const speak = speaker(shownIn, context);
  const place = () => bar.place(now, typeof now === "number" ? shown(now) : written(now) || t("form.unset"));

  function slid() {
    now = bar.value;
    input.value = written(now);
    speak.own(null);
    bar.say(shown(now));
    context.changed();
  }

  function typed() {
    const words = input.value.trim();
    const read = words === "" && !required ? {value: schema.default} : readNumber(words, takes);
    speak.own(read.message ?? null);
    if (read.message) return;
    now = read.value;
    place();
    context.changed();
  }

  function pressed(event) {  // as in a field of type number
    const up = {ArrowUp: 1, ArrowDown: -1}[event.key];
    if (!up || typeof now !== "number" || takes.list) return;
    event.preventDefault();
    const next = bar.beside(now, up);
    if (complaint(next, numeric)) return;
    input.value = written(next);
    typed();
  }

  bar.element.addEventListener("input", slid);
  input.addEventListener("input", typed);
  input.addEventListener("keydown", pressed);
  place();
  return {
    element: shownIn.element,
    get: () => (now === undefined || (same(now, schema.default) && !required) ? undefined : now),
    error: speak.error,
    clear: speak.clear,
  };
}

/** A number with so many digits. */
function rounded(value, digits = 3) {
  return Number(value.toPrecision(digits));
}

/** The bar of a number's slider; `now` is the value that it begins with, steps() how many the run has. */
class Bar {
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
