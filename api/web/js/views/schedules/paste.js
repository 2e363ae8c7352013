// A box to paste into: a configuration, a lambda, or a log becomes a curve.

import {Problem, post} from "../../api.js";
import {fill, h, uid} from "../../dom.js";
import {number} from "../../parts.js";
import {t, tOr, translated} from "../../texts.js";
import {firstRate} from "./address.js";
import {catalogue, list} from "./entries.js";
import {Unreadable, recognised} from "./recognise.js";

const LIMIT = 2 ** 20;  // bytes, as `lrserve read` takes
const LONGEST = 10000000;  // steps that the form of the run takes
const RATE = 0.1;  // where the chosen curve has none
const ELSEWHERE = ["paste.unknown", "paste.no_json"];  // what `lrserve read` may be able to read
const HINTS = {from: "paste.set_from", steps_per_epoch: "paste.set_epoch"};  // the way out of a refusal, by its field

/** The part of a card with the box. `on`: {take({name, schedule, base_lr, metrics}), which returns the curve; run(steps)}. */
export class Paste {
  constructor(curves, signal, on) {
    Object.assign(this, {curves, signal, on, asking: null});
    const id = uid("paste");
    this.area = h("textarea", {
      id, rows: 6, spellcheck: "false", autocomplete: "off", "aria-describedby": `${id}-help ${id}-problems`,
      onpaste: (event) => this.pasted(event),
    });
    this.problems = h("div", {class: "stack problems", id: `${id}-problems`, role: "alert"});
    this.taken = h("div", {class: "stack", role: "status"});
    const help = h("span", {class: "help", id: `${id}-help`}, t("paste.help"));
    const field = h("div", {class: "field"}, h("label", {for: id}, t("paste.label")), this.area, help);
    const read = h("button", {type: "button", class: "small", onclick: () => this.read()}, t("paste.read"));
    this.element = h(
      "details", {class: "paste"}, h("summary", {}, t("paste.title")),
      h("div", {class: "stack"}, field, h("div", {class: "row"}, read), this.problems, this.taken),
    );
  }

  /** A text that is too large is not put into the box: with megabytes in it, that would stop the page. */
  pasted(event) {
    const wrong = isTooLarge(event.clipboardData.getData("text"));
    if (wrong) event.preventDefault();
    this.say(wrong ? [refusal(new Unreadable("paste.too_large"))] : [], []);
  }

  async read() {
    this.asking?.abort();
    this.asking = new AbortController();
    const signal = AbortSignal.any([this.asking.signal, this.signal]);
    this.say([], [t("state.loading")]);
    let as = null;
    try {
      const found = await this.recognise();
      ({as} = found);
      const made = await curveOf(found, this.known(), signal);
      signal.throwIfAborted();
      this.area.value = "";
      const {name} = await this.on.take(made.curve);
      this.say([], this.about(as, name, made));
    } catch (error) {
      if (error.name !== "AbortError") this.say([as && h("p", {}, t(`paste.as_${as}`)), refusal(error)], []);
    }
  }

  async recognise() {
    if (isTooLarge(this.area.value)) throw new Unreadable("paste.too_large");
    await list();
    return recognised(this.area.value, (type) => Object.hasOwn(catalogue, type));
  }

  /** What the page knows that a text may lack. */
  known() {
    const {run: {steps, steps_per_epoch}, selected} = this.curves;
    return {base_lr: firstRate(selected?.base_lr) ?? RATE, total_steps: steps, steps_per_epoch};
  }

  say(problems, taken) {
    fill(this.problems, problems);
    fill(this.taken, taken);
    this.area.setAttribute("aria-invalid", String(problems.length > 0));
  }

