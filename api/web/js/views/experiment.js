// One experiment: the leaderboard, the curves of all runs on top of each other, the runs. Live while it is not over.

import {follow, get} from "../api.js";
import {chart, traceColour} from "../chart.js";
import {fill, h, uid} from "../dom.js";
import {loading, number} from "../parts.js";
import {t} from "../texts.js";
import {
  badge,
  downloadButton,
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
  scheduleName,
  throttled,
} from "../work.js";

const LEADERS = 6; // configurations in colour, one each of the theme's first
const BANDS = 5; // of the others, by rank, each paler than the one before
const POINTS = 500; // of a curve that are drawn
const SHOWN = 200; // rows of the table of runs, until all are asked for
const FIGURES = ["test_accuracy", "train_loss", "test_loss", "lr"];

export async function show(root, params) {
  const path = `/v1/experiments/${encodeURIComponent(params.id)}`;
  let by = "final";
  let baseline = null;
  let job = await get(path);
  const curves = new Map(); // run -> {field: values by epoch}
  let figure = FIGURES[0];
  let shown = null; // epochs from and to, where the picture is zoomed
  let order = {column: "rank", down: false};
  let all = false;

  const head = heading(job, () => refresh());
  const bar = progress(job);
  const described = h("div");
  const error = h("div");
  const box = h("div", {}, loading());
  const board = h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": t("experiment.leaderboard")});
  const runs = h("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": t("experiment.runs")});
  const choice = (label, options, value, onchange) => {
    const select = h(
      "select",
      {id: uid("choice"), onchange: () => onchange(select.value)},
      options.map(([each, text]) => h("option", {value: each}, text)),
    );
    select.value = value;
    return h("div", {class: "field"}, h("label", {for: select.id}, label), select);
  };
  const configurations = job.leaderboard.map((row) => row.configuration).sort((a, b) => a - b);
  const settings = new Map(job.leaderboard.map((row) => [row.configuration, row.settings]));

  fill(
    root,
    h("p", {}, h("a", {href: "#/experiments"}, t("experiment.all"))),
    head.element,
    error,
    h("section", {class: "card stack", "aria-label": t("job.progress")}, bar.element, described),
    h(
      "section",
      {class: "card stack"},
      h(
        "div",
        {class: "row spread"},
        h("h2", {}, t("experiment.curves")),
        choice(
          t("experiment.figure"),
          FIGURES.map((name) => [name, t(`job.${name}`)]),
          figure,
          (value) => {
            figure = value;
            shown = null;
            choose();
          },
        ),
      ),
      box,
    ),
    h(
      "section",
      {class: "card stack"},
      h(
        "div",
        {class: "row spread"},
        h("h2", {}, t("experiment.leaderboard")),
        h(
          "div",
          {class: "row"},
          choice(
            t("experiment.by"),
            [
              ["final", t("experiment.final")],
              ["best", t("experiment.best")],
            ],
            by,
            (value) => {
              by = value;
              refresh();
            },
          ),
          choice(
            t("experiment.baseline"),
            [
              ["", t("experiment.leader")],
              ...configurations.slice(0, SHOWN).map((each) => [String(each), `${each}: ${words(settings.get(each))}`]),
            ],
            "",
            (value) => {
              baseline = value === "" ? null : Number(value);
              refresh();
            },
          ),
          downloadButton(`${path}/leaderboard?format=csv`, `${job.id}-leaderboard.csv`, t("experiment.csv")),
        ),
      ),
      board,
      h("p", {class: "muted"}, t("experiment.caution")),
    ),
    h(
      "section",
      {class: "card stack"},
      h(
        "div",
        {class: "row spread"},
        h("h2", {}, t("experiment.runs")),
        downloadButton(`${path}/metrics`, `${job.id}-metrics.csv`, t("experiment.csv")),
      ),
      runs,
    ),
    json(t("job.spec"), job.spec),
  );
  let plot = null;

  function describe() {
    fill(
      described,
      facts([
        [t("experiment.configurations"), number(settings.size)],
        [t("experiment.runs"), number(job.runs.length)],
        ...Object.entries(job.counts).map(([state, n]) => [badge(state), number(n)]),
        [t("job.ran"), duration(ran(job))],
        [t("job.created"), moment(job.created_at)],
      ]),
    );
    fill(error, failed(job));
    bar.update(job);
    head.update(job);
  }

  function drawBoard() {
    const axes = [...new Set(job.leaderboard.flatMap((row) => Object.keys(row.settings)))];
    const columns = [
      {id: "rank", name: t("experiment.rank"), value: (row) => row.rank, number: true},
      ...axes.map((axis) => ({
        id: axis,
        name: axis,
        value: (row) => plainly(row.settings[axis]),
        number: typeof job.leaderboard[0].settings[axis] === "number",
      })),
      {
        id: "final",
        name: t("experiment.final"),
        value: (row) => row.final_test_accuracy?.mean,
        show: (row) => spread(row.final_test_accuracy),
        number: true,
      },
      {
        id: "best",
        name: t("experiment.best"),
        value: (row) => row.best_test_accuracy?.mean,
        show: (row) => spread(row.best_test_accuracy),
        number: true,
      },
      {
        id: "difference",
        name: t("experiment.difference"),
        value: (row) => row.difference?.mean,
        show: (row) => interval(row.difference),
        number: true,
      },
      {
        id: "runs",
        name: t("experiment.runs"),
        value: (row) => row.runs.succeeded ?? 0,
        show: (row) => states(row.runs),
      },
    ];
    const column = columns.find((each) => each.id === order.column) ?? columns[0];
    const rows = [...job.leaderboard].sort((a, b) => compared(column.value(a), column.value(b), order.down));
    const focused = board.contains(document.activeElement) ? document.activeElement.dataset.column : null;
    const scrolled = board.scrollLeft;
    fill(
      board,
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            columns.map((each) => {
              const mine = each === column;
              const sort = h(
                "button",
                {
                  type: "button",
                  class: "bare sort",
                  dataset: {column: each.id},
                  onclick: () => {
                    order = {column: each.id, down: mine ? !order.down : !["rank", ...axes].includes(each.id)};
                    drawBoard();
                  },
                },
                each.name,
                h("span", {"aria-hidden": "true"}, mine ? (order.down ? " ↓" : " ↑") : ""),
              );
              return h(
                "th",
                {
                  scope: "col",
                  class: each.number ? "number" : null,
                  "aria-sort": mine ? (order.down ? "descending" : "ascending") : null,
                },
                sort,
              );
            }),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map((row) =>
            h(
              "tr",
              {dataset: {configuration: row.configuration}},
              columns.map((each, i) =>
                h(
                  "td",
                  {class: each.number ? "number nowrap" : null},
                  i === 0 && row.rank <= LEADERS
                    ? h("span", {
                        class: "swatch",
                        style: {background: traceColour(row.rank - 1)},
                        "aria-hidden": "true",
                      })
                    : null,
                  each.show ? each.show(row) : cell(each.value(row)),
                ),
              ),
            ),
          ),
        ),
      ),
    );
    board.scrollLeft = scrolled;
    if (focused) board.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
  }

  function drawRuns() {
    const some = all ? job.runs : job.runs.slice(0, SHOWN);
    const heads = ["run", "configuration", "seed", "state", "epoch", "final", "best"].map((name) =>
      h("th", {scope: "col"}, t(`experiment.${name}`)),
    );
    const scrolled = runs.scrollTop;
    fill(
      runs,
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, heads, h("td", {}))),
        h(
          "tbody",
          {},
          some.map((run) =>
            h(
              "tr",
              {},
              h("td", {class: "number"}, run.run),
              h("td", {class: "what"}, words(settings.get(run.configuration))),
              h("td", {class: "number"}, run.seed),
              h("td", {}, badge(run.state), run.error && h("span", {class: "error"}, ` ${run.error.message}`)),
              h("td", {class: "number"}, run.epoch === null ? "–" : run.epoch + 1),
              h("td", {class: "number nowrap"}, percent(run.final_test_accuracy)),
              h("td", {class: "number nowrap"}, percent(run.best_test_accuracy)),
              h(
                "td",
                {class: "right"},
                h(
                  "a",
                  {
                    class: "button small",
                    href: `#/submit?run=${encodeURIComponent(`${job.id}/${run.run}`)}`,
                    "aria-label": t("experiment.train_run", {n: run.run}),
                  },
                  t("experiment.train"),
                ),
              ),
            ),
          ),
        ),
      ),
      some.length < job.runs.length &&
        h(
          "button",
          {
            type: "button",
            onclick: () => {
              all = true;
              drawRuns();
            },
          },
          t("experiment.all_runs", {n: number(job.runs.length)}),
        ),
    );
    runs.scrollTop = scrolled;
  }

  async function choose() {
    try {
      if (ended(job.state)) await read();
      draw();
    } catch (problem) {
      fill(error, h("p", {class: "note bad", role: "alert"}, problem.message));
    }
  }

  /** The figure of all runs of an experiment that is over; the events have had it for one that is not. */
  async function read() {
    const wanted = figure;
    const missing = job.runs.some(
      (run) => run.epoch !== null && (curves.get(run.run)?.[wanted].length ?? 0) <= run.epoch,
    );
    if (!missing) return;
    for (const {run, values} of (await get(`${path}/curves`, {query: {figure: wanted}})).runs) {
      if (!curves.has(run)) curves.set(run, blank());
      curves.get(run)[wanted] = values;
    }
  }

  async function draw() {
    if (!curves.size) {
      fill(box, h("p", {class: "muted"}, ended(job.state) ? t("job.no_epoch") : t("job.first_epoch")));
      return;
    }
    plot ??= chart(box, {height: 420});
    overlay(await plot);
  }

  // One trace for all runs of a leading configuration, and one for all runs of a band of the others: a trace costs more
  // than its points, and of these no more are drawn than can be distinguished.
  function overlay(made) {
    const ranks = new Map(job.leaderboard.map((row) => [row.configuration, row.rank]));
    const known = job.runs.filter((run) => curves.has(run.run));
    const others = Math.max(1, ranks.size - LEADERS);
    const groups = new Map();
    for (const run of known) {
      const rank = ranks.get(run.configuration);
      const place = rank <= LEADERS ? rank : LEADERS + 1 + Math.floor((BANDS * (rank - LEADERS - 1)) / others);
      if (!groups.has(place)) groups.set(place, []);
      groups.get(place).push(run);
    }
    const traces = [...groups.keys()]
      .sort((a, b) => b - a)
      .map((place) => {
        const runs = groups.get(place);
        const leads = place <= LEADERS;
        return {
          ...joined(runs, leads ? POINTS : POINTS / 3),
          name: leads ? `${place}. ${words(settings.get(runs[0].configuration))}` : "",
          colour: leads ? place - 1 : 8,
          width: leads ? 2 : 1,
          opacity: leads ? 0.95 : 0.5 - (0.35 * (place - LEADERS - 1)) / BANDS,
          legend: leads,
          step: figure === "lr",
          hover: leads ? "%{text}: %{y:.4g}<extra></extra>" : null,
        };
      });
    made.update({
      traces,
      x: {title: t("job.epoch"), range: [0.5, job.spec.base.epochs + 0.5]},
      y: {title: t(`job.${figure}`)},
      legend: true,
      reversed: true,
      closest: true,
      onZoom(range) {
        shown = range;
        redraw();
      },
      label: t("experiment.figure_label", {n: known.length}),
      key: figure,
    });
  }

  /** The curves of some runs one after another, with gaps between them. */
  function joined(runs, most) {
    const x = [];
    const y = [];
    const text = [];
    for (const run of runs) {
      const name = `${t("experiment.run")} ${run.run}, ${t("experiment.seed")} ${run.seed}`;
      const values = curves.get(run.run)[figure];
      for (const i of places(values, shown, most)) {
        x.push(i + 1);
        y.push(values[i]);
        text.push(name);
      }
      x.push(null);
      y.push(null);
      text.push("");
    }
    return {x, y, text};
  }

  async function refresh() {
    try {
      const state = job.state;
      job = await get(path, {query: {by, baseline}});
      describe();
      drawBoard();
      drawRuns();
      redraw();
      if (ended(job.state) && !ended(state)) stopFollowing();
    } catch (problem) {
      if (problem.name !== "AbortError" && problem.status)
        fill(error, h("p", {class: "note bad", role: "alert"}, problem.message));
    }
  }

  const redraw = throttled(draw, job.runs.length > 20 ? 1000 : 300);
  const reread = throttled(refresh, 1000);
  let stopFollowing = () => {};
  document.addEventListener("themechange", drawBoard);
  describe();
  drawBoard();
  drawRuns();
  if (ended(job.state)) {
    await read();
    draw();
  } else {
    draw();
    stopFollowing = follow(job.links.events, null, (event) => {
      const {data} = event;
      if (event.event === "progress") {
        job = {...job, progress: data};
        bar.update(job);
      } else if (event.event === "epoch") {
        put(curves, data.run, data.epoch, data);
        redraw();
      } else reread();
    });
  }
  const stopPolling = polling(
    async () => {
      if (!ended(job.state)) await refresh();
    },
    () => 5,
  );
  return () => {
    document.removeEventListener("themechange", drawBoard);
    stopFollowing();
    stopPolling();
    redraw.stop();
    reread.stop();
    plot?.then((made) => made.destroy());
  };
}

