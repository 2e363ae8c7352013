// A form made from a pydantic JSON Schema. What it holds is the JSON to send, defaults left out.
//
// Numbers have a slider and a field; lengths also take "10%" and "5ep"; one-value-a-group fields take "0.1, 0.01". Unions
// that `type` distinguishes are forms inside forms, for which the picker offers the members.

import {h, fill, icon, uid} from "./dom.js";
import {number as shown} from "./parts.js";
import {picker} from "./picker.js";
import {t, translated} from "./texts.js";

const STEPS_IN_SLIDER = 1000;
const LENGTH = /^\d{1,15}(\.\d{1,15})?(%|ep)$/;
const RATE = /(^|_)(lr|m|M|rate|target)$|_lr(_|$)|^(init|peak|end|min|max)(_value)?$|learning_rate|weight_decay|^eps$|threshold$/;
const FACTOR = /decay_rate|lr_rate|factor|gamma|scale$|momentum|ratio|frac|pct|alpha|power|exponent|dropout|decay$|smoothing|rate$/;
const COUNT_OF_STEPS = /step|iter|epoch|period|milestone|boundar|warmup|patience|cooldown|^T_|^t_|_t$|max_update|^by$/;

/**
 * A form for a schema.
 *
 * options:
 *   value: what the form begins with
 *   root: the document that the schema's references point into (default: the schema itself)
 *   onChange(): called after each change; `get()` has the new value
 *   steps(): steps of the run, for the sliders of lengths
 *   catalogue: type -> {summary, origin, example} of the members of unions, for the picker and to begin a new part
 *   advanced(name): whether a field waits behind "More" (default: last_epoch)
 *   skip(name): whether a field of the outermost object is left out altogether
 *   prepare(part): a new part, as it is added to the form; may change its numbers to fit
 * Returns {element, get(), valid(), errors(list)}: `get` gives the last valid value of each field; `errors` takes
 * [{loc, msg}] with paths from the form's value, shows each beside its field, and returns those that have none.
 */
export function form(schema, options = {}) {
  const context = {
    root: options.root ?? schema,
    changed: options.onChange ?? (() => {}),
    steps: options.steps ?? (() => 100),
    catalogue: options.catalogue ?? {},
    advanced: options.advanced ?? ((name) => name === "last_epoch"),
    prepare: options.prepare ?? ((part) => part),
    bad: new Set(),
  };
  const top = object(resolved(schema, context), options.value ?? {}, context, {skip: options.skip ?? (() => false)});
  return {
    element: h("div", {class: "form"}, top.element),
    get: top.get,
    valid: () => [...context.bad].every((field) => !field.element.isConnected),
    errors(list) {
      top.clear();
      return list.filter((error) => !top.error(error.loc, error.msg));
    },
  };
}

/** A schema with its reference followed; what stands beside the reference is kept. */
export function resolved(schema, context) {
  let found = schema ?? {};
  for (let i = 0; found.$ref && i < 20; i += 1) {
    const {$ref, ...beside} = found;
    const target = $ref.slice(2).split("/").reduce((level, part) => level?.[part.replace(/~1/g, "/").replace(/~0/g, "~")], context.root);
    found = {...target, ...beside};
  }
  return found;
}

/** The schema of a union's member. */
function member(schema, type, context) {
  return resolved({$ref: schema.discriminator.mapping[type]}, context);
}

/** What a value may be: the alternatives of a schema, references followed. */
function alternatives(schema, context) {
  const one = resolved(schema, context);
  if (one.discriminator) return [one];
  const several = one.anyOf ?? one.oneOf;
  return several ? several.flatMap((each) => alternatives(each, context)) : [one];
}

const isLength = (schema) => schema.type === "string" && (schema.pattern ?? "").includes("(%|ep)");
const isNumber = (schema) => schema.type === "number" || schema.type === "integer";
const isScalar = (schemas) => schemas.every((each) => isNumber(each) || isLength(each));

// Each control is {element, get, error(loc, msg), clear()}; `get` gives undefined for what is left out.

function control(name, schema, value, context, required) {
  const one = resolved(schema, context);
  const may = alternatives(one, context);
  const rest = may.filter((each) => each.type !== "null");
  if (rest.length < may.length) return nullable(name, one, rest, value, context);
  return plain(name, one, rest, value, context, required);
}

