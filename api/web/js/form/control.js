// Which control a schema has.
//
// Each control is {element, get, error(loc, msg), clear()}; `get` gives undefined for what is left out.

import {fill, h, uid} from "../dom.js";
import {t} from "../texts.js";
import {errorLine} from "./field.js";
import {slider} from "./number.js";
import {group, union} from "./object.js";
import {parts} from "./parts.js";
import {alternatives, isComposed, isNumber, isScalar, resolved, same} from "./schema.js";
import {choice, flag, json, map, numbers, text} from "./values.js";

/** The control for a value of an object. */
export function control(name, schema, value, context, required) {
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
