// Schedules: any of the catalogue, their curves over each other, and what there is to know and to copy of them.
//
// The whole view is in the address: #/schedules?steps=100&log=1&at=0&curves=[{name, schedule, base_lr, metrics, hidden}].

import {Offline, Problem, connection, get, key, post, request} from "../api.js";
import {chart, sketched, traceColour} from "../chart.js";
import {announce, fill, h, icon, isNarrow, uid} from "../dom.js";
import {form, stretched} from "../form.js";
import {copyButton, empty, failure, loading, number} from "../parts.js";
import {picker} from "../picker.js";
import {t, tOr, translated} from "../texts.js";

const POINTS = 1000;  // of a curve on the screen; longer runs are sampled evenly
const FRAMEWORKS = ["torch", "optax", "keras", "transformers", "timm"];
const FIRST = {
  steps: 100,
  curves: [
    {name: "OneCycleLR", base_lr: 0.1, schedule: {type: "OneCycleLR", max_lr: 0.1, total_steps: 100}},
    {name: "CosineAnnealingLR", base_lr: 0.1, schedule: {type: "CosineAnnealingLR", T_max: 100}},
  ],
};
const RUN = {
  type: "object",
  properties: {
    steps: {type: "integer", minimum: 1, maximum: 10000000},
    steps_per_epoch: {anyOf: [{type: "integer", minimum: 1, maximum: 10000000}, {type: "null"}], default: null},
  },
  required: ["steps"],
};
const RATE = {
  type: "object",
  properties: {
    base_lr: {anyOf: [{type: "number", minimum: 0}, {type: "array", items: {type: "number", minimum: 0}}]},
  },
};

const catalogue = {};  // entries of /v1/schedules by type, as far as they are known
let listing = null;
let kept = null;  // the view's address when it was left

async function entry(type) {
  catalogue[type] ??= await get(`/v1/schedules/${encodeURIComponent(type)}`);
  return catalogue[type];
}

function list() {
  listing ??= get("/v1/schedules").then(
    ({schedules}) => schedules.forEach((each) => { catalogue[each.type] ??= each; }),
    (error) => {
      listing = null;
      throw error;
    },
  );
  return listing;
}

/** What an address says; null where it cannot be read. */
function read(query) {
  const words = query.get("curves");
  if (words === null) return structuredClone(FIRST);
  try {
    const curves = JSON.parse(words);
    if (!Array.isArray(curves) || !curves.every((each) => typeof each?.schedule?.type === "string")) return null;
    const steps = Number(query.get("steps") ?? 100);
    return {
      steps: Number.isInteger(steps) && steps > 0 ? steps : 100,
      steps_per_epoch: Number(query.get("steps_per_epoch")) || undefined,
      log: query.get("log") === "1",
      at: Number(query.get("at")) || 0,
      curves,
    };
  } catch {
    return null;
  }
}

export async function show(root, {query}) {
  const given = query.has("curves") || !kept ? query : new URLSearchParams(kept);
  const view = new Schedules(read(given) ?? structuredClone(FIRST), read(given) === null);
  await view.open(root);
  return () => view.close();
}

class Schedules {
  constructor(state, unread) {
    this.run = {steps: state.steps, steps_per_epoch: state.steps_per_epoch};
    this.log = Boolean(state.log);
    this.momentum = true;
    this.unread = unread;
    this.tab = "json";
    this.closing = new AbortController();
    this.curves = [];
    for (const each of state.curves) this.put(each);
    this.at = Math.max(0, Math.min(state.at ?? 0, this.curves.length - 1));
  }

  /** A curve more. Its colour is the first that no other has. */
  put(given) {
    const used = new Set(this.curves.map((each) => each.colour));
    let colour = 0;
    while (used.has(colour)) colour += 1;
    const curve = {
      name: this.unique(String(given.name ?? given.schedule.type)), schedule: given.schedule, base_lr: given.base_lr,
      metrics: Array.isArray(given.metrics) ? given.metrics : null, hidden: Boolean(given.hidden),
      colour, answer: null, problem: null, busy: false, again: false,
    };
    this.curves.push(curve);
    return curve;
  }

  unique(name, but = null) {
    const others = new Set(this.curves.filter((each) => each !== but).map((each) => each.name));
    let found = name;
    for (let i = 2; others.has(found); i += 1) found = `${name} ${i}`;
    return found;
  }