function plain(name, schema, rest, value, context, required) {
  const [first] = rest;
  const list = rest.find((each) => each.type === "array");
  const numeric = rest.find(isNumber);
  if (!first) return json(name, schema, value, context);
  if (first.discriminator) return union(name, schema, first, value, context);
  if (rest.length === 1 && (first.enum || first.const !== undefined)) return choice(name, schema, first, value, context);
  if (first.type === "boolean" && rest.length === 1) return flag(name, schema, value, context);
  if (numeric && !Array.isArray(value)) return slider(name, schema, numeric, rest, value, context, required);
  if (list && isScalar(alternatives(list.items ?? {}, context))) return numbers(name, schema, list, value, context);
  if (list && rest.length === 1 && composed(list.items, context)) return parts(name, schema, list, value, context);
  if (first.type === "string" && !Array.isArray(value)) return text(name, schema, first, value, context);
  if (first.properties && rest.length === 1) return group(name, schema, first, value, context);
  if (first.type === "object" && isScalar(alternatives(first.additionalProperties ?? {}, context))) return map(name, schema, value, context);
  return json(name, schema, value, context);
}

function composed(items, context) {
  const may = alternatives(items ?? {}, context);
  return may.length === 1 && Boolean(may[0].discriminator || may[0].properties);
}

// A field: label, control, help, error.

