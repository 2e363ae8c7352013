// A new job: a form, or JSON, with what the service says of it as it is typed.

import {Problem, get, post} from "../api.js";
import {chart} from "../chart.js";
import {fill, h, uid} from "../dom.js";
import {form} from "../form.js";
import {copyButton, number} from "../parts.js";
import {converted, kinds, request as asked, withAxes} from "../spec.js";
import {t, translated} from "../texts.js";
import {address, facts} from "../work.js";

const WAIT = 200; // ms without a key before the service is asked
const POINTS = 2000; // of a curve that is drawn
const FIRST = {
  model: {type: "lenet"},
  dataset: {type: "digits"},
  optimizer: {type: "SGD", lr: 0.1, momentum: 0.9},
  schedule: {type: "CosineAnnealingLR", T_max: 20},
  epochs: 20,
  batch_size: 64,
};
// what few jobs need
const ADVANCED = new Set(
  `last_epoch drop_last micro_batch_size eval_batch_size precision label_smoothing max_grad_norm ema_decay
    early_stopping deterministic export momentum_schedule weight_decay_schedule priority hardware max_attempts
    max_seconds param_groups layer_decay decay_norm_and_bias dampening nesterov maximize eps betas amsgrad
    centered freeze subset test_subset split_seed validation_split resize normalize flip crop cutout smoothing
    stop_factor mode prune`.split(/\s+/),
);