  get selected() {
    return this.curves[this.at] ?? null;
  }

  /** The curves that are there to be seen. */
  get seen() {
    return this.curves.filter((each) => !each.hidden && each.answer);
  }

  // Making the page.

  async open(root) {
    this.chartBox = h("div", {class: "chart-box"}, loading());
    this.nothing = h("p", {class: "nothing-shown muted", hidden: true}, t("schedules.no_facts"));
    this.rows = h("ul", {class: "curves"});
    this.editor = h("section", {class: "card stack editor", "aria-label": t("schedules.editor")});
    this.facts = h("section", {class: "card stack", "aria-label": t("schedules.facts")});
    this.code = h("section", {class: "card stack", "aria-label": t("schedules.code")});
    const title = h(
      "div", {class: "row spread"},
      h("h1", {}, t("schedules.title")),
      h("div", {class: "row"}, this.downloads(), copyButton(() => this.link(), t("schedules.copy_link")), this.train = h("a", {class: "button primary small", href: "#/submit"}, t("schedules.train"))),
    );
    const curves = h(
      "section", {class: "card stack curve-card", "aria-label": t("schedules.curves")},
      h("h2", {}, t("schedules.curves")), this.rows,
      h("div", {class: "row"}, h("button", {type: "button", class: "small", onclick: () => this.add()}, t("schedules.add")), this.twin = h("button", {type: "button", class: "small", onclick: () => this.duplicate()}, t("schedules.duplicate"))),
    );
    const picture = h("section", {class: "card stack picture", "aria-label": t("schedules.picture")}, this.controls(), h("div", {class: "chart-frame"}, this.chartBox, this.nothing));
    fill(
      root, title,
      this.unread && h("p", {class: "note warn", role: "alert"}, t("schedules.unread")),
      h("div", {class: "workbench"}, h("div", {class: "stack side"}, curves, this.editor), h("div", {class: "stack shown"}, picture, this.facts, this.code)),
    );
    this.listen();
    this.drawRows();
    this.curves.forEach((each) => this.compute(each));
    this.draw();
    this.filled = this.edit();
    await this.filled;
    if (!this.closing.signal.aborted) this.drawCode();
  }

  listen() {
    const {signal} = this.closing;
    connection.addEventListener("change", () => {
      if (connection.state === "online") this.curves.filter((each) => each.problem instanceof Offline).forEach((each) => this.compute(each));
    }, {signal});
    document.addEventListener("themechange", () => { this.drawRows(); this.drawFacts(); }, {signal});
  }

  close() {
    clearTimeout(this.writing);
    clearTimeout(this.translating);
    kept = this.address();
    this.closing.abort();
    this.chart?.destroy();
  }

  controls() {
    this.runForm = form(RUN, {value: this.run, steps: () => Math.max(500, this.run.steps), onChange: () => this.ran()});
    const log = h("input", {type: "checkbox", checked: this.log, onchange: () => { this.log = log.checked; this.changed(); }});
    const momentum = h("input", {type: "checkbox", checked: true, onchange: () => { this.momentum = momentum.checked; this.changed(); }});
    this.momentumBox = h("label", {class: "check", hidden: true}, momentum, t("schedules.momentum"));
    return h(
      "div", {class: "controls"}, this.runForm.element,
      h("div", {class: "row switches"}, h("label", {class: "check"}, log, t("schedules.log")), this.momentumBox, h("button", {type: "button", class: "small", onclick: () => this.chart?.home()}, t("schedules.whole"))),
    );
  }

  ran() {
    if (!this.runForm.valid()) return;
    this.run = {...this.runForm.get()};
    for (const each of this.curves) this.compute(each);
    this.changed();
  }