  /** What a text was taken for, the curve that it became, and the way to see its whole run. */
  about(as, name, {notes, steps}) {
    const {run} = this.curves;
    const onclick = () => {
      this.on.run(steps);
      longer.remove();
      this.area.focus();
    };
    const show = h("button", {type: "button", class: "small", onclick}, t("paste.show", {steps: number(steps)}));
    const text = t("paste.run", {steps: number(steps), shown: number(run.steps)});
    const longer = h("div", {class: "row"}, h("span", {}, text), show);
    return [
      h("p", {class: "note"}, t(`paste.as_${as}`), " ", t("schedules.added", {name}), "."),
      h("ul", {class: "notes"}, notes.map((each) => h("li", {}, each))),
      steps && steps !== run.steps && steps <= LONGEST && longer,
    ];
  }
}

function isTooLarge(text) {
  return new Blob([text]).size > LIMIT;
}

/** The curve that a text is: {curve, notes, steps (of its run, where they are known)}. */
async function curveOf({as, body, steps}, known, signal) {
  const notes = [];
  if (as === "log") return fitted(body, await post("/v1/schedules/fit", body, {signal}));
  if (as === "config" || as === "flags") {
    const [{from, schedule, base_lr, facts, notes: others}] = await ask("/v1/schedules/read", body, known, notes, signal);
    const name = tOr(`code.${from}`, from);
    const about = [t("paste.framework", {framework: name}), ...notes, ...others.map(translated)];
    return {curve: {name, schedule, base_lr}, notes: about, steps: [facts].flat()[0]?.steps};
  }
  const {base_lr, total_steps, steps_per_epoch} = known;
  const run = {steps: 1, total_steps, ...(steps_per_epoch ? {steps_per_epoch} : {})};  // of a length that every schedule has
  const [, sent] = await ask("/v1/curves", {...body, ...run}, {base_lr}, notes, signal);
  return {curve: {...body, base_lr: sent.base_lr}, notes, steps};
}

/** The answer of the API and the request, to which are added those of the `known` fields for which the API asks. */
async function ask(path, body, known, notes, signal) {
  try {
    return [await post(path, body, {signal}), body];
  } catch (error) {
    const field = error.errors?.[0]?.loc[1];
    if (!(field in known) || field in body || known[field] === undefined) throw error;
    notes.push(t("paste.given", {field, value: known[field]}));
    return ask(path, {...body, [field]: known[field]}, known, notes, signal);
  }
}

/** The best of the schedules that draw a log, and how near it comes. */
function fitted({lr, step, start = 0, stride = 1}, {fits: [best, ...others]}) {
  if (!best) throw new Unreadable("paste.no_fit");
  const {schedule, base_lr, exact, max_error} = best;
  const other = others.find((each) => each.exact && each.diverges_at !== null);
  const error = number(100 * max_error, 2);
  return {
    curve: {schedule, base_lr},
    notes: [
      exact ? t("paste.exact", {n: number(lr.length)}) : t("paste.near", {n: number(lr.length), error}),
      ...(other ? [t("paste.other", {type: other.schedule.type, step: number(other.diverges_at)})] : []),
    ],
    steps: (step ? step.at(-1) : start + stride * (lr.length - 1)) + 1,
  };
}

/** Why a text was not taken, and the way out. */
function refusal(error) {
  if (error instanceof Problem && error.errors.length) return error.errors.map(invalid);
  if (!(error instanceof Unreadable)) return h("p", {class: "note bad"}, error.message);
  const link = h("a", {href: "/docs#/schedules/read_config"}, t("paste.docs"));
  const elsewhere = h("p", {}, t("paste.elsewhere"), " ", h("code", {}, "lrserve read --json FILE"), " (", link, ")");
  return [h("p", {class: "note bad"}, t(error.key, error.values)), ELSEWHERE.includes(error.key) && elsewhere];
}

function invalid({loc, msg}) {
  const [, ...path] = loc;
  const hint = HINTS[path[0]];
  return [h("p", {class: "note bad"}, h("code", {}, path.join(".")), " ", msg), hint && h("p", {}, t(hint))];
}
