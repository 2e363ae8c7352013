// A control for a number: a slider for the usual range, a field for any.

import {h} from "../dom.js";
import {number as shown} from "../parts.js";
import {t} from "../texts.js";
import {field, speaker} from "./field.js";
import {Bar, COUNT_OF_STEPS, FACTOR, RATE} from "./range.js";
import {complaint, isLength, isNumber, same} from "./schema.js";

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