/** Which values of a curve are drawn: all, or of each of so many stretches the lowest and the highest, and the ends. */
function places(values, range, most) {
  const from = Math.max(0, Math.floor(range?.[0] ?? 0) - 2);
  const to = Math.min(values.length, Math.ceil(range?.[1] ?? values.length) + 1);
  const found = [];
  const wide = Math.ceil((2 * (to - from)) / most);
  for (let begin = from; begin < to; begin += wide) {
    let low = begin;
    let high = begin;
    for (let i = begin; i < Math.min(begin + wide, to); i += 1) {
      if (values[i] < values[low]) low = i;
      if (values[i] > values[high]) high = i;
    }
    found.push(Math.min(low, high));
    if (low !== high) found.push(Math.max(low, high));
  }
  if (to > from && found.at(-1) !== to - 1) found.push(to - 1);
  return found;
}

function blank() {
  return Object.fromEntries(FIGURES.map((name) => [name, []]));
}

function put(curves, run, epoch, values) {
  let curve = curves.get(run);
  if (!curve) curves.set(run, (curve = blank()));
  for (const name of FIGURES) curve[name][epoch] = name === "lr" ? values.lr[0] : values[name];
}

/** What a configuration sets, in a line. */
function words(settings) {
  const found = Object.entries(settings ?? {}).map(([name, value]) =>
    name === "schedule" ? scheduleWords(value) : `${name} ${plainly(value)}`,
  );
  return found.join(", ") || t("experiment.base");
}