  /** The list of curves: choose, show or hide, remove. */
  drawRows() {
    const group = "curve-choice";
    fill(this.rows, this.curves.map((curve, i) => {
      const id = uid("curve");
      const colour = traceColour(curve.colour);
      const choice = h("input", {type: "radio", name: group, id, checked: i === this.at, onchange: () => this.select(i)});
      const seen = h("button", {
        type: "button", class: "bare small", "aria-pressed": String(!curve.hidden), "aria-label": t("schedules.shown", {name: curve.name}),
        title: t(curve.hidden ? "schedules.show" : "schedules.hide"), onclick: () => this.toggle(i),
      }, icon(curve.hidden ? "hidden" : "eye"));
      const gone = h("button", {type: "button", class: "bare small", "aria-label": t("schedules.remove", {name: curve.name}), title: t("schedules.remove", {name: curve.name}), onclick: () => this.remove(i)}, icon("close"));
      return h(
        "li", {class: `curve-row${i === this.at ? " chosen" : ""}${curve.hidden ? " hidden-curve" : ""}`},
        choice,
        h("label", {for: id}, h("span", {class: "line-swatch", style: {background: colour}, "aria-hidden": "true"}), h("span", {class: "curve-name"}, curve.name), curve.problem && h("span", {class: "badge bad"}, t("schedules.wrong"))),
        seen, gone,
      );
    }));
    this.twin.disabled = !this.selected;
  }

  select(i) {
    this.at = i;
    this.drawRows();
    this.rows.querySelector("input:checked")?.focus();
    this.edit();
    this.changed();
  }

  toggle(i) {
    const curve = this.curves[i];
    curve.hidden = !curve.hidden;
    this.drawRows();
    this.rows.children[i].querySelector("button").focus();
    this.changed();
  }

  remove(i) {
    const [gone] = this.curves.splice(i, 1);
    gone.again = false;
    announce(t("schedules.removed", {name: gone.name}));
    if (i < this.at || this.at >= this.curves.length) this.at = Math.max(0, this.at - 1);
    this.drawRows();
    (this.rows.querySelector("input:checked") ?? this.rows.nextElementSibling.querySelector("button")).focus();
    this.edit();
    this.changed();
  }

  async add() {
    const curve = this.put({schedule: {type: "StepLR", step_size: Math.max(1, Math.round(this.run.steps / 5)), gamma: 0.5}, base_lr: 0.1});
    await this.begin(curve);
    this.editor.querySelector(".picker input")?.focus();
  }

  async duplicate() {
    const {name, schedule, base_lr, metrics} = this.selected;
    await this.begin(this.put(structuredClone({name, schedule, base_lr, metrics})));
    this.editor.querySelector("input")?.focus();
  }

  async begin(curve) {
    this.at = this.curves.indexOf(curve);
    announce(t("schedules.added", {name: curve.name}));
    this.compute(curve);
    this.drawRows();
    this.changed();
    await this.edit();
  }

  // The form of the chosen curve.

  async edit() {
    const curve = this.selected;
    this.forms = null;
    if (!curve) {
      fill(this.editor, empty(t("schedules.none"), t("schedules.none_help"), h("button", {type: "button", class: "primary", onclick: () => this.add()}, t("schedules.add"))));
      return;
    }
    const {type} = curve.schedule;
    try {
      if (!catalogue[type]) fill(this.editor, loading());
      await entry(type);
    } catch (error) {
      if (curve !== this.selected || this.closing.signal.aborted) return;
      fill(this.editor, this.pick(curve), failure(error, () => this.edit()));
      return;
    }
    if (curve === this.selected && type === curve.schedule.type && !this.closing.signal.aborted) this.drawEditor(curve, catalogue[type]);
  }

  drawEditor(curve, {summary, formula, origin, parameters}) {
    const nameId = uid("name");
    const name = h("input", {type: "text", id: nameId, value: curve.name, maxlength: 200, oninput: () => this.rename(curve, name)});
    const schedule = form(parameters, {
      value: curve.schedule, catalogue, steps: () => this.run.steps, prepare: (part) => part,
      onChange: () => {
        curve.schedule = schedule.get();
        this.edited(curve);
      },
    });
    const rate = form(RATE, {
      value: {base_lr: curve.base_lr},
      onChange: () => {
        curve.base_lr = rate.get().base_lr;
        this.edited(curve);
      },
    });
    const metrics = this.driven(curve) ? this.metricsField(curve) : null;
    this.forms = {schedule, rate, metrics, rest: h("div", {class: "stack problems", role: "alert"})};
    this.wrapping = h("div", {class: "field"});
    fill(
      this.editor,
      h("div", {class: "field"}, h("label", {for: nameId}, t("schedules.name")), name),
      this.pick(curve),
      h("div", {class: "about"}, h("p", {}, capital(translated(summary))), h("p", {class: "formula"}, h("code", {}, translated(formula))), h("p", {class: "muted"}, t("schedules.origin", {origin: translated(origin)}))),
      this.wrapping,
      this.forms.rest, metrics?.element, rate.element, schedule.element,
    );
    this.drawWrapping(curve);
    this.tell(curve);
  }

