// A row of a list: one job, changed in place.

import {fill, h} from "../dom.js";
import {badge} from "../jobs/states.js";
import {progress} from "../jobs/progress.js";
import {moment, percent} from "../jobs/words.js";
import {USUAL, address} from "../kinds.js";
import {t, tOr} from "../texts.js";
import {hasBest, label} from "./curves.js";
import {sparkline} from "./sparkline.js";

/** The row of a job. Returns {element, update(job), draw(values)}; `draw` shows the values of its small curve. */
export function row(job) {
  const bar = progress(job);
  const state = h("td");
  const curve = h("td", {class: "curve"});
  let now = job;
  let shown = "";
  let drawn = "";
  return {
    element: h(
      "tr",
      {dataset: {id: job.id}},
      state,
      what(job),
      h("td", {class: "wide"}, bar.element),
      curve,
      h("td", {class: "created"}, moment(job.created_at)),
    ),
    update(changed) {
      now = changed;
      const key = `${now.state} ${now.requested}`;
      if (key !== shown) fill(state, badge(now.state, now.requested));
      shown = key;
      bar.update(now);
    },
    draw(values) {
      const key = `${values.length} ${now.best?.test_accuracy} ${now.state}`;
      if (key === drawn) return;
      drawn = key;
      const best = hasBest(now) && now.best && h("span", {class: "nowrap"}, percent(now.best.test_accuracy, 1));
      fill(curve, sparkline(values, {label: t(label(now))}), best);
    },
  };
}

function what(job) {
  const kind = job.kind === USUAL ? null : h("span", {class: "badge accent"}, tOr(`kinds.${job.kind}`, job.kind));
  const labels = job.labels.map((each) => [" ", h("span", {class: "badge"}, each)]);
  return h("td", {class: "what"}, h("a", {href: address(job)}, job.title), " ", kind, labels);
}
