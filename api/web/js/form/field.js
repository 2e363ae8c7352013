// What every field of a form is made of: label, control, help, and a place for what is wrong.

import {h, uid} from "../dom.js";
import {translated} from "../texts.js";
import {same} from "./schema.js";

/** A field around its input. Returns {element, say(message)}; an empty message takes the one before away. */
export function field(name, schema, input, {block = input} = {}) {
  const id = uid("field");
  const help = schema.description ? h("span", {class: "help", id: `${id}-help`}, translated(schema.description)) : null;
  const error = h("span", {class: "error", id: `${id}-error`, hidden: true});
  input.id = id;
  input.setAttribute("aria-describedby", [help && `${id}-help`, `${id}-error`].filter(Boolean).join(" "));
  const element = h("div", {class: "field", dataset: {name}}, h("label", {for: id}, h("code", {}, name)), block, help, error);
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
export function speaker(shownIn, context) {
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

/** The control of a field whose value `get` returns; one that equals the schema's default is left out of the form's. */
export function fieldControl(shownIn, speak, schema, get) {
  return {
    element: shownIn.element,
    get: () => (same(get(), schema.default) ? undefined : get()),
    error: speak.error,
    clear: speak.clear,
  };
}

/** A line for errors of a control that has no single input. `say` with nothing hides it. */
export function errorLine(name = "span", attributes = {}) {
  const element = h(name, {class: "error", hidden: true, ...attributes});
  return {
    element,
    say(message) {
      element.textContent = message ?? "";
      element.hidden = !message;
    },
  };
}