  pick(curve) {
    const choose = picker({
      label: t("schedules.schedule"), value: curve.schedule.type, members: () => Object.keys(catalogue), catalogue,
      visibleLabel: true, onPick: (type) => this.become(curve, type),
    });
    choose.input.addEventListener("focus", () => { list().then(() => choose.refresh(), () => {}); });
    return choose.element;
  }

  /** Another schedule, from its example, made to fit the run. */
  async become(curve, type) {
    const had = curve.schedule.type;
    let made = null;
    try {
      made = await this.fitted(type, curve.base_lr);
    } catch (error) {
      fill(this.editor, this.pick(curve), failure(error, () => this.become(curve, type)));
      return;
    }
    if (this.closing.signal.aborted) return;
    curve.schedule = made;
    if (curve.name === had || new RegExp(`^${had} \\d+$`).test(curve.name)) curve.name = this.unique(type, curve);
    this.compute(curve);
    this.drawRows();
    this.changed();
    await this.edit();
    this.editor.querySelector(".picker input")?.focus();
  }

  /** A schedule's example. Where that ends sooner or later than the run, its lengths are stretched to it. */
  async fitted(type, base_lr = 0.1) {
    const {example, parameters} = await entry(type);
    const lr = Array.isArray(base_lr) ? base_lr[0] : base_lr;
    const end = this.driven({schedule: example}) ? null : await this.end({schedule: example, ...(lr === undefined ? {} : {base_lr: lr}), steps: 1});
    return end ? stretched(parameters, example, this.run.steps / end) : structuredClone(example);
  }

