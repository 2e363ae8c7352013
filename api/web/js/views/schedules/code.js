// What there is to copy of the chosen curve: its request, and its schedule in the code of a framework.

import {key, post} from "../../api.js";
import {fill, h, uid} from "../../dom.js";
import {copyButton, failure} from "../../parts.js";
import {t, translated} from "../../texts.js";
import {firstRate} from "./address.js";

const REQUESTS = ["json", "curl"];
const NAMES = [
  ...REQUESTS, "torch", "optax", "keras", "transformers", "timm", "deepspeed", "mmengine", "composer", "lightning",
];
const WAIT = 250;  // ms after a change before a translation is asked for

/** The card with the tabs. */
export class Code {
  constructor(curves, signal) {
    this.curves = curves;
    this.signal = signal;
    this.tab = NAMES[0];
    this.shown = null;  // the tab whose text is there
    this.asking = null;
    this.timer = null;
    const id = uid("tab");
    this.panel = h("div", {role: "tabpanel", id: `${id}-panel`, class: "stack"});
    this.tabs = NAMES.map((name) => h("button", {
      type: "button", role: "tab", id: `${id}-${name}`, "aria-controls": `${id}-panel`, onclick: () => this.choose(name),
    }, t(`code.${name}`)));
    this.element = h("section", {class: "card stack", "aria-label": t("schedules.code")});
  }

  close() {
    clearTimeout(this.timer);
  }

  draw() {
    const curve = this.curves.selected;
    this.element.hidden = !curve;
    if (!curve) return;
    if (!this.element.childElementCount) this.open();
    clearTimeout(this.timer);
    if (this.tab === "json") this.say(pretty(this.curves.request(curve, true)));
    else if (this.tab === "curl") this.say(this.curl(curve));
    else this.timer = setTimeout(() => this.translate(curve), this.shown === this.tab ? WAIT : 0);
  }

  open() {
    const title = t("schedules.code");
    const onkeydown = (event) => this.pressed(event);
    const tabs = h("div", {role: "tablist", class: "tabs", "aria-label": title, onkeydown}, this.tabs);
    fill(this.element, h("h2", {}, title), tabs, this.panel);
    this.mark();
  }

  choose(name) {
    this.tab = name;
    this.mark();
    this.draw();
  }

  mark() {
    this.tabs.forEach((tab, i) => {
      const mine = NAMES[i] === this.tab;
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
      if (mine) this.panel.setAttribute("aria-labelledby", tab.id);
    });
  }

  pressed(event) {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const step = by ? (NAMES.indexOf(this.tab) + by + NAMES.length) % NAMES.length : null;
    const next = event.key === "Home" ? 0 : event.key === "End" ? NAMES.length - 1 : step;
    if (next === null) return;
    event.preventDefault();
    this.choose(NAMES[next]);
    this.tabs[next].focus();
  }

  say(text, about = null) {
    this.shown = this.tab;
    const block = h("pre", {tabindex: 0, class: REQUESTS.includes(this.tab) ? "wrap" : null}, h("code", {}, text));
    fill(this.panel, h("div", {class: "row spread"}, h("div", {class: "row"}, about), copyButton(() => text)), block);
  }

  curl(curve) {
    const body = JSON.stringify(this.curves.request(curve, true)).replace(/'/g, "'\\''");
    const asked = key() ? ` -H "Authorization: Bearer $LRSERVE_KEY"` : "";
    return `curl -s ${location.origin}/v1/curves${asked} -H 'Content-Type: application/json' -d '${body}'`;
  }

  async translate(curve) {
    const to = this.tab;
    this.asking?.abort();
    this.asking = new AbortController();
    const signal = AbortSignal.any([this.asking.signal, this.signal]);
    try {
      const body = translation(curve, to, this.curves.run);
      const {code, exact, notes} = await post("/v1/schedules/translate", body, {signal});
      if (this.tab !== to) return;
      this.say(code, badge(exact));
      this.panel.append(h("ul", {class: "notes"}, notes.map((each) => h("li", {}, translated(each)))));
    } catch (error) {
      if (error.name === "AbortError" || this.tab !== to) return;
      this.shown = to;
      const refusal = error.errors?.length && h("p", {class: "note warn"}, error.errors[0].msg);
      fill(this.panel, refusal || failure(error, () => this.translate(curve)));
    }
  }
}

function badge(exact) {
  if (exact) return h("span", {class: "badge good", title: t("code.exact_help")}, t("code.exact"));
  return h("span", {class: "badge warn", title: t("code.not_exact_help")}, t("code.not_exact"));
}

/** The request for the code of a framework. */
function translation(curve, to, {steps, steps_per_epoch}) {
  const base_lr = firstRate(curve.base_lr);
  return {
    schedule: curve.schedule, to, total_steps: steps,
    ...(base_lr === undefined ? {} : {base_lr}), ...(steps_per_epoch ? {steps_per_epoch} : {}),
  };
}

/** JSON to read: lists of numbers stay on one line. */
function pretty(value) {
  const text = JSON.stringify(value, null, 2);
  return text.replace(/\[\n\s+([^[\]{}]*?)\n\s+\]/g, (all, inner) => `[${inner.replace(/\n\s+/g, " ")}]`);
}