function scheduleWords(schedule) {
  if (!schedule) return scheduleName(schedule);
  const set = Object.entries(schedule).filter(([name, value]) => name !== "type" && typeof value === "number" && value);
  return [schedule.type, ...set.slice(0, 2).map(([name, value]) => `${name}=${number(value, 3)}`)].join(" ");
}

function plainly(value) {
  if (value === null || value === undefined) return t("job.fixed_rate");
  if (typeof value === "object") return value.type ? scheduleWords(value) : JSON.stringify(value);
  return value;
}

function cell(value) {
  return typeof value === "number" ? number(value) : String(value);
}

function spread(statistic) {
  if (!statistic) return "–";
  return statistic.std === null
    ? percent(statistic.mean)
    : `${(100 * statistic.mean).toFixed(2)} ± ${(100 * statistic.std).toFixed(2)} %`;
}

function interval(difference) {
  if (!difference) return "–";
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(2)}`;
  const ends = difference.low === null ? "" : ` [${points(difference.low)}, ${points(difference.high)}]`;
  return `${points(difference.mean)}${ends}`;
}

function states(runs) {
  return h(
    "span",
    {class: "row tight"},
    Object.entries(runs).map(([state, n]) => h("span", {class: "nowrap"}, badge(state), ` ${n}`)),
  );
}

/** Order of two cells; those that are empty come last, whichever way. */
function compared(a, b, down) {
  const none = (value) => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  const way = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return down ? -way : way;
}
