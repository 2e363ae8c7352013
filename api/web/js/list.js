// A list of jobs, or of experiments: filters, pages, rows that change in place.

import {Offline, get} from "./api.js";
import {fill, h, uid} from "./dom.js";
import {empty, failure, loading, number} from "./parts.js";
import {t, tOr} from "./texts.js";
import {STATES, address, badge, ended, moment, percent, polling, progress, sparkline} from "./work.js";

const LIMIT = 20;
const AT_ONCE = 4; // requests for sparklines

/**
 * Fills `root` with a list. Returns what takes it down.
 *
 * what: {path (of the API), name ("jobs" or "experiments", of the answer's texts), labels (whether there is a filter by
 *        label), beside (elements above the list)}
 */
export function list(root, params, what) {
  const asked = {
    state: params.query.get("state") ?? "",
    label: params.query.get("label") ?? "",
    cursor: params.query.get("cursor") ?? "",
  };
  const before = []; // cursors of the newer pages, for the way back
  const rows = new Map();
  const curves = new Map(); // id -> test accuracies, or smoothed losses of a range test
  let next = null;
  let turn = 0;
  let busy = false;

  const state = h(
    "select",
    {id: uid("state"), value: asked.state, onchange: () => filter({state: state.value})},
    h("option", {value: ""}, t("list.all_states")),
    STATES.map((each) => h("option", {value: each}, t(`states.${each}`))),
  );
  const label = h("input", {
    id: uid("label"),
    value: asked.label,
    placeholder: "team=vision",
    autocomplete: "off",
    spellcheck: "false",
    onchange: () => filter({label: label.value.trim()}),
  });
  const newest = h("button", {type: "button", onclick: () => go("", "newest")}, t("list.newest"));
  const newer = h("button", {type: "button", onclick: () => go(before.pop() ?? "", "newer")}, t("list.newer"));
  const older = h(
    "button",
    {
      type: "button",
      onclick: () => {
        before.push(asked.cursor);
        go(next, "older");
      },
    },
    t("list.older"),
  );
  const body = h("tbody");
  const heads = ["state", "what", "progress", "curve", "created"].map((name) =>
    h("th", {scope: "col"}, t(`list.${name}`)),
  );
  const table = h(
    "table",
    {class: "list", "aria-label": t(`${what.name}.title`)},
    h("thead", {}, h("tr", {}, heads)),
    body,
  );
  const content = h("div", {}, loading());
  const trouble = h("div");

  fill(
    root,
    h(
      "div",
      {class: "row spread"},
      h("h1", {}, t(`${what.name}.title`)),
      h("a", {class: "button primary", href: what.submit}, t(`${what.name}.new`)),
    ),
    what.beside,
    h(
      "div",
      {class: "card stack"},
      h(
        "div",
        {class: "row filters"},
        h("div", {class: "field"}, h("label", {for: state.id}, t("list.state")), state),
        what.labels && h("div", {class: "field"}, h("label", {for: label.id}, t("list.label")), label),
      ),
      trouble,
      content,
      h("div", {class: "row pages"}, newest, newer, older),
    ),
  );

  function filter(change) {
    Object.assign(asked, change);
    before.length = 0;
    go("");
  }

  function go(cursor) {
    asked.cursor = cursor ?? "";
    const given = Object.entries(asked).filter(([, value]) => value);
    history.replaceState(null, "", `#/${what.name}${given.length ? `?${new URLSearchParams(given)}` : ""}`);
    rows.clear();
    fill(content, loading());
    look();
  }

  async function look() {
    turn += 1;
    const mine = turn;
    try {
      const answer = await get(what.path, {
        query: {state: asked.state, label: what.labels ? asked.label : "", cursor: asked.cursor, limit: LIMIT},
      });
      if (mine !== turn) return;
      next = answer.next_cursor;
      busy = answer.jobs.some((job) => !ended(job.state));
      fill(trouble);
      draw(answer.jobs);
      readCurves(answer.jobs, mine);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (rows.size && error instanceof Offline)
        fill(trouble, h("p", {class: "note bad", role: "alert"}, t("state.offline"), ". ", t("state.offline_help")));
      else fill(content, failure(error, look));
    }
  }

  function draw(jobs) {
    newest.hidden = newer.hidden = !asked.cursor;
    older.hidden = !next;
    if (!jobs.length) {
      rows.clear();
      const filtered = asked.state || asked.label || asked.cursor;
      fill(
        content,
        filtered
          ? empty(
              t("list.none_found"),
              t("list.none_found_help"),
              h("button", {type: "button", onclick: clear}, t("list.clear")),
            )
          : empty(
              t(`${what.name}.none`),
              t(`${what.name}.none_help`),
              h("a", {class: "button primary", href: what.submit}, t(`${what.name}.new`)),
            ),
      );
      return;
    }
    const wanted = jobs.map((job) => {
      const row = rows.get(job.id) ?? made(job);
      row.update(job);
      return row;
    });
    const kept = new Set(jobs.map((job) => job.id));
    for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id);
    const elements = wanted.map((row) => row.element);
    if (elements.length !== body.children.length || elements.some((each, i) => body.children[i] !== each))
      fill(body, elements);
    if (table.parentNode !== content) fill(content, table);
  }

  function clear() {
    state.value = "";
    label.value = "";
    filter({state: "", label: ""});
  }

  function made(job) {
    const bar = progress(job);
    const cells = {
      state: h("td"),
      curve: h("td", {class: "curve"}),
      created: h("td", {class: "created"}, moment(job.created_at)),
    };
    const kind =
      job.kind === "training" ? null : h("span", {class: "badge accent"}, tOr(`kinds.${job.kind}`, job.kind));
    const element = h(
      "tr",
      {dataset: {id: job.id}},
      cells.state,
      h(
        "td",
        {class: "what"},
        h("a", {href: address(job)}, job.title),
        " ",
        kind,
        job.labels.map((each) => [" ", h("span", {class: "badge"}, each)]),
      ),
      h("td", {class: "wide"}, bar.element),
      cells.curve,
      cells.created,
    );
    let shown = "";
    const row = {
      element,
      job,
      update(changed) {
        row.job = changed;
        const key = `${changed.state} ${changed.requested}`;
        if (key !== shown) fill(cells.state, badge(changed.state, changed.requested));
        shown = key;
        bar.update(changed);
        drawCurve(row);
      },
    };
    row.curve = cells.curve;
    rows.set(job.id, row);
    return row;
  }

  function drawCurve(row) {
    const {job} = row;
    const values = curves.get(job.id) ?? [];
    const key = `${values.length} ${job.best?.test_accuracy} ${job.state}`;
    if (row.drawn === key) return;
    row.drawn = key;
    if (job.kind === "lr_range_test") {
      fill(row.curve, sparkline(values, {label: t("list.losses")}));
      return;
    }
    fill(
      row.curve,
      sparkline(values, {label: t("list.accuracies")}),
      job.best && h("span", {class: "nowrap"}, percent(job.best.test_accuracy, 1)),
    );
  }

  /** The accuracies of each row that lacks some. The last epoch's, which the list itself has, are not asked for. */
  async function readCurves(jobs, mine) {
    const missing = jobs.filter((job) => {
      const known = curves.get(job.id) ?? [];
      if (job.kind === "lr_range_test") return job.state === "succeeded" && !known.length;
      if (job.kind !== "training" || !job.metrics || known.length > job.metrics.epoch) return false;
      if (known.length === job.metrics.epoch) {
        curves.set(job.id, [...known, job.metrics.test_accuracy]);
        return false;
      }
      return true;
    });
    for (const job of jobs) if (rows.has(job.id)) drawCurve(rows.get(job.id));
    await Promise.all(
      Array.from({length: AT_ONCE}, async () => {
        for (let job = missing.shift(); job && mine === turn; job = missing.shift()) {
          try {
            curves.set(job.id, await curve(job));
            if (rows.has(job.id)) drawCurve(rows.get(job.id));
          } catch {
            /* the row has no line */
          }
        }
      }),
    );
  }

  look();
  const stop = polling(look, () => (busy ? 2 : 8));
  return () => {
    turn = -1;
    stop();
  };
}

/** The values of a job's sparkline. */
async function curve(job) {
  if (job.kind === "lr_range_test")
    return (await get(`/v1/lr-range-tests/${encodeURIComponent(job.id)}/curve`)).result.smoothed_loss;
  return (await get(job.links.metrics)).epochs.map((epoch) => epoch.test_accuracy);
}

/** What waits for whom. */
export function queues(ready) {
  const names = Object.entries(ready.queues);
  if (!names.length) return h("p", {class: "note warn"}, t("queues.no_workers"));
  return h(
    "div",
    {class: "row queues"},
    names.map(([name, queue]) =>
      h(
        "div",
        {class: "queue"},
        h("strong", {}, name),
        h("span", {}, t("queues.waiting", {n: number(queue.waiting)})),
        h("span", {class: queue.workers ? "" : "error"}, t("queues.workers", {n: number(queue.workers)})),
      ),
    ),
  );
}