  /** The step at which a schedule has come to its end, by what the API says of runs that are shorter or longer; or null. */
  async end(body) {
    const about = async (total_steps) => {
      const {warnings} = await post("/v1/curves", {...body, total_steps}, {signal: this.closing.signal});
      return new Map(warnings.map((each) => [each.code, each.step]));
    };
    const longer = async (total) => (await about(total)).has("schedule-longer-than-run");
    try {
      const run = await about(this.run.steps);
      const after = run.get("schedule-shorter-than-run") ?? run.get("rises-after-end");
      if (after !== undefined) return after;
      if (!(await longer(1))) return null;
      let [low, high] = [1, this.run.steps];
      while (high < 1e9 && (await longer(high))) [low, high] = [high, 2 * high];
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        if (await longer(middle)) low = middle;
        else high = middle;
      }
      return high;
    } catch (error) {
      if (error instanceof Problem) return null;
      throw error;
    }
  }

  /** Schedules that hold others: the chosen one can be put into one of them. */
  drawWrapping(curve) {
    const holders = Object.values(catalogue).map((each) => [each.type, slot(each.parameters)]).filter(([, where]) => where);
    const id = uid("wrap");
    // with its place from the beginning: what is below must not move under the pointer when the catalogue comes
    const select = h("select", {id, disabled: !holders.length}, h("option", {value: ""}, t("schedules.wrap_none")), holders.map(([type]) => h("option", {value: type}, `${type}: ${translated(catalogue[type].summary)}`)));
    select.addEventListener("change", () => this.wrap(curve, select.value));
    return fill(this.wrapping, h("label", {for: id}, t("schedules.wrap")), select);
  }

  async wrap(curve, type) {
    if (!type) return;
    const example = await this.fitted(type, curve.base_lr);
    const {name, several} = slot(catalogue[type].parameters);
    const inner = several ? [curve.schedule, ...example[name].slice(1)] : curve.schedule;
    const had = curve.schedule.type;
    curve.schedule = {...example, [name]: inner};
    if (curve.name === had) curve.name = this.unique(type, curve);
    this.compute(curve);
    this.drawRows();
    this.changed();
    await this.edit();
    this.editor.querySelector("select")?.focus();
  }

  rename(curve, input) {
    const taken = this.curves.some((each) => each !== curve && each.name === input.value.trim());
    const wrong = !input.value.trim() || taken;
    input.setAttribute("aria-invalid", String(wrong));
    if (wrong) return;
    curve.name = input.value.trim();
    this.drawRows();
    this.changed();
  }

  edited(curve) {
    if (this.forms.schedule.valid() && this.forms.rate.valid()) this.compute(curve);
    this.changed();
  }

  /** Whether the schedule follows a metric. */
  driven(curve) {
    return curve.schedule.type === "ReduceLROnPlateau";
  }

  metricsField(curve) {
    const id = uid("metrics");
    const area = h("textarea", {id, rows: 4, spellcheck: "false", "aria-describedby": `${id}-help ${id}-error`, value: this.metrics(curve).join(", ")});
    const error = h("span", {class: "error", id: `${id}-error`, hidden: true});
    const say = (message) => {
      error.textContent = message ?? "";
      error.hidden = !message;
      area.setAttribute("aria-invalid", String(Boolean(message)));
    };
    area.addEventListener("input", () => {
      const found = area.value.split(/[\s,;]+/).filter(Boolean).map(Number);
      if (!found.every(Number.isFinite)) return say(t("form.list"));
      say(null);
      curve.metrics = found;
      return this.edited(curve);
    });
    const example = h("button", {type: "button", class: "small", onclick: () => {
      curve.metrics = null;
      area.value = this.metrics(curve).join(", ");
      say(null);
      this.edited(curve);
    }}, t("schedules.metrics_example"));
    const element = h("div", {class: "field"}, h("label", {for: id}, h("code", {}, "metrics")), area, h("span", {class: "help", id: `${id}-help`}, t("schedules.metrics_help")), error, h("div", {}, example));
    return {element, say};
  }

  /** The metric after each interval: the user's, or one that falls to a plateau twice. */
  metrics(curve) {
    if (curve.metrics) return curve.metrics;
    const {steps} = this.run;
    const sign = curve.schedule.mode === "max" ? -1 : 1;
    const fall = (i) => Math.exp(-8 * Math.min(i, steps * 0.3) / steps) + 0.4 * Math.exp(-8 * Math.max(0, Math.min(i - steps * 0.6, steps * 0.2)) / steps);
    return Array.from({length: Math.min(Math.max(1, steps - 1), 100000)}, (_, i) => Number((sign * fall(i)).toPrecision(4)));
  }

  // Curves from the API.

  /** The request for a curve, sampled for the screen or whole. */
  body(curve, whole = false) {
    const {steps, steps_per_epoch} = this.run;
    const stride = whole ? 1 : Math.ceil(steps / POINTS);
    return {
      schedule: curve.schedule,
      ...(curve.base_lr === undefined ? {} : {base_lr: curve.base_lr}),
      steps: Math.ceil(steps / stride),
      ...(stride > 1 ? {stride, total_steps: steps} : {}),
      ...(steps_per_epoch ? {steps_per_epoch} : {}),
      ...(this.driven(curve) ? {metrics: this.metrics(curve)} : {}),
    };
  }

  /** Asks for a curve; while it is asked for, only the latest change waits. */
  async compute(curve) {
    curve.again = true;
    if (curve.busy) return;
    curve.busy = true;
    while (curve.again && !this.closing.signal.aborted) {
      curve.again = false;
      const had = Boolean(curve.problem);
      try {
        curve.answer = await post("/v1/curves", this.body(curve), {signal: this.closing.signal});
        curve.problem = null;
      } catch (error) {
        if (error.name === "AbortError") return;
        curve.problem = error;
      }
      if (had !== Boolean(curve.problem)) this.drawRows();
      if (curve === this.selected) this.tell(curve);
      this.draw();
    }
    curve.busy = false;
  }

  /** Each error beside the field that it names. */
  tell(curve) {
    if (!this.forms) return;
    const {schedule, rate, metrics, rest} = this.forms;
    const errors = curve.problem?.errors?.map(({loc, msg}) => ({loc: loc[0] === "body" ? loc.slice(1) : loc, msg})) ?? [];
    const under = (name) => errors.filter((each) => each.loc[0] === name);
    let left = schedule.errors(under("schedule").map(({loc, msg}) => ({loc: loc.slice(1), msg})));
    left = left.concat(rate.errors(under("base_lr")));
    left = left.concat(this.runForm.errors(errors.filter((each) => each.loc[0] === "steps" || each.loc[0] === "steps_per_epoch")));
    const others = errors.filter((each) => !["schedule", "base_lr", "steps", "steps_per_epoch", "metrics"].includes(each.loc[0]));
    if (metrics) metrics.say(under("metrics")[0]?.msg);
    left = left.concat(others);
    const problem = curve.problem;
    fill(
      rest,
      left.map(({loc, msg}) => h("p", {class: "note bad"}, h("code", {}, loc.join(".")), " ", msg)),
      problem && !errors.length ? h("p", {class: "note bad"}, problem.message) : null,
    );
  }

  // What is shown of them.

  /** Something in the view has changed: draw, and put it into the address. */
  changed() {
    this.draw();
    this.drawCode();
    clearTimeout(this.writing);
    this.writing = setTimeout(() => history.replaceState(null, "", `#/schedules?${this.address()}`), 250);
  }

  address() {
    const curves = this.curves.map(({name, schedule, base_lr, metrics, hidden}) => ({
      name, schedule, ...(base_lr === undefined ? {} : {base_lr}), ...(metrics ? {metrics} : {}), ...(hidden ? {hidden} : {}),
    }));
    const query = new URLSearchParams({steps: this.run.steps});
    if (this.run.steps_per_epoch) query.set("steps_per_epoch", this.run.steps_per_epoch);
    if (this.log) query.set("log", "1");
    if (this.at) query.set("at", this.at);
    query.set("curves", JSON.stringify(curves));
    return query.toString();
  }

  link() {
    return `${location.origin}/#/schedules?${this.address()}`;
  }

  /** Draws once for all that has changed since the last picture on the screen. */
  draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (this.closing.signal.aborted) return;
      this.drawFacts();
      this.drawChart();
    });
  }

  drawChart() {
    this.momentumBox.hidden = !this.seen.some((each) => each.answer.momentum);
    this.nothing.hidden = this.seen.length > 0;
    if (this.chart) {
      this.chart.update(this.spec());
      return;
    }
    if (this.curves.length && !this.curves.some((each) => each.answer || each.problem)) return;  // they will draw
    const size = {height: isNarrow() ? 250 : 400};
    sketched(this.chartBox, this.spec(), size);
    this.making ??= this.make(size);
  }

  /** The library and the whole catalogue come after what can be used without them. */
  async make(size) {
    await this.filled;
    const made = await chart(this.chartBox, size);
    if (this.closing.signal.aborted) {
      made.destroy();
      return;
    }
    this.chart = made;
    this.drawChart();
    list().then(() => this.listed(), () => {});
  }

  /** What the chart is to show. */
  spec() {
    const traces = this.seen.flatMap((curve) => this.traces(curve));
    return {
      traces: traces.filter((each) => each.kind === "lr" || this.momentum),
      x: {title: t("schedules.step")},
      y: {title: t("schedules.lr"), log: this.log, zero: true},
      y2: {title: t("schedules.momentum")},
      legend: false,  // the list of curves is one
      label: t("schedules.label", {names: this.seen.map((each) => each.name).join(", ") || "–", steps: this.run.steps}),
      key: `${this.run.steps} ${this.log}`,
    };
  }

  traces(curve) {
    const {answer, name, colour} = curve;
    const groups = (values) => (Array.isArray(values?.[0]) ? values : values ? [values] : []);
    const x = Array.from({length: answer.steps}, (_, i) => answer.start + i * answer.stride);
    const faded = curve.problem ? 0.35 : 1;
    const title = (i, several) => (several ? t("schedules.group", {name, n: i + 1}) : name);
    const rates = groups(answer.lr);
    const momenta = groups(answer.momentum);
    const chosen = curve === this.selected;
    return [
      ...rates.map((y, i) => ({kind: "lr", name: title(i, rates.length > 1), x, y, colour, opacity: faded, width: chosen ? 2.5 : 1.75, dash: i % 2 ? "dash" : "solid", hover: "%{y:.5g}", step: stepped(y)})),
      ...momenta.map((y, i) => ({kind: "momentum", name: `${title(i, momenta.length > 1)} · ${t("schedules.momentum")}`, x, y, colour, axis: "y2", opacity: faded * 0.8, width: 1.5, dash: "dot", hover: "%{y:.4g}"})),
    ];
  }

  drawFacts() {
    const shown = this.seen;
    if (!shown.length) {
      fill(this.facts, h("h2", {}, t("schedules.facts")), h("p", {class: "muted"}, t("schedules.no_facts")));
      return;
    }
    const columns = ["initial", "final", "min", "max", "mean", "integral"];
    const lines = shown.flatMap((curve) => [curve.answer.summary].flat().map((summary, i, all) => ({curve, summary, name: all.length > 1 ? t("schedules.group", {name: curve.name, n: i + 1}) : curve.name})));
    const warnings = shown.flatMap((curve) => curve.answer.warnings.map((each) => ({curve, ...each})));
    fill(
      this.facts,
      h("h2", {}, t("schedules.facts")),
      h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": t("schedules.facts")}, h(
        "table", {},
        h("thead", {}, h("tr", {}, h("th", {scope: "col"}, t("schedules.curve")), columns.map((each) => h("th", {scope: "col", class: "number"}, t(`facts.${each}`))))),
        h("tbody", {}, lines.map(({curve, summary, name}) => h(
          "tr", {},
          h("th", {scope: "row"}, h("span", {class: "line-swatch", style: {background: traceColour(curve.colour)}, "aria-hidden": "true"}), name),
          columns.map((each) => h("td", {class: "number"}, number(summary[each]))),
        ))),
      )),
      warnings.map(({curve, code, message, step}) => h("p", {class: "note warn"}, h("strong", {}, shown.length > 1 ? `${curve.name}: ` : "", tOr(`warning.${code}`, code)), ` ${t("schedules.warned", {message: translated(message), step})}`)),
    );
  }

  // What there is to copy.

  drawCode() {
    const curve = this.selected;
    this.train.hidden = !curve;
    if (!curve) {
      this.code.hidden = true;
      return;
    }
    this.code.hidden = false;
    this.train.setAttribute("href", this.submitLink(curve));
    if (!this.panel) this.makeTabs();
    clearTimeout(this.translating);
    if (this.tab === "json") this.sayCode(pretty(this.body(curve, true)));
    else if (this.tab === "curl") this.sayCode(this.curl(curve));
    else this.translating = setTimeout(() => this.translate(curve), this.code.dataset.tab === this.tab ? 250 : 0);
  }

  makeTabs() {
    const names = ["json", "curl", ...FRAMEWORKS];
    const id = uid("tab");
    this.panel = h("div", {role: "tabpanel", id: `${id}-panel`, class: "stack"});
    const tabs = names.map((name) => h("button", {
      type: "button", role: "tab", id: `${id}-${name}`, "aria-controls": `${id}-panel`, onclick: () => choose(name),
    }, t(`code.${name}`)));
    const choose = (name) => {
      this.tab = name;
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(names[i] === name));
        tab.tabIndex = names[i] === name ? 0 : -1;
      });
      this.panel.setAttribute("aria-labelledby", `${id}-${name}`);
      this.drawCode();
    };
    const list_ = h("div", {role: "tablist", class: "tabs", "aria-label": t("schedules.code"), onkeydown: (event) => {
      const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      const at = names.indexOf(this.tab);
      const next = event.key === "Home" ? 0 : event.key === "End" ? names.length - 1 : by ? (at + by + names.length) % names.length : null;
      if (next === null) return;
      event.preventDefault();
      choose(names[next]);
      tabs[next].focus();
    }}, tabs);
    fill(this.code, h("h2", {}, t("schedules.code")), list_, this.panel);
    choose(this.tab);
  }

  sayCode(text, about = null) {
    this.code.dataset.tab = this.tab;
    const block = h("pre", {tabindex: 0, class: this.tab === "curl" || this.tab === "json" ? "wrap" : null}, h("code", {}, text));
    fill(this.panel, h("div", {class: "row spread"}, h("div", {class: "row"}, about), copyButton(() => text)), block);
  }

  async translate(curve) {
    const to = this.tab;
    const {steps, steps_per_epoch} = this.run;
    const base_lr = Array.isArray(curve.base_lr) ? curve.base_lr[0] : curve.base_lr;
    const body = {schedule: curve.schedule, to, total_steps: steps, ...(base_lr === undefined ? {} : {base_lr}), ...(steps_per_epoch ? {steps_per_epoch} : {})};
    this.asking?.abort();
    this.asking = new AbortController();
    try {
      const {code, exact, notes} = await post("/v1/schedules/translate", body, {signal: AbortSignal.any([this.asking.signal, this.closing.signal])});
      if (this.tab !== to) return;
      this.sayCode(code, h("span", {class: `badge ${exact ? "good" : "warn"}`, title: t(exact ? "code.exact_help" : "code.not_exact_help")}, t(exact ? "code.exact" : "code.not_exact")));
      this.panel.append(h("ul", {class: "notes"}, notes.map((each) => h("li", {}, translated(each)))));
    } catch (error) {
      if (error.name === "AbortError" || this.tab !== to) return;
      this.code.dataset.tab = to;
      fill(this.panel, error.errors?.length ? h("p", {class: "note warn"}, error.errors[0].msg) : failure(error, () => this.translate(curve)));
    }
  }

  curl(curve) {
    const body = JSON.stringify(this.body(curve, true)).replace(/'/g, "'\\''");
    const asked = key() ? ` -H "Authorization: Bearer $LRSERVE_KEY"` : "";
    return `curl -s ${location.origin}/v1/curves${asked} -H 'Content-Type: application/json' -d '${body}'`;
  }

  /** The form of a job, begun with this schedule. Long runs are taken to count optimizer steps. */
  submitLink(curve) {
    const lr = Array.isArray(curve.base_lr) ? curve.base_lr[0] : curve.base_lr;
    const run = this.run.steps > 300 ? {interval: "step"} : {interval: "epoch", epochs: this.run.steps};
    const spec = {...(lr === undefined ? {} : {optimizer: {type: "SGD", lr}}), schedule: curve.schedule, ...run};
    return `#/submit?${new URLSearchParams({spec: JSON.stringify(spec)})}`;
  }

  downloads() {
    return h("span", {class: "row"}, ["png", "svg", "csv"].map((format) => h("button", {type: "button", class: "small", "aria-label": t("schedules.download", {format: format.toUpperCase()}), onclick: () => this.download(format)}, format.toUpperCase())));
  }

  async download(format) {
    const shown = this.seen.filter((each) => !each.problem);
    if (!shown.length) return;
    const {schedule, base_lr, metrics, ...run} = this.body(shown[0]);
    const curves = shown.map((each) => {
      const {schedule: own, base_lr: rate, metrics: driven} = this.body(each);
      return {name: each.name, schedule: own, ...(rate === undefined ? {} : {base_lr: rate}), ...(driven ? {metrics: driven} : {})};
    });
    try {
      const answer = await request("/v1/curves/compare", {method: "POST", body: {...run, curves}, query: {format, scale: this.log ? "log" : "linear"}, signal: this.closing.signal});
      const url = URL.createObjectURL(await answer.blob());
      h("a", {href: url, download: `schedules.${format}`}).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    } catch (error) {
      if (error.name !== "AbortError") fill(this.facts, failure(error, () => this.draw()));
    }
  }

  /** The catalogue is here: the picker has them all, and there is what to put the schedule into. */
  listed() {
    if (this.closing.signal.aborted || !this.forms || !this.selected) return;
    this.drawWrapping(this.selected);
  }
}

/** The field in which a schedule holds others: its name, and whether it holds several. Null where there is none. */
function slot(parameters) {
  const schema = parameters.$ref ? parameters.$defs[parameters.$ref.split("/").pop()] : parameters;
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    if (each.discriminator) return {name, several: false};
    if (each.items?.discriminator) return {name, several: true};
  }
  return null;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Whether a curve is a staircase rather than a line: most values are those before them. */
function stepped(y) {
  let equal = 0;
  for (let i = 1; i < y.length; i += 1) equal += y[i] === y[i - 1];
  return y.length <= 60 || equal > y.length / 2;
}

/** JSON to read: lists of numbers stay on one line. */
function pretty(value) {
  return JSON.stringify(value, null, 2).replace(/\[\n\s+([^[\]{}]*?)\n\s+\]/g, (all, inner) => `[${inner.replace(/\n\s+/g, " ")}]`);
}
