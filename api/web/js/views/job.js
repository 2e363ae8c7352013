// One training job: its figure as it grows, what it is, what it has left, what can be done with it.

import {follow, get} from "../api.js";
import {chart} from "../chart.js";
import {fill, h} from "../dom.js";
import {number} from "../parts.js";
import {t} from "../texts.js";
import {
  address,
  artifacts,
  duration,
  ended,
  facts,
  failed,
  heading,
  json,
  moment,
  percent,
  polling,
  progress,
  ran,
  throttled,
} from "../work.js";

const EVENTS = 100; // lines of the list of events

export async function show(root, params) {
  let job = await get(`/v1/jobs/${encodeURIComponent(params.id)}`);
  if (job.kind !== "training") {
    location.replace(address(job));
    return () => {};
  }
  const epochs = []; // by their number: an epoch that is trained again replaces the one before
  const events = [];
  let log = false;

  const head = heading(job, changed);
  const error = h("div");
  const bar = progress(job);
  const figures = h("div");
  const files = h("section", {class: "card stack"});
  const curves = h("div");
  const rates = h("div");
  const list = h("ol", {class: "events"});
  const logarithmic = h("input", {
    type: "checkbox",
    onchange: () => {
      log = logarithmic.checked;
      draw();
    },
  });
  const stream = h("span", {class: "muted", role: "status"});
  fill(
    root,
    h("p", {}, h("a", {href: "#/jobs"}, t("job.all"))),
    head.element,
    error,
    h("section", {class: "card stack", "aria-label": t("job.progress")}, bar.element, figures),
    h(
      "section",
      {class: "card stack"},
      h(
        "div",
        {class: "row spread"},
        h("h2", {}, t("job.figure")),
        h("div", {class: "row"}, stream, h("label", {class: "check"}, logarithmic, t("job.log_rate"))),
      ),
      curves,
      rates,
    ),
    h(
      "div",
      {class: "columns"},
      files,
      h(
        "section",
        {class: "card stack"},
        h("h2", {}, t("job.events")),
        h("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": t("job.events")}, list),
      ),
    ),
    json(t("job.spec"), job.spec),
  );

  const nothing = () => (ended(job.state) ? t("job.no_epoch") : t("job.first_epoch"));
  let upper = null;
  let lower = null;

  async function draw() {
    const done = epochs.filter(Boolean);
    if (!done.length) {
      fill(curves, h("p", {class: "muted"}, nothing()));
      return;
    }
    upper ??= chart(curves, {height: 340});
    lower ??= chart(rates, {height: 200});
    plot(done, await upper, await lower);
  }

  function plot(done, above, below) {
    const x = done.map((epoch) => epoch.epoch + 1);
    const line = (name, field, colour, more = {}) => ({
      name: t(`job.${name}`),
      x,
      y: done.map((epoch) => epoch[field]),
      colour,
      mode: done.length < 40 ? "lines+markers" : "lines",
      ...more,
    });
    const held = done.some((epoch) => epoch.val_accuracy !== undefined);
    const range = [0.5, Math.max(job.progress.epochs, 1) + 0.5];
    above.update({
      traces: [
        line("train_loss", "train_loss", 0),
        line("train_accuracy", "train_accuracy", 3, {axis: "y2", dash: "dash"}),
        ...(held ? [line("val_accuracy", "val_accuracy", 1, {axis: "y2", dash: "dot"})] : []),
        line("test_accuracy", "test_accuracy", 2, {axis: "y2"}),
      ],
      x: {title: t("job.epoch"), range},
      y: {title: t("job.loss")},
      y2: {title: t("job.accuracy")},
      label: t("job.figure_label", {n: done.length, accuracy: percent(job.best?.test_accuracy)}),
      key: job.id,
    });
    const groups = done[0]?.lr.length ?? 1;
    below.update({
      traces: Array.from({length: groups}, (_, i) => ({
        name: groups > 1 ? t("job.lr_of", {n: i}) : t("job.lr"),
        x,
        y: done.map((epoch) => epoch.lr[i]),
        colour: 4 + i,
        step: true,
        mode: done.length < 40 ? "lines+markers" : "lines",
      })),
      x: {title: t("job.epoch"), range},
      y: {title: t("job.lr"), log, zero: true},
      label: t("job.rate_label", {rate: number(done.at(-1)?.lr[0])}),
      key: `${job.id} ${log}`,
    });
  }

  function describe() {
    const {metrics, best} = job;
    fill(
      figures,
      facts([
        [t("job.test_accuracy"), percent(metrics?.test_accuracy)],
        [t("job.best"), best ? t("job.best_at", {accuracy: percent(best.test_accuracy), epoch: best.epoch + 1}) : "–"],
        [t("job.train_loss"), number(metrics?.train_loss ?? job.progress.train_loss)],
        [t("job.lr"), metrics ? metrics.lr.map((rate) => number(rate)).join(", ") : "–"],
        [t("job.steps"), t("job.of", {n: number(job.progress.step), all: number(job.progress.steps)})],
        [t("job.ran"), duration(ran(job))],
        [t("job.created"), moment(job.created_at)],
        [t("job.finished"), job.finished_at ? moment(job.finished_at) : null],
        [t("job.attempt"), job.attempt > 1 ? t("job.attempts", {n: job.attempt, losses: job.losses}) : null],
        [t("job.priority"), job.priority || null],
        [t("job.hardware"), job.hardware],
      ]),
    );
    fill(error, failed(job));
    bar.update(job);
    head.update(job);
  }

  function changed(answer) {
    const before = job.state;
    job = answer;
    describe();
    if (job.state !== before && ended(job.state)) artifacts(job, files);
  }

  async function refresh() {
    try {
      changed(await get(`/v1/jobs/${encodeURIComponent(job.id)}`));
    } catch {
      /* the stream says whether the service is there */
    }
  }

  function tell(event) {
    const text =
      event.event === "epoch"
        ? t("events.epoch", {
            n: event.data.epoch + 1,
            loss: number(event.data.train_loss),
            accuracy: percent(event.data.test_accuracy),
          })
        : t(`states.${event.data.state}`);
    const at = new Date(Number(event.id.split("-")[0]));
    events.push(h("li", {}, h("time", {datetime: at.toISOString()}, at.toLocaleTimeString()), " ", text));
    if (events.length > EVENTS) events.shift();
  }

  const redraw = throttled(() => {
    draw();
    describe();
    fill(list, [...events].reverse());
  });
  const stopFollowing = follow(
    job.links.events,
    null,
    (event) => {
      if (event.event === "progress") job = {...job, progress: event.data};
      if (event.event === "epoch") {
        epochs[event.data.epoch] = event.data;
        const best = !job.best || event.data.test_accuracy > job.best.test_accuracy;
        if (!ended(job.state))
          job = {
            ...job,
            metrics: event.data,
            best: best && event.data.val_accuracy === undefined ? event.data : job.best,
          };
      }
      if (event.event === "epoch" || event.event === "state") tell(event);
      if ((event.event === "state" || event.event === "end") && !ended(job.state)) refresh();
      redraw();
    },
    (state) => {
      stream.textContent =
        state === "waiting" ? t("job.reconnecting") : state === "open" && !ended(job.state) ? t("job.live") : "";
    },
  );
  draw();
  describe();
  artifacts(job, files);
  // what no event tells: the place in the queue, and what the job was asked for
  const stopPolling = polling(
    async () => {
      if (!ended(job.state)) await refresh();
    },
    () => 3,
  );
  return () => {
    stopFollowing();
    stopPolling();
    redraw.stop();
    for (const each of [upper, lower]) each?.then((made) => made.destroy());
  };
}
