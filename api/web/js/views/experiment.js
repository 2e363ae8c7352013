// One experiment: the leaderboard, the curves of all runs on top of each other, the runs. Live while it is not over.

import {follow, get, request} from "../api.js";
import {chart, traceColour} from "../chart.js";
import {fill, h, uid} from "../dom.js";
import {number} from "../parts.js";
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
const SHOWN = 200; // rows of the table of runs, until all are asked for
const FIGURES = ["test_accuracy", "train_loss", "test_loss", "lr"];

export async function show(root, params) {
  const path = `/v1/experiments/${encodeURIComponent(params.id)}`;
  let by = "final";
  let baseline = null;
  let job = await get(path);
  const curves = new Map(); // run -> {field: values by epoch}
  let figure = FIGURES[0];
  let order = {column: "rank", down: false};
  let all = false;

  const head = heading(job, () => refresh());
  const bar = progress(job);
  const described = h("div");
  const error = h("div");
  const box = h("div");
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
            draw();
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
    const shown = all ? job.runs : job.runs.slice(0, SHOWN);
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
          shown.map((run) =>
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
      shown.length < job.runs.length &&
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

  async function draw() {
    if (!curves.size) {
      fill(box, h("p", {class: "muted"}, ended(job.state) ? t("job.no_epoch") : t("job.first_epoch")));
      return;
    }
    plot ??= chart(box, {height: 420});
    overlay(await plot);
  }

  function overlay(made) {
    const ranks = new Map(job.leaderboard.map((row) => [row.configuration, row.rank]));
    const known = job.runs.filter((run) => curves.has(run.run));
    known.sort((a, b) => ranks.get(b.configuration) - ranks.get(a.configuration)); // the leaders on top
    const first = new Set();
    const traces = known.map((run) => {
      const rank = ranks.get(run.configuration);
      const leads = rank <= LEADERS;
      const values = curves.get(run.run)[figure];
      const named = leads && !first.has(run.configuration);
      if (named) first.add(run.configuration);
      const name = `${rank}. ${words(settings.get(run.configuration))}`;
      return {
        name,
        x: epochsOf(values.length),
        y: values,
        colour: leads ? rank - 1 : 8,
        width: leads ? 2 : 1,
        opacity: leads ? 0.95 : Math.max(0.12, 0.5 * (1 - rank / ranks.size)),
        legend: named,
        step: figure === "lr",
        hover: `${t("experiment.run")} ${run.run}, ${t("experiment.seed")} ${run.seed}: %{y:.4g}<extra></extra>`,
      };
    });
    made.update({
      traces,
      x: {title: t("job.epoch"), range: [0.5, job.spec.base.epochs + 0.5]},
      y: {title: t(`job.${figure}`)},
      legend: true,
      reversed: true,
      label: t("experiment.figure_label", {n: known.length}),
      key: figure,
    });
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
    read(await (await request(`${path}/metrics`)).text(), curves);
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

const counted = new Map();

/** 1, 2, … n: one list for all curves of a length. */
function epochsOf(n) {
  if (!counted.has(n))
    counted.set(
      n,
      Array.from({length: n}, (_, i) => i + 1),
    );
  return counted.get(n);
}

function put(curves, run, epoch, values) {
  let curve = curves.get(run);
  if (!curve) curves.set(run, (curve = Object.fromEntries(FIGURES.map((name) => [name, []]))));
  for (const name of FIGURES) curve[name][epoch] = name === "lr" ? values.lr[0] : values[name];
}

/** The CSV of every epoch of every run, into `curves`. Quoted cells hold commas: such lines are read, not split. */
export function read(csv, curves) {
  const lines = csv.split("\n");
  const names = lines[0].split(",");
  const places = Object.fromEntries(["run", "epoch", ...FIGURES].map((name) => [name, names.indexOf(name)]));
  for (let i = 1; i < lines.length; i += 1) {
    if (!lines[i]) continue;
    const cells = lines[i].includes('"') ? cellsOf(lines[i]) : lines[i].split(",");
    const values = {lr: [parseFloat(cells[places.lr].replace(/^\[/, ""))]};
    for (const name of FIGURES) if (name !== "lr") values[name] = Number(cells[places[name]]);
    put(curves, Number(cells[places.run]), Number(cells[places.epoch]), values);
  }
}

function cellsOf(line) {
  const cells = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/gy;
  for (let found = pattern.exec(line); found && pattern.lastIndex <= line.length; found = pattern.exec(line)) {
    cells.push(found[1]?.replaceAll('""', '"') ?? found[2]);
    if (pattern.lastIndex === line.length && !line.endsWith(",")) break;
  }
  return cells;
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
