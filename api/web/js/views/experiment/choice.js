// A labelled field that picks one of a few.

import {h, uid} from "../../dom.js";

/** `options` as [[value, text]], the first one chosen; onChange(value). */
export function choice(label, options, onChange) {
  const select = h(
    "select",
    {id: uid("choice"), onchange: () => onChange(select.value)},
    options.map(([value, text]) => h("option", {value}, text)),
  );
  return h("div", {class: "field"}, h("label", {for: select.id}, label), select);
}
