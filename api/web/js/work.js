// What the views of jobs, experiments and range tests have in common.

import {blob, get, post, request} from "./api.js";
import {announce, fill, h, svg, uid} from "./dom.js";
import {copyButton, number} from "./parts.js";
import {current, t, tOr} from "./texts.js";

export const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const LOOKS = {running: "accent", paused: "warn", succeeded: "good", failed: "bad", pruned: "warn"};

/** Whether a job in this state never changes again. */
export function ended(state) {
  return ENDED.has(state);
}

/** A state, or what a running job was asked for. */
export function badge(state, requested = null) {
  const text = requested ? t(`requested.${requested}`) : tOr(`states.${state}`, state);
  return h("span", {class: `badge ${LOOKS[state] ?? ""}`, dataset: {state}}, text);
}

/** Where the view of a job is. */
export function address(job) {
  const places = {experiment: "experiments", lr_range_test: "range-tests"};
  return `#/${places[job.kind] ?? "jobs"}/${encodeURIComponent(job.id)}`;
}

/** A schedule in a word. */
export function scheduleName(schedule) {
  return schedule ? schedule.type : t("job.fixed_rate");
}

/** 0.9231 as 92.31 %. */
export function percent(value, digits = 2) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`;
}

/** Seconds for people. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return t("time.less");
  if (seconds < 60) return t("time.seconds", {n: Math.round(seconds)});
  if (seconds < 3600) return t("time.minutes", {m: Math.floor(seconds / 60), s: Math.round(seconds % 60)});
  return t("time.hours", {h: Math.floor(seconds / 3600), m: Math.round((seconds % 3600) / 60)});
}

/** How long ago a time of the API was. */
export function ago(value) {
  const seconds = (new Date(value) - Date.now()) / 1000;
  const units = [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? units[3];
  return new Intl.RelativeTimeFormat(current(), {numeric: "auto"}).format(Math.round(seconds / size), unit);
}

/** An element with a time that is ago; its title is the whole of it. */
export function moment(value) {
  if (!value) return "–";
  return h("time", {datetime: value, title: new Date(value).toLocaleString(current()), class: "nowrap"}, ago(value));
}

/** Bytes for people. */
export function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  const place = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(size, 1)) / 3));
  return `${number(size / 1000 ** place, 3)} ${units[place]}`;
}

/** How long a job has run, or ran, in seconds; null before it began. */
export function ran(job) {
  if (!job.started_at) return null;
  return (new Date(job.finished_at ?? Date.now()) - new Date(job.started_at)) / 1000;
}

/** A job's progress in a bar and a line. Returns {element, update(job)}. */
export function progress(job) {
  const bar = h("progress", {max: 1, "aria-label": t("job.progress")});
  const text = h("span", {class: "muted progress-text"});
  const element = h("div", {class: "progress"}, bar, text);
  function update(changed) {
    const made = changed.progress;
    bar.value = made.fraction;
    text.textContent = line(changed);
    bar.setAttribute("aria-valuetext", percent(made.fraction, 0));
  }
  update(job);
  return {element, update};
}

function line(job) {
  const made = job.progress;
  if (job.state === "queued") {
    if (job.position === null) return t("job.waits");
    const when = job.starts_in_seconds;
    const place = job.position ? t("job.position", {n: job.position}) : t("job.next");
    return when === null ? place : `${place}, ${t("job.starts_in", {time: duration(when)})}`;
  }
  const [unit, n, all] =
    job.kind === "lr_range_test"
      ? ["steps_of", made.step, made.steps]
      : [job.kind === "experiment" ? "epochs_all" : "epochs_of", made.epoch, made.epochs];
  const done = t(`job.${unit}`, {n: number(n), all: number(all)});
  const left =
    job.state === "running" && made.eta_seconds !== null ? t("job.left", {time: duration(made.eta_seconds)}) : "";
  return left ? `${done} · ${left}` : done;
}

/** A small line of values, between their own ends. */
export function sparkline(values, {width = 120, height = 28, label = ""} = {}) {
  const found = values.filter(Number.isFinite);
  if (found.length < 2) return h("span", {class: "spark none", "aria-hidden": "true"});
  const bottom = Math.min(...found);
  const top = Math.max(...found);
  const x = (i) => 2 + (i * (width - 4)) / (values.length - 1);
  const y = (value) => 2 + (height - 4) * (1 - (value - bottom) / (top - bottom || 1));
  const points = thinned(values, width).map(([i, value]) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  return svg(
    "svg",
    {class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label},
    svg("polyline", {points: points.join(" ")}),
  );
}

/** At most so many of the finite values, as [index, value]. */
function thinned(values, most) {
  const every = Math.max(1, Math.ceil(values.length / most));
  const last = values.length - 1;
  return [...values.entries()].filter(([i, value]) => Number.isFinite(value) && (i % every === 0 || i === last));
}

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

/** Asks before what cannot be undone. Resolves to whether it is meant. */
export function confirmed(question, action) {
  return new Promise((resolve) => {
    const name = uid("question");
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": name,
        onclose: () => {
          resolve(dialog.returnValue === "yes");
          dialog.remove();
        },
      },
      h("p", {id: name}, question),
      h(
        "div",
        {class: "row"},
        h("button", {type: "button", class: "danger", onclick: () => dialog.close("yes")}, action),
        h("button", {type: "button", onclick: () => dialog.close("no")}, t("action.keep")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Saves a file of the API, with the key. */
export async function download(path, name) {
  const url = URL.createObjectURL(await blob(path));
  const link = h("a", {href: url, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A button that downloads, and says so when it cannot. */
export function downloadButton(path, name, label = t("action.download")) {
  const button = h("button", {type: "button", class: "small", "aria-label": `${label}: ${name}`}, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await download(path, name);
    } catch (error) {
      announce(error.message);
      button.after(h("span", {class: "error", role: "alert"}, ` ${error.message}`));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/**
 * The buttons of a job, or of an experiment as a whole. Returns {element, update(job)}.
 * `onChange` gets the job as the API answered; a retry goes to the new job.
 */
export function actions(job, onChange) {
  const error = h("p", {class: "error", role: "alert", hidden: true});
  const row = h("div", {class: "row"});
  const element = h("div", {class: "stack actions"}, row, error);
  let now = job;
  let shown = "";

  async function act(name, button) {
    error.hidden = true;
    button.disabled = true;
    try {
      await DOES[name](now, onChange);
      announce(t(`done.${name}`));
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  function update(changed) {
    now = changed;
    const wanted = allowed(now);
    if (wanted.join() === shown) return;
    shown = wanted.join();
    const focused = row.contains(document.activeElement);
    fill(
      row,
      wanted.map((name) => {
        const button = h("button", {type: "button", class: name === "delete" ? "danger" : null}, t(`action.${name}`));
        button.addEventListener("click", () => act(name, button));
        return button;
      }),
    );
    if (focused) row.querySelector("button")?.focus();
  }

  update(job);
  return {element, update};
}

function allowed(job) {
  if (ended(job.state)) return ["retry", "clone", "delete"];
  if (job.requested === "cancel") return ["clone"];
  if (job.state === "paused") return ["resume", "cancel", "clone"];
  return job.requested === "pause" ? ["cancel", "clone"] : ["pause", "cancel", "clone"];
}

const moved = (name) => async (job, onChange) => onChange(await post(job.links[name]));

const DOES = {
  pause: moved("pause"),
  resume: moved("resume"),
  async cancel(job, onChange) {
    if (await confirmed(t("confirm.cancel"), t("action.cancel"))) await moved("cancel")(job, onChange);
  },
  async retry(job) {
    location.hash = address(await post(job.links.retry));
  },
  async clone(job) {
    location.hash = `#/submit?clone=${encodeURIComponent(job.id)}`;
  },
  async delete(job) {
    if (!(await confirmed(t("confirm.delete"), t("action.delete")))) return;
    await request(`/v1/jobs/${encodeURIComponent(job.id)}`, {method: "DELETE"});
    location.hash = job.kind === "experiment" ? "#/experiments" : "#/jobs";
  },
};

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