export async function show(root, params) {
  const [known, begin] = await Promise.all([kinds(), start(params.query)]);
  let {kind, value} = begin;
  let view = null; // the form, or null while JSON is edited
  let text = null; // the JSON as it is typed
  let timer = null;
  let asking = null;
  let sent = null;
  let plot = null;

  const editor = h("div");
  const messages = h("div", {class: "stack"});
  const plan = h("div", {class: "stack", "aria-live": "polite"});
  const box = h("div");
  const says = h("p", {class: "muted"});
  const types = Object.keys(known.kinds);
  const choices = types.map((type) =>
    h(
      "label",
      {class: "check"},
      h("input", {type: "radio", name: "kind", value: type, checked: type === kind, onchange: () => choose(type)}),
      t(`kinds.${type}`),
    ),
  );
  const asForm = h(
    "button",
    {type: "button", role: "tab", id: uid("tab"), onclick: () => edit(false)},
    t("submit.form"),
  );
  const asJson = h(
    "button",
    {type: "button", role: "tab", id: uid("tab"), onclick: () => edit(true)},
    t("submit.json"),
  );
  const tabs = h(
    "div",
    {
      class: "tabs",
      role: "tablist",
      "aria-label": t("submit.how"),
      onkeydown: (event) => {
        if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
        const other = document.activeElement === asForm ? asJson : asForm;
        other.focus();
        other.click();
      },
    },
    asForm,
    asJson,
  );
  const panel = h("div", {role: "tabpanel"}, editor);
  const go = h("button", {type: "submit", class: "primary"});
  const labels = h("input", {
    id: uid("labels"),
    placeholder: "team=vision, try=2",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "labels-error",
    oninput: () => ask(),
  });
  const labelsError = h("span", {class: "error", id: "labels-error", hidden: true});
  const labelled = h("div", {class: "field"}, h("label", {for: labels.id}, t("submit.labels")), labels, labelsError);

  const page = h(
    "form",
    {
      class: "columns submit",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        submit();
      },
    },
    h(
      "section",
      {class: "card stack", "aria-label": t("submit.what")},
      h("fieldset", {}, h("legend", {}, t("submit.kind")), h("div", {class: "row"}, choices), says),
      tabs,
      panel,
      labelled,
    ),
    h(
      "section",
      {class: "card stack beside", "aria-label": t("submit.plan")},
      h("h2", {}, t("submit.plan")),
      box,
      plan,
      messages,
      h(
        "div",
        {class: "row"},
        go,
        copyButton(() => JSON.stringify(now() ?? {}, null, 2), t("submit.copy")),
      ),
    ),
  );
  fill(root, h("h1", {}, t("submit.title")), begin.from && h("p", {class: "note"}, begin.from), page);

  function words() {
    return labels.value.split(/[,\s]+/).filter(Boolean);
  }

  /** The request, or null while the JSON cannot be read. */
  function now() {
    if (view) return {...view.get(), ...(words().length ? {labels: words()} : {})};
    try {
      const found = JSON.parse(text.value);
      return found && typeof found === "object" && !Array.isArray(found) ? found : null;
    } catch {
      return null;
    }
  }

  function choose(type) {
    value = converted(now() ?? value, kind, type);
    kind = type;
    draw(text !== null);
  }

  function edit(json) {
    const found = now();
    if (found === null) return say([t("submit.not_json")]);
    value = found;
    return draw(json);
  }

  /** Shows the form, or the JSON, of the value. */
  function draw(json) {
    for (const [tab, mine] of [
      [asForm, !json],
      [asJson, json],
    ]) {
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", (json ? asJson : asForm).id);
    says.textContent = t(`submit.about_${kind}`);
    go.textContent = t(`submit.go_${kind}`);
    labelled.hidden = json;
    if (json) {
      view = null;
      text = h("textarea", {
        rows: 28,
        spellcheck: "false",
        "aria-label": t("submit.json"),
        value: JSON.stringify(value, null, 2),
        oninput: () => ask(),
      });
      fill(editor, text);
    } else {
      text = null;
      labels.value = (value.labels ?? []).join(", ");
      view = made();
      fill(editor, view.element);
    }
    ask(0);
  }

  function made() {
    const {schema} = known.kinds[kind];
    const optimizer = (kind === "experiment" ? value.base : value)?.optimizer?.type ?? "SGD";
    return form(kind === "experiment" ? withAxes(schema, optimizer, value.grid) : schema, {
      value,
      catalogue: known.members,
      steps: () => (kind === "experiment" ? value.base : value)?.epochs ?? 100,
      advanced: (name) => ADVANCED.has(name),
      skip: (name) => name === "labels",
      onChange() {
        if (kind === "experiment" && view.get().base?.optimizer?.type !== optimizer)
          edit(false); // it has other axes
        else ask();
      },
    });
  }

  function ask(wait = WAIT) {
    clearTimeout(timer);
    asking?.abort();
    sent = null;
    timer = setTimeout(plans, wait);
  }

  async function plans() {
    const body = now();
    if (body === null) return say([t("submit.not_json")]);
    if (view && !view.valid()) return undefined;
    asking = new AbortController();
    const {signal} = asking;
    try {
      const answer = await post(known.kinds[kind].submit, body, {query: {dry_run: true}, signal});
      say([]);
      await tell(answer);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      refused(error);
    }
    return undefined;
  }

  function refused(error) {
    if (!(error instanceof Problem) || !error.errors.length) return say([error.message]);
    const found = error.errors.map((each) => ({...each, loc: each.loc[0] === "body" ? each.loc.slice(1) : each.loc}));
    const own = found.filter((each) => each.loc[0] === "labels");
    labelsError.textContent = own[0]?.msg ?? "";
    labelsError.hidden = !own.length;
    const others = view ? view.errors(found.filter((each) => each.loc[0] !== "labels")) : found;
    const beside = found.length - others.length;
    return say([
      ...others.map((each) => `${each.loc.join(".")}: ${each.msg}`),
      ...(beside && view ? [t("submit.wrong", {n: beside})] : []),
    ]);
  }

  function say(list) {
    if (!list.length) {
      view?.errors([]);
      labelsError.hidden = true;
    } else fill(plan);
    go.disabled = list.length > 0;
    fill(
      messages,
      list.map((each) => h("p", {class: "note bad", role: "alert"}, each)),
    );
  }

  async function tell(answer) {
    const pairs =
      answer.runs === undefined
        ? [
            [t("submit.steps"), number(answer.steps)],
            [t("submit.steps_per_epoch"), number(answer.steps_per_epoch)],
          ]
        : [
            [t("submit.configurations"), number(answer.configurations)],
            [t("submit.runs"), number(answer.runs)],
            [t("submit.steps_in_all"), number(answer.steps)],
            [t("submit.steps_per_epoch"), number(answer.steps_per_epoch)],
          ];
    fill(
      plan,
      facts(pairs),
      answer.warnings.map((each) => h("p", {class: "note warn"}, translated(each.message))),
      answer.lr === null && h("p", {class: "note"}, t("submit.follows_metric")),
    );
    box.hidden = !answer.lr;
    if (!answer.lr) return;
    plot ??= chart(box, {height: 260}); // one, whoever asks first
    const spec = answer.spec;
    const counted = spec.interval === "epoch" ? t("job.epoch") : t("job.step");
    (await plot).update({
      traces: answer.lr.map((rates, i) => ({
        name: answer.lr.length > 1 ? t("job.lr_of", {n: i}) : t("job.lr"),
        ...thin(rates),
        colour: i,
        step: spec.interval === "epoch",
      })),
      x: {title: kind === "lr_range_test" ? t("job.step") : counted},
      y: {title: t("job.lr"), log: kind === "lr_range_test" && spec.mode === "exp", zero: kind !== "lr_range_test"},
      label: t("submit.curve_label", {n: number(answer.lr[0].length)}),
    });
  }

  async function submit() {
    const body = now();
    if (body === null || (view && !view.valid())) return;
    go.disabled = true;
    sent ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // a second click makes no second job
    try {
      const job = await post(known.kinds[kind].submit, body, {headers: {"Idempotency-Key": sent}});
      location.hash = address(job);
    } catch (error) {
      refused(error);
      go.disabled = false;
      messages.querySelector("[role=alert]")?.scrollIntoView({block: "nearest"});
    }
  }

  draw(false);
  return () => {
    clearTimeout(timer);
    asking?.abort();
    plot?.then((each) => each.destroy());
  };
}

