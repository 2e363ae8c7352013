// The head of a job's view.

import {fill, h} from "../dom.js";
import {copyButton} from "../parts.js";
import {actions} from "./actions.js";
import {badge} from "./states.js";

/** The head of a job's view: what it is, its state, its buttons. Returns {element, update(job)}. */
export function heading(job, onChange) {
  const state = h("span", {role: "status"});
  const buttons = actions(job, onChange);
  const labels = job.labels.map((label) =>
    h("a", {class: "badge", href: `#/jobs?${new URLSearchParams({label})}`}, label),
  );
  const element = h(
    "div",
    {class: "row spread heading"},
    h(
      "div",
      {class: "stack tight"},
      h("div", {class: "row"}, h("h1", {}, job.title), state),
      h(
        "div",
        {class: "row"},
        h("code", {class: "muted"}, job.id),
        copyButton(() => job.id),
        labels,
      ),
    ),
    buttons.element,
  );
  let shown = "";
  function update(changed) {
    const key = `${changed.state} ${changed.requested}`;
    if (key !== shown) fill(state, badge(changed.state, changed.requested));
    shown = key;
    buttons.update(changed);
  }
  update(job);
  return {element, update};
}
