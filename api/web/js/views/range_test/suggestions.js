// The rates that a range test suggests, and a form for a training at each.

import {converted} from "../../convert.js";
import {fill, h} from "../../dom.js";
import {ended} from "../../jobs/states.js";
import {USUAL} from "../../kinds.js";
import {number} from "../../parts.js";
import {t, translated} from "../../texts.js";

/** The suggestions, usually from cautious to bold. */
export const SUGGESTIONS = ["valley", "max_lr", "steepest"];

/** The table of suggestions; `kinds` as the API lists them. Returns {element, update(job)}. */
export function suggestions(kinds) {
  const element = h("section", {class: "card stack"});
  let drawn = false;
  return {
    element,
    update(job) {
      if (drawn) return; // a result does not change any more
      drawn = Boolean(job.result);
      fill(element, h("h2", {}, t("range.suggestions")), drawn ? found(job, kinds) : missing(job));
    },
  };
}

function missing(job) {
  return h("p", {class: "muted"}, ended(job.state) ? t("range.nothing") : t("range.later"));
}

function found(job, kinds) {
  const id = job.result.job_id;
  return [table(job, kinds), id && h("p", {}, h("a", {href: `#/jobs/${id}`}, t("range.training")))];
}

function table(job, kinds) {
  const heads = [t("range.name"), t("range.rate"), t("range.meaning")].map((name, i) =>
    h("th", {scope: "col", class: i === 1 ? "number" : null}, name),
  );
  const rows = SUGGESTIONS.map((name) => row(job, name, kinds));
  return h("table", {class: "stacked"}, h("thead", {}, h("tr", {}, heads, h("td", {}))), h("tbody", {}, rows));
}

function row({spec, kind, result: {suggestion}}, name, kinds) {
  const rate = suggestion[name];
  const head = h("th", {scope: "row"}, h("code", {}, name));
  if (rate === null) {
    const reason = h("span", {class: "error"}, translated(suggestion.reasons[name]));
    return h("tr", {}, head, h("td", {class: "number"}, "–"), h("td", {}, reason), h("td", {class: "right"}));
  }
  const href = training(converted(spec, kinds[kind], kinds[USUAL]), rate);
  const label = t("range.train_at", {rate: number(rate, 3)});
  const link = h("a", {class: "button small", href, "aria-label": label}, t("range.train"));
  return h(
    "tr", {},
    head,
    h("td", {class: "number"}, h("strong", {}, number(rate, 3))), h("td", {}, t(`range.${name}`)),
    h("td", {class: "right"}, link),
  );
}

/** The form for a training at a rate; other rates keep their ratio to it, as the service does it. */
function training({epochs, ...spec}, rate) {
  const ratio = spec.optimizer.lr ? rate / spec.optimizer.lr : 1;
  const optimizer = {...spec.optimizer, lr: rate};
  const scaled = (group) => (group.lr === null || group.lr === undefined ? group : {...group, lr: group.lr * ratio});
  if (optimizer.param_groups) optimizer.param_groups = optimizer.param_groups.map(scaled);
  if (optimizer.others) optimizer.others = scaled(optimizer.others);
  return `#/submit?${new URLSearchParams({spec: JSON.stringify({...spec, optimizer, epochs})})}`;
}
