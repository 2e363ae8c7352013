// A form made from a pydantic JSON Schema. What it holds is the JSON to send, defaults left out.
//
// Numbers have a slider and a field; lengths also take "10%" and "5ep"; one-value-a-group fields take "0.1, 0.01". Unions
// that `type` distinguishes are forms inside forms, for which the picker offers the members.

import {h} from "./dom.js";
import {control} from "./form/control.js";
import {object} from "./form/object.js";
import {resolved} from "./form/schema.js";

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
