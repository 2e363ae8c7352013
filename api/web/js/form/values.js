// Controls for single values other than numbers, and for values as text: lists of numbers, JSON.

import {h, uid} from "../dom.js";
import {t, translated} from "../texts.js";
import {errorLine, field, fieldControl, speaker} from "./field.js";
import {LENGTH, readNumber, written} from "./number.js";
import {alternatives, isLength, isNumber} from "./schema.js";

const TYPED = {type: "text", autocomplete: "off", spellcheck: "false"};

/** Numbers with commas between them: "3, 8". */
export function numbers(name, schema, list, value, context) {
  const items = alternatives(list.items, context.root);
  const numeric = items.find(isNumber);
  let now = value ?? schema.default ?? [];
  const input = h("input", {...TYPED, value: written(now)});
  const shownIn = field(name, schema, input);
  const speak = speaker(shownIn, context);
  input.addEventListener("input", () => {
    const words = input.value.trim().replace(/,$/, "");
    const each = words === "" ? [] : words.split(/\s*[,;]\s*|\s+/);
    const found = each.map((word) => readNumber(word, {numeric, length: items.some(isLength), list: false}));
    const bad = found.find(({message}) => message);
    speak.own(bad ? `${t("form.list")} ${bad.message}` : null);
    if (bad) return;
    now = found.map((read) => read.value);
    if (now.length === 1 && schema.anyOf?.some(isNumber)) [now] = now;
    context.changed();
  });
  return {element: shownIn.element, get: () => now, error: speak.error, clear: speak.clear};
}

/** Numbers by step: "0: 0.1, 500: 0.01". */
export function map(name, schema, value, context) {
  let now = value ?? schema.default ?? {};
  const input = h("input", {...TYPED, value: Object.entries(now).map(([key, each]) => `${key}: ${each}`).join(", ")});
  const shownIn = field(name, schema, input);
  const speak = speaker(shownIn, context);
  input.addEventListener("input", () => {
    const pairs = input.value.split(/[,;]/).map((each) => each.trim()).filter(Boolean).map((each) => each.split(/\s*:\s*/));
    const bad = !pairs.every(isStepAndNumber);
    speak.own(bad ? t("form.map") : null);
    if (bad) return;
    now = Object.fromEntries(pairs.map(([key, each]) => [key, Number(each)]));
    context.changed();
  });
  return {element: shownIn.element, get: () => now, error: speak.error, clear: speak.clear};
}

function isStepAndNumber([key, value, more]) {
  const isStep = /^\d+$/.test(key) || LENGTH.test(key);
  return more === undefined && isStep && value !== undefined && value !== "" && Number.isFinite(Number(value));
}

/** One of several values. */
export function choice(name, schema, one, value, context) {
  const values = one.enum ?? [one.const];
  let now = value ?? schema.default ?? values[0];
  const options = values.map((each) => h("option", {value: String(each)}, String(each)));
  const onchange = () => {
    now = values[select.selectedIndex];
    context.changed();
  };
  const select = h("select", {value: String(now), onchange}, options);
  const shownIn = field(name, schema, select);
  return fieldControl(shownIn, speaker(shownIn, context), schema, () => now);
}

/** Yes or no. */
export function flag(name, schema, value, context) {
  let now = value ?? schema.default ?? false;
  const id = uid("flag");
  const onchange = () => {
    now = box.checked;
    context.changed();
  };
  const box = h("input", {type: "checkbox", id, checked: now, onchange});
  const line = errorLine();
  const element = h(
    "div", {class: "field", dataset: {name}},
    h("div", {class: "check"}, box, h("label", {for: id}, h("code", {}, name))),
    schema.description && h("span", {class: "help"}, translated(schema.description)), line.element,
  );
  return {
    element,
    get: () => (now === schema.default ? undefined : now),
    error(loc, message) {
      line.say(message);
      return true;
    },
    clear: () => line.say(null),
  };
}

/** A text. */
export function text(name, schema, one, value, context) {
  let now = value ?? schema.default ?? "";
  const oninput = () => {
    now = input.value;
    context.changed();
  };
  const input = h("input", {...TYPED, class: "mono", maxlength: one.maxLength, value: now, oninput});
  const shownIn = field(name, schema.description ? schema : {...schema, description: one.description}, input);
  return fieldControl(shownIn, speaker(shownIn, context), schema, () => now);
}

/** Whatever else, as JSON. */
export function json(name, schema, value, context) {
  let now = value ?? schema.default;
  const area = h("textarea", {rows: 3, spellcheck: "false", value: now === undefined ? "" : JSON.stringify(now)});
  const shownIn = field(name, schema, area);
  const speak = speaker(shownIn, context);
  area.addEventListener("input", () => {
    try {
      now = area.value.trim() === "" ? undefined : JSON.parse(area.value);
      speak.own(null);
      context.changed();
    } catch {
      speak.own(t("form.json"));
    }
  });
  return fieldControl(shownIn, speak, schema, () => now);
}
