// The runs of an experiment, each of which can be made a job of its own.

import {fill, h} from "../../dom.js";
import {downloadButton} from "../../jobs/files.js";
import {badge} from "../../jobs/states.js";
import {percent} from "../../jobs/words.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";
import {settingsOf, words} from "./words.js";

const SHOWN = 200; // rows, until all are asked for

/** The card with the table of runs. Returns {element, update(job)}. */
export function runs(job, path) {
  const table = h("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": t("experiment.runs")});
  let now = job;
  let all = false;

  function draw() {
    const scrolled = table.scrollTop;
    const shown = all ? now.runs : now.runs.slice(0, SHOWN);
    fill(table, drawn(now, shown), shown.length < now.runs.length && more());
    table.scrollTop = scrolled;
  }

  function more() {
    const onclick = () => {
      all = true;
      draw();
    };
    return h("button", {type: "button", onclick}, t("experiment.all_runs", {n: number(now.runs.length)}));
  }

  const download = downloadButton(`${path}/metrics`, `${job.id}-metrics.csv`, t("experiment.csv"));
  const head = h("div", {class: "row spread"}, h("h2", {}, t("experiment.runs")), download);
  return {
    element: h("section", {class: "card stack"}, head, table),
    update(changed) {
      now = changed;
      draw();
    },
  };
}

function drawn(job, shown) {
  const settings = settingsOf(job);
  const heads = ["run", "configuration", "seed", "state", "epoch", "final", "best"].map((name) =>
    h("th", {scope: "col"}, t(`experiment.${name}`)),
  );
  const rows = shown.map((run) => row(job.id, run, words(settings.get(run.configuration))));
  return h("table", {}, h("thead", {}, h("tr", {}, heads, h("td", {}))), h("tbody", {}, rows));
}

function row(id, run, configuration) {
  const link = {
    class: "button small",
    href: `#/submit?run=${encodeURIComponent(`${id}/${run.run}`)}`,
    "aria-label": t("experiment.train_run", {n: run.run}),
  };
  return h(
    "tr",
    {},
    h("td", {class: "number"}, run.run),
    h("td", {class: "what"}, configuration),
    h("td", {class: "number"}, run.seed),
    h("td", {}, badge(run.state), run.error && h("span", {class: "error"}, ` ${run.error.message}`)),
    h("td", {class: "number"}, run.epoch === null ? "–" : run.epoch + 1),
    h("td", {class: "number nowrap"}, percent(run.final_test_accuracy)),
    h("td", {class: "number nowrap"}, percent(run.best_test_accuracy)),
    h("td", {class: "right"}, h("a", link, t("experiment.train"))),
  );
}
