// A form made from a pydantic JSON Schema. What it holds is the JSON to send, defaults left out.
//
// Numbers have a slider and a field; lengths also take "10%" and "5ep"; one-value-a-group fields take "0.1, 0.01". Unions
// that `type` distinguishes are forms inside forms, for which the picker offers the members.

import {fill, h, uid} from "./dom.js";
import {errorLine} from "./form/field.js";
import {slider} from "./form/number.js";
import {group, object, union} from "./form/object.js";
import {parts} from "./form/parts.js";
import {alternatives, isComposed, isNumber, isScalar, resolved, same} from "./form/schema.js";
import {choice, flag, json, map, numbers, text} from "./form/values.js";
import {t} from "./texts.js";

export {stretched} from "./form/schema.js";

/**
 * A form for a schema.
 *
 * options:
 *   value: what the form begins with
 *   onChange(): called after each change; `get()` has the new value
 *   steps(): steps of the run, for the sliders of lengths
 *   catalogue: type -> {summary, origin, example} of the members of unions, for the picker and to begin a new part
 *   advanced(name): whether a field waits behind "More" (default: last_epoch)
 *   skip(name): whether a field of the outermost object is left out altogether
 * Returns {element, get(), valid(), errors(list)}: `get` gives the last valid value of each field; `errors` takes
 * [{loc, msg}] with paths from the form's value, shows each beside its field, and returns those that have none.
 */
export function form(schema, options = {}) {
  const context = {
    root: schema,
    control,  // here, so that objects need not import what makes controls of them
    changed: options.onChange ?? (() => {}),
    steps: options.steps ?? (() => 100),
    catalogue: options.catalogue ?? {},
    advanced: options.advanced ?? ((name) => name === "last_epoch"),
    bad: new Set(),  // fields with what cannot be read
  };
  const top = object(resolved(schema, schema), options.value ?? {}, context, {skip: options.skip ?? (() => false)});
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

// Which control a schema has. Each is {element, get(), error(loc, msg), clear()}; `get` gives undefined for what is left out.

/** The control for a value of an object. */
function control(name, schema, value, context, required) {
  const one = resolved(schema, context.root);
  const may = alternatives(one, context.root);
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
  if (list && isScalar(alternatives(list.items ?? {}, context.root))) return numbers(name, schema, list, value, context);
  if (list && rest.length === 1 && isComposed(list.items, context.root)) return parts(name, schema, list, value, context);
  if (first.type === "string" && !Array.isArray(value)) return text(name, schema, first, value, context);
  if (first.properties && rest.length === 1) return group(name, schema, first, value, context);
  if (isMap(first, context.root)) return map(name, schema, value, context);
  return json(name, schema, value, context);
}

function isMap(schema, root) {
  return schema.type === "object" && isScalar(alternatives(schema.additionalProperties ?? {}, root));
}

/** A value that may be null: a box that says whether there is one. */
function nullable(name, schema, rest, value, context) {
  let inner = null;
  const id = uid("set");
  const given = value === undefined ? schema.default : value;
  const box = h("input", {type: "checkbox", id, checked: given !== null && given !== undefined});
  const place = h("div", {});
  const line = errorLine();
  function draw(now) {
    inner = box.checked ? plain(name, {...schema, default: undefined, anyOf: rest}, rest, now, context, true) : null;
    fill(place, inner?.element);
    inner?.element.querySelector("label, legend")?.classList.add("unseen");  // the box has the name already
    inner?.element.querySelector("legend")?.parentElement.classList.add("bare");
  }
  box.addEventListener("change", () => {
    draw(undefined);
    context.changed();
  });
  draw(given ?? undefined);
  const label = h("label", {for: id}, h("code", {}, name), " ", h("span", {class: "muted"}, t("form.optional")));
  return {
    element: h("div", {class: "field optional", dataset: {name}}, h("div", {class: "check"}, box, label), place, line.element),
    get() {
      const now = inner ? inner.get() ?? null : null;
      return same(now, schema.default ?? null) ? undefined : now;
    },
    error(loc, message) {
      if (inner) return inner.error(loc, message);
      line.say(message);
      return true;
    },
    clear() {
      line.say(null);
      inner?.clear();
    },
  };
}