function field(name, schema, input, {label = name, extra = null, block = null} = {}) {
  const id = uid("field");
  const help = schema.description ? h("span", {class: "help", id: `${id}-help`}, translated(schema.description)) : null;
  const error = h("span", {class: "error", id: `${id}-error`, hidden: true});
  input.id = id;
  input.setAttribute("aria-describedby", [help && `${id}-help`, `${id}-error`].filter(Boolean).join(" "));
  const element = h("div", {class: "field", dataset: {name}}, h("label", {for: id}, h("code", {}, label)), block ?? input, extra, help, error);
  return {
    element,
    say(message) {
      error.textContent = message ?? "";
      error.hidden = !message;
      if (message) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

/** The part of a control that shows errors: its own (what was typed), and the API's. */
function speaker(shownIn, context) {
  const me = {element: shownIn.element};
  return {
    own(message) {
      shownIn.say(message);
      if (message) context.bad.add(me);
      else context.bad.delete(me);
    },
    clear() {
      if (!context.bad.has(me)) shownIn.say(null);
    },
    error(loc, message) {
      shownIn.say(message);
      return true;
    },
  };
}

// Numbers.

function bounds(schema) {
  const least = schema.exclusiveMinimum ?? schema.minimum ?? -Infinity;
  const most = schema.exclusiveMaximum ?? schema.maximum ?? Infinity;
  return {
    least, most,
    strictLeast: schema.exclusiveMinimum !== undefined && schema.exclusiveMinimum >= (schema.minimum ?? -Infinity),
    strictMost: schema.exclusiveMaximum !== undefined && schema.exclusiveMaximum <= (schema.maximum ?? Infinity),
  };
}

/** What is wrong with a number, or null. */
function complaint(value, schema) {
  const {least, most, strictLeast, strictMost} = bounds(schema);
  if (schema.type === "integer" && !Number.isInteger(value)) return t("form.integer");
  if (strictLeast ? value <= least : value < least) return t(strictLeast ? "form.above" : "form.at_least", {n: shown(least, 16)});
  if (strictMost ? value >= most : value > most) return t(strictMost ? "form.below" : "form.at_most", {n: shown(most, 16)});
  return null;
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

const rounded = (value, digits = 3) => Number(value.toPrecision(digits));

function slider(name, schema, numeric, rest, value, context, required) {
  const length = rest.some(isLength);
  const list = rest.find((each) => each.type === "array");
  let now = value === undefined ? schema.default : value;
  if (now === undefined && required) now = guess(name, numeric, context);
  let span = range(name, numeric, now, context.steps());
  const whole = numeric.type === "integer";
  const input = h("input", {type: "text", inputmode: length || list ? "text" : "decimal", autocomplete: "off", spellcheck: "false", value: written(now)});
  const bar = h("input", {type: "range", min: 0, max: STEPS_IN_SLIDER, step: 1, "aria-label": t("form.slider", {name})});
  const shownIn = field(name, schema, input, {block: h("div", {class: "slider"}, bar, input)});
  const speak = speaker(shownIn, context);

  function place() {
    const at = typeof now === "number" ? now : span.from;
    if (typeof now === "number" && (at > span.to || at < span.from)) span = range(name, numeric, now, context.steps());
    if (whole) Object.assign(bar, {min: span.from, max: span.to, step: Math.max(1, Math.round((span.to - span.from) / STEPS_IN_SLIDER)), value: at});
    else if (span.log) bar.value = at <= 0 ? 0 : 1 + (STEPS_IN_SLIDER - 1) * Math.log(at / span.from) / Math.log(span.to / span.from);
    else bar.value = STEPS_IN_SLIDER * (at - span.from) / (span.to - span.from);
    bar.setAttribute("aria-valuetext", typeof now === "number" ? shown(now) : written(now) || t("form.unset"));
  }

  function slid() {
    const at = Number(bar.value);
    const {least, most, strictLeast, strictMost} = bounds(numeric);
    let next;
    if (whole) next = at;
    else if (span.log) {
      const low = strictLeast ? span.from : least;
      next = at === 0 && low <= 0 ? Math.max(0, low) : rounded(span.from * (span.to / span.from) ** (Math.max(0, at - 1) / (STEPS_IN_SLIDER - 1)));
    } else {
      next = rounded(span.from + (span.to - span.from) * at / STEPS_IN_SLIDER, 4);
      const tick = (span.to - span.from) / STEPS_IN_SLIDER;
      if (strictLeast && next <= least) next = rounded(least + tick);
      if (strictMost && next >= most) next = rounded(most - tick);
    }
    now = next;
    input.value = written(now);
    speak.own(null);
    bar.setAttribute("aria-valuetext", shown(now));
    context.changed();
  }

  function typed() {
    const words = input.value.trim();
    const read = words === "" && !required ? {value: schema.default} : readNumber(words, numeric, length, list);
    if (read.message) return speak.own(read.message);
    speak.own(null);
    now = read.value;
    place();
    context.changed();
    return undefined;
  }

  bar.addEventListener("input", slid);
  input.addEventListener("input", typed);
  input.addEventListener("keydown", (event) => {  // as in a field of type number
    if ((event.key === "ArrowUp" || event.key === "ArrowDown") && typeof now === "number" && !list) {
      event.preventDefault();
      const by = whole ? 1 : 10 ** Math.floor(Math.log10(Math.abs(now) || span.to / 10)) / 10;
      const next = rounded(now + (event.key === "ArrowUp" ? by : -by), whole ? 16 : 6);
      if (!complaint(next, numeric)) {
        input.value = written(next);
        typed();
      }
    }
  });
  place();
  return {
    element: shownIn.element,
    get: () => (now === undefined || (same(now, schema.default) && !required) ? undefined : now),
    error: speak.error,
    clear: speak.clear,
  };
}

function readNumber(words, numeric, length, list) {
  if (length && LENGTH.test(words)) return {value: words};
  if (list && words.includes(",")) {
    const found = words.split(",").map((each) => readNumber(each.trim(), numeric, false, null));
    return found.find((each) => each.message) ?? {value: found.map((each) => each.value)};
  }
  const value = words === "" ? NaN : Number(words);
  if (!Number.isFinite(value)) return {message: t(length ? "form.length" : list ? "form.number_or_list" : "form.number")};
  return {value, message: complaint(value, numeric)};
}

const written = (value) => (value === undefined || value === null ? "" : Array.isArray(value) ? value.join(", ") : String(value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A value to begin with, where the schema has none. */
function guess(name, schema, context) {
  if (schema.default !== undefined) return schema.default;
  if (schema.type === "integer") return Math.max(schema.minimum ?? 0, COUNT_OF_STEPS.test(name) ? Math.round(context.steps() / 10) : 1);
  if (isNumber(schema)) {
    const value = RATE.test(name) && !FACTOR.test(name) ? 0.01 : 0.5;
    return complaint(value, schema) ? schema.minimum ?? 1 : value;
  }
  return undefined;
}

// Lists of numbers, and numbers by step, as text: "3, 8", "0: 0.1, 500: 0.01".

function numbers(name, schema, list, value, context) {
  const items = alternatives(list.items, context);
  const numeric = items.find(isNumber);
  let now = value ?? schema.default ?? [];
  const input = h("input", {type: "text", autocomplete: "off", spellcheck: "false", value: written(now)});
  const shownIn = field(name, schema, input);
  const speak = speaker(shownIn, context);
  input.addEventListener("input", () => {
    const words = input.value.trim().replace(/,$/, "");
    const found = words === "" ? [] : words.split(/\s*[,;]\s*|\s+/).map((each) => readNumber(each, numeric, items.some(isLength), null));
    const bad = found.find((each) => each.message);
    speak.own(bad ? `${t("form.list")} ${bad.message}` : null);
    if (bad) return;
    now = found.map((each) => each.value);
    if (now.length === 1 && schema.anyOf?.some((each) => isNumber(each))) [now] = now;
    context.changed();
  });
  return {element: shownIn.element, get: () => now, error: speak.error, clear: speak.clear};
}

function map(name, schema, value, context) {
  let now = value ?? schema.default ?? {};
  const input = h("input", {type: "text", autocomplete: "off", spellcheck: "false", value: Object.entries(now).map(([key, each]) => `${key}: ${each}`).join(", ")});
  const shownIn = field(name, schema, input);
  const speak = speaker(shownIn, context);
  input.addEventListener("input", () => {
    const pairs = input.value.split(/[,;]/).map((each) => each.trim()).filter(Boolean).map((each) => each.split(/\s*:\s*/));
    const bad = pairs.some(([key, each, more]) => more !== undefined || !(/^\d+$/.test(key) || LENGTH.test(key)) || each === undefined || each === "" || !Number.isFinite(Number(each)));
    speak.own(bad ? t("form.map") : null);
    if (bad) return;
    now = Object.fromEntries(pairs.map(([key, each]) => [key, Number(each)]));
    context.changed();
  });
  return {element: shownIn.element, get: () => now, error: speak.error, clear: speak.clear};
}

// One of several, yes or no, text, and whatever else, as JSON.

function choice(name, schema, one, value, context) {
  const values = one.enum ?? [one.const];
  let now = value ?? schema.default ?? values[0];
  const select = h("select", {value: String(now), onchange: () => { now = values[select.selectedIndex]; context.changed(); }}, values.map((each) => h("option", {value: String(each)}, String(each))));
  const shownIn = field(name, schema, select);
  const speak = speaker(shownIn, context);
  return {element: shownIn.element, get: () => (same(now, schema.default) ? undefined : now), error: speak.error, clear: speak.clear};
}

function flag(name, schema, value, context) {
  let now = value ?? schema.default ?? false;
  const id = uid("flag");
  const box = h("input", {type: "checkbox", id, checked: now, onchange: () => { now = box.checked; context.changed(); }});
  const error = h("span", {class: "error", hidden: true});
  const say = (message) => { error.textContent = message ?? ""; error.hidden = !message; };
  const element = h(
    "div", {class: "field", dataset: {name}},
    h("div", {class: "check"}, box, h("label", {for: id}, h("code", {}, name))),
    schema.description && h("span", {class: "help"}, translated(schema.description)), error,
  );
  return {
    element,
    get: () => (now === schema.default ? undefined : now),
    error: (loc, message) => { say(message); return true; },
    clear: () => say(null),
  };
}

function text(name, schema, one, value, context) {
  let now = value ?? schema.default ?? "";
  const input = h("input", {type: "text", class: "mono", autocomplete: "off", spellcheck: "false", maxlength: one.maxLength, value: now, oninput: () => { now = input.value; context.changed(); }});
  const shownIn = field(name, schema.description ? schema : {...schema, description: one.description}, input);
  const speak = speaker(shownIn, context);
  return {element: shownIn.element, get: () => (same(now, schema.default) ? undefined : now), error: speak.error, clear: speak.clear};
}

function json(name, schema, value, context) {
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
  return {element: shownIn.element, get: () => (same(now, schema.default) ? undefined : now), error: speak.error, clear: speak.clear};
}

/** A value that may be null: a box that says whether there is one. */
function nullable(name, schema, rest, value, context) {
  let inner = null;
  const id = uid("set");
  const given = value === undefined ? schema.default : value;
  const box = h("input", {type: "checkbox", id, checked: given !== null && given !== undefined});
  const place = h("div", {});
  const error = h("span", {class: "error", hidden: true});
  const say = (message) => { error.textContent = message ?? ""; error.hidden = !message; };
  function draw(now) {
    inner = box.checked ? plain(name, {...schema, default: undefined, anyOf: rest}, rest, now, context, true) : null;
    fill(place, inner?.element);
    inner?.element.querySelector("label, legend")?.classList.add("unseen");  // the box has the name already
    inner?.element.querySelector("legend")?.parentElement.classList.add("bare");
  }
  box.addEventListener("change", () => { draw(undefined); context.changed(); });
  draw(given ?? undefined);
  const element = h(
    "div", {class: "field optional", dataset: {name}},
    h("div", {class: "check"}, box, h("label", {for: id}, h("code", {}, name), " ", h("span", {class: "muted"}, t("form.optional")))),
    place, error,
  );
  return {
    element,
    get() {
      const now = inner ? inner.get() ?? null : null;
      return same(now, schema.default ?? null) ? undefined : now;
    },
    error(loc, message) {
      if (inner) return inner.error(loc, message);
      say(message);
      return true;
    },
    clear: () => { say(null); inner?.clear(); },
  };
}

// Objects, unions, and lists of them.

function object(schema, value, context, {skip = () => false} = {}) {
  const needed = new Set(schema.required ?? []);
  const controls = new Map();
  const fixed = {};
  const first = [];
  const later = [];
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const one = resolved(each, context);
    if (name === "type" && (one.const !== undefined || value.type !== undefined)) fixed.type = value.type ?? one.const;
    else if (!skip(name)) {
      const made = control(name, each, value[name], context, needed.has(name));
      controls.set(name, made);
      (context.advanced(name) ? later : first).push([needed.has(name), made.element]);
    }
  }
  first.sort((a, b) => b[0] - a[0]);  // what is needed comes first
  const more = later.length ? h("details", {}, h("summary", {}, t("form.more")), later.map(([, each]) => each)) : null;
  const own = h("p", {class: "error", hidden: true, role: "alert"});
  const say = (message) => { own.textContent = message ?? ""; own.hidden = !message; };
  return {
    element: h("div", {class: "fields"}, own, first.map(([, each]) => each), more),
    get() {
      const found = {...fixed};
      for (const [name, each] of controls) {
        const now = each.get();
        if (now !== undefined) found[name] = now;
      }
      return found;
    },
    error(loc, message) {
      if (!loc.length) {
        say(own.textContent ? `${own.textContent}; ${message}` : message);
        return true;
      }
      const hit = controls.get(String(loc[0]));
      if (more && hit && more.contains(hit.element)) more.open = true;
      return hit ? hit.error(loc.slice(1), message) : false;
    },
    clear() {
      say(null);
      for (const each of controls.values()) each.clear();
    },
  };
}

function group(name, schema, one, value, context) {
  const inner = object(one, value ?? schema.default ?? {}, context);
  return {...inner, element: h("fieldset", {dataset: {name}}, h("legend", {}, h("code", {}, name)), inner.element)};
}

/** What a new part begins with. */
function begun(type, context) {
  return context.prepare(structuredClone(context.catalogue[type]?.example ?? {type}));
}

function union(name, schema, one, value, context, title = h("code", {}, name)) {
  let type = value?.type ?? schema.default?.type ?? Object.keys(one.discriminator.mapping)[0];
  let inner = null;
  const place = h("div", {});
  function draw(now) {
    inner = object(member(one, type, context), {...now, type}, context);
    fill(place, context.catalogue[type]?.summary && h("p", {class: "help muted"}, translated(context.catalogue[type].summary)), inner.element);
  }
  const choose = picker({
    label: name,
    value: type,
    members: Object.keys(one.discriminator.mapping),
    catalogue: context.catalogue,
    onPick(picked) {
      type = picked;
      draw(begun(type, context));
      context.changed();
    },
  });
  draw(value ?? schema.default ?? begun(type, context));
  return {
    element: h("fieldset", {dataset: {name}}, h("legend", {}, title), choose.element, place),
    get: () => inner.get(),
    error(loc, message) {
      if (loc[0] === "type") return inner.error([], message);
      return inner.error(loc, message);
    },
    clear: () => inner.clear(),
  };
}

function parts(name, schema, list, value, context) {
  const [one] = alternatives(list.items, context);
  const rows = [];
  const holder = h("ol", {class: "parts"});
  const own = h("p", {class: "error", hidden: true});
  const say = (message) => { own.textContent = message ?? ""; own.hidden = !message; };

  function row(now) {
    const made = {title: h("span", {}), says: []};
    const button = (key, act, sign) => {
      const found = h("button", {type: "button", class: "bare small", title: t(key), onclick: act}, icon(sign));
      made.says.push((n) => found.setAttribute("aria-label", `${t("form.part", {n})}: ${t(key)}`));
      return found;
    };
    if (one.discriminator) made.control = union(name, {}, one, now, context, made.title);
    else {
      made.control = object(one, now ?? {}, context);
      made.control.element = h("fieldset", {}, h("legend", {}, made.title), made.control.element);
    }
    made.up = button("form.up", () => move(made, -1), "up");
    made.down = button("form.down", () => move(made, 1), "down");
    made.gone = button("form.remove_part", () => remove(made), "close");
    made.element = h("li", {class: "part"}, h("div", {class: "part-tools"}, made.up, made.down, made.gone), made.control.element);
    return made;
  }

  function arrange() {
    fill(holder, rows.map((each) => each.element));
    rows.forEach((each, i) => {
      each.title.textContent = t("form.part", {n: i + 1});
      each.says.forEach((say_) => say_(i + 1));
      each.up.disabled = i === 0;
      each.down.disabled = i === rows.length - 1;
      each.gone.disabled = rows.length <= (list.minItems ?? 0);
    });
    add.disabled = rows.length >= (list.maxItems ?? Infinity);
  }

  function move(one_, by) {
    const at = rows.indexOf(one_);
    rows.splice(at, 1);
    rows.splice(at + by, 0, one_);
    arrange();
    (by < 0 && !one_.up.disabled ? one_.up : one_.down).focus();
    context.changed();
  }

  function remove(one_) {
    const at = rows.indexOf(one_);
    rows.splice(at, 1);
    arrange();
    (rows[Math.min(at, rows.length - 1)]?.gone ?? add).focus();
    context.changed();
  }

  const add = h("button", {type: "button", class: "small", onclick: () => {
    const last = rows.at(-1)?.control.get();
    rows.push(row(last ? structuredClone(last) : one.discriminator ? begun(Object.keys(one.discriminator.mapping)[0], context) : undefined));
    arrange();
    rows.at(-1).element.querySelector("input, select")?.focus();
    context.changed();
  }}, t("form.add_part"));
  for (const each of value ?? schema.default ?? []) rows.push(row(each));
  arrange();
  return {
    element: h("fieldset", {dataset: {name}}, h("legend", {}, h("code", {}, name)), schema.description && h("p", {class: "help muted"}, translated(schema.description)), own, holder, add),
    get: () => rows.map((each) => each.control.get()),
    error(loc, message) {
      const hit = rows[loc[0]];
      if (hit) return hit.control.error(loc.slice(1), message);
      say(message);
      return true;
    },
    clear() {
      say(null);
      for (const each of rows) each.control.clear();
    },
  };
}

/**
 * The same value with its lengths in steps times a factor: a schedule made for 20 steps, for a run of 100.
 * Lists of lengths stay rising.
 */
export function stretched(schema, value, factor, context = {root: schema}) {
  const one = resolved(schema, context);
  const may = alternatives(one, context).filter((each) => each.type !== "null");
  if (typeof value === "number") return may.some(isLength) && value > 0 ? Math.max(1, Math.round(value * factor)) : value;
  if (Array.isArray(value)) {
    const list = may.find((each) => each.type === "array");
    return list ? value.map((each) => stretched(list.items ?? {}, each, factor, context)) : value;
  }
  if (value && typeof value === "object") {
    const hit = may[0]?.discriminator ? member(may[0], value.type, context) : may.find((each) => each.properties);
    if (!hit?.properties) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, stretched(hit.properties[name] ?? {}, each, factor, context)]));
  }
  return value;
}
