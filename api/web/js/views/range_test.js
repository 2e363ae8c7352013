// One LR range test: its losses over the rate, and what they suggest.

import {follow, get} from "../api.js";
import {chart, traceColour} from "../chart.js";
import {fill, h} from "../dom.js";
import {number} from "../parts.js";
import {t, translated} from "../texts.js";
import {address, ended, failed, heading, json, polling, progress, throttled} from "../work.js";

const SUGGESTIONS = ["valley", "max_lr", "steepest"]; // in rising boldness, most often
const COLOURS = {valley: 2, max_lr: 1, steepest: 3};
const EPOCHS = 10; // of the training that the form begins with, where the test names none

export async function show(root, params) {
  let job = await get(`/v1/jobs/${encodeURIComponent(params.id)}`);
  if (job.kind !== "lr_range_test") {
    location.replace(address(job));
    return () => {};
  }
  const head = heading(job, changed);
  const bar = progress(job);
  const error = h("div");
  const figure = h("section", {class: "card stack"});
  const suggested = h("section", {class: "card stack"});
  fill(
    root,
    h("p", {}, h("a", {href: "#/jobs"}, t("job.all"))),
    head.element,
    error,
    h("section", {class: "card stack", "aria-label": t("job.progress")}, bar.element),
    figure,
    suggested,
    json(t("job.spec"), job.spec),
  );
  let plot = null;
  let seeds = true;
  let drawn = false;

  async function draw() {
    const {result} = job;
    if (!result) {
      fill(
        figure,
        h("h2", {}, t("range.figure")),
        h("p", {class: "muted"}, ended(job.state) ? t("range.nothing") : t("range.later")),
      );
      fill(
        suggested,
        h("h2", {}, t("range.suggestions")),
        h("p", {class: "muted"}, ended(job.state) ? t("range.nothing") : t("range.later")),
      );
      return;
    }
    if (drawn) return;
    drawn = true;
    const box = h("div");
    const toggle = h("input", {
      type: "checkbox",
      checked: true,
      onchange: () => {
        seeds = toggle.checked;
        plotted();
      },
    });
    fill(
      figure,
      h(
        "div",
        {class: "row spread"},
        h("h2", {}, t("range.figure")),
        result.losses && h("label", {class: "check"}, toggle, t("range.each_seed")),
      ),
      h("p", {class: "muted"}, t(`range.ended_${result.ended}`, {n: number(result.lr.length)})),
      box,
    );
    fill(
      suggested,
      h("h2", {}, t("range.suggestions")),
      table(),
      result.job_id && h("p", {}, h("a", {href: `#/jobs/${result.job_id}`}, t("range.training"))),
    );
    plot = await chart(box, {height: 400});
    plotted();
  }

  function plotted() {
    const {result} = job;
    const own = (seeds && result.losses) || [];
    const smooth = result.smoothed_loss.filter(Number.isFinite);
    const most = Math.max(...smooth.slice(0, Math.max(1, smooth.length - 3)));
    const least = Math.min(...smooth, ...result.loss.filter(Number.isFinite));
    plot.update({
      traces: [
        ...own.map((losses, i) => ({
          name: t("range.each_seed"),
          x: result.lr,
          y: losses,
          colour: 8,
          width: 1,
          opacity: 0.45,
          legend: i === 0,
        })),
        {
          name: result.losses ? t("range.mean") : t("range.loss"),
          x: result.lr,
          y: result.loss,
          colour: 0,
          width: 1,
          opacity: 0.55,
        },
        {name: t("range.smoothed"), x: result.lr, y: result.smoothed_loss, colour: 0, width: 3},
      ],
      x: {title: t("range.rate"), log: job.spec.mode === "exp"},
      y: {
        title: t("range.loss"),
        range: smooth.length > 1 ? [least - 0.05 * (most - least), most + 0.15 * (most - least)] : undefined,
      },
      marks: SUGGESTIONS.filter((name) => result.suggestion[name] !== null).map((name) => ({
        x: result.suggestion[name],
        label: `${name} ${number(result.suggestion[name], 3)}`,
        colour: traceColour(COLOURS[name]),
      })),
      label: t("range.figure_label", {n: result.lr.length}),
      key: job.id,
    });
  }

  function table() {
    const {suggestion} = job.result;
    const rows = SUGGESTIONS.map((name) => {
      const rate = suggestion[name];
      return h(
        "tr",
        {},
        h("th", {scope: "row"}, h("code", {}, name)),
        h("td", {class: "number"}, rate === null ? "–" : h("strong", {}, number(rate, 3))),
        h("td", {}, rate === null ? h("span", {class: "error"}, translated(suggestion.reasons[name])) : t(`range.${name}`)),
        h(
          "td",
          {class: "right"},
          rate === null
            ? null
            : h(
                "a",
                {
                  class: "button small",
                  href: training(job.spec, rate),
                  "aria-label": t("range.train_at", {rate: number(rate, 3)}),
                },
                t("range.train"),
              ),
        ),
      );
    });
    const heads = [t("range.name"), t("range.rate"), t("range.meaning")].map((name, i) =>
      h("th", {scope: "col", class: i === 1 ? "number" : null}, name),
    );
    return h("table", {class: "stacked"}, h("thead", {}, h("tr", {}, heads, h("td", {}))), h("tbody", {}, rows));
  }

  function changed(answer) {
    job = answer;
    fill(error, failed(job));
    bar.update(job);
    head.update(job);
    draw();
  }

  async function refresh() {
    try {
      changed(await get(`/v1/jobs/${encodeURIComponent(job.id)}`));
    } catch {
      /* it is asked again */
    }
  }

  const redraw = throttled(() => {
    bar.update(job);
  });
  const recoloured = () => {
    if (plot) plotted();
  };
  document.addEventListener("themechange", recoloured);
  changed(job);
  const stopFollowing = ended(job.state)
    ? () => {}
    : follow(job.links.events, null, (event) => {
        if (event.event === "progress") job = {...job, progress: event.data};
        if (event.event === "state" || event.event === "end") refresh();
        redraw();
      });
  const stopPolling = polling(
    async () => {
      if (!ended(job.state)) await refresh();
    },
    () => 3,
  );
  return () => {
    document.removeEventListener("themechange", recoloured);
    stopFollowing();
    stopPolling();
    redraw.stop();
    plot?.destroy();
  };
}

/** The form for a training of the same spec at a rate; other rates keep their ratio to it, as the service does it. */
export function training(test, rate) {
  const own = ["start_lr", "end_lr", "num_iter", "seeds", "mode", "smoothing", "stop_factor", "use_for"];
  const spec = Object.fromEntries(Object.entries(test).filter(([name]) => !own.includes(name)));
  const ratio = test.optimizer.lr ? rate / test.optimizer.lr : 1;
  const optimizer = {...test.optimizer, lr: rate};
  const scaled = (group) => (group.lr === null || group.lr === undefined ? group : {...group, lr: group.lr * ratio});
  if (optimizer.param_groups) optimizer.param_groups = optimizer.param_groups.map(scaled);
  if (optimizer.others) optimizer.others = scaled(optimizer.others);
  return `#/submit?${new URLSearchParams({spec: JSON.stringify({...spec, optimizer, epochs: test.epochs ?? EPOCHS})})}`;
}