/** The files of a job, which are there once it has succeeded. */
export async function artifacts(job, root) {
  let found = [];
  try {
    found = (await get(job.links.artifacts)).artifacts;
  } catch (error) {
    fill(root, h("h2", {}, t("artifacts.title")), h("p", {class: "error", role: "alert"}, error.message));
    return;
  }
  const rows = found.map((file) =>
    h(
      "tr",
      {},
      h("td", {class: "what"}, h("code", {}, file.name)),
      h("td", {class: "number nowrap"}, bytes(file.size)),
      h("td", {class: "right"}, downloadButton(file.url, file.name)),
    ),
  );
  const heads = h(
    "tr",
    {},
    h("th", {scope: "col"}, t("artifacts.name")),
    h("th", {scope: "col", class: "number"}, t("artifacts.size")),
    h("td", {}),
  );
  fill(
    root,
    h("h2", {}, t("artifacts.title")),
    rows.length
      ? h(
          "div",
          {class: "scroll", tabindex: 0, role: "region", "aria-label": t("artifacts.title")},
          h("table", {}, h("thead", {}, heads), h("tbody", {}, rows)),
        )
      : h("p", {class: "muted"}, ended(job.state) ? t("artifacts.none") : t("artifacts.later")),
  );
}

/** Calls `draw` soon, and at most once in so many milliseconds; not while the page is hidden. */
export function throttled(draw, every = 250) {
  let timer = null;
  let wanted = false;
  function run() {
    timer = null;
    if (document.hidden) return;
    wanted = false;
    draw();
  }
  function ask() {
    wanted = true;
    timer ??= setTimeout(run, every);
  }
  const seen = () => {
    if (!document.hidden && wanted) ask();
  };
  document.addEventListener("visibilitychange", seen);
  ask.stop = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    timer = -1; // nothing is drawn any more
  };
  return ask;
}

/** Calls `look` at once and then every `seconds()`; while the page is hidden not at all. Returns what stops it. */
export function polling(look, seconds) {
  let timer = null;
  let stopped = false;
  async function once() {
    clearTimeout(timer);
    await look();
    if (!stopped && !document.hidden) timer = setTimeout(once, 1000 * seconds());
  }
  const seen = () => {
    if (!document.hidden) once();
  };
  document.addEventListener("visibilitychange", seen);
  timer = setTimeout(once, 1000 * seconds());
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
