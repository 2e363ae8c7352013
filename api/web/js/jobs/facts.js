// Cards about a job: facts, its spec, what is wrong with it.

import {h} from "../dom.js";
import {copyButton} from "../parts.js";

/** A list of facts: [[name, value], ...]; null values are left out. */
export function facts(pairs) {
  return h(
    "dl",
    {class: "facts"},
    pairs
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** JSON to look at and to copy, closed at first. */
export function json(name, value, {open = false} = {}) {
  const text = JSON.stringify(value, null, 2);
  return h(
    "details",
    {class: "card", open},
    h("summary", {}, name),
    h(
      "div",
      {class: "stack"},
      h(
        "div",
        {class: "row"},
        copyButton(() => text),
      ),
      h("pre", {tabindex: 0, role: "region", "aria-label": name}, text),
    ),
  );
}

/** What is wrong with a job that failed. */
export function failed(job) {
  if (!job.error) return null;
  return h("div", {class: "note bad", role: "alert"}, h("strong", {}, job.error.type), ": ", job.error.message);
}