/** What the form begins with, from the view's address. */
async function start(query) {
  if (query.get("clone")) {
    const job = await get(`/v1/jobs/${encodeURIComponent(query.get("clone"))}`);
    return {kind: job.kind, value: asked(job), from: t("submit.from_job", {id: job.id})};
  }
  if (query.get("run")) {
    const [id, run] = query.get("run").split("/");
    const found = await get(`/v1/experiments/${encodeURIComponent(id)}/runs/${encodeURIComponent(run)}`);
    return {kind: "training", value: found.spec, from: t("submit.from_run", {run, id})};
  }
  const kind = ["lr_range_test", "experiment"].includes(query.get("kind")) ? query.get("kind") : "training";
  let given = {};
  try {
    given = JSON.parse(query.get("spec") ?? "{}");
  } catch {
    /* an address that was cut off: the form begins as ever */
  }
  if (given.base) return {kind: "experiment", value: given, from: null};
  const value = {...FIRST, ...given};
  if (given.optimizer && !given.optimizer.type) value.optimizer = {...FIRST.optimizer, ...given.optimizer};
  if (given.schedule === undefined && Object.keys(given).length) delete value.schedule;
  return {kind, value: converted(value, "training", kind), from: null};
}

/** At most so many points of a curve, its ends among them. */
function thin(rates) {
  const every = Math.ceil(rates.length / POINTS);
  const x = [];
  const y = [];
  for (let i = 0; i < rates.length; i += every) {
    x.push(i);
    y.push(rates[i]);
  }
  if (rates.length && x.at(-1) !== rates.length - 1) {
    x.push(rates.length - 1);
    y.push(rates.at(-1));
  }
  return {x, y};
}
