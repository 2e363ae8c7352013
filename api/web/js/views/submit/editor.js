// A job as it is written: its kind, and a form or JSON for the rest.

import {converted} from "../../convert.js";
import {fill, h, uid} from "../../dom.js";
import {form} from "../../form.js";
import {withAxes} from "../../spec.js";
import {t, tOr, translated} from "../../texts.js";
import {labels} from "./labels.js";

// what few jobs need
const ADVANCED = new Set(
  `last_epoch drop_last micro_batch_size eval_batch_size precision label_smoothing max_grad_norm ema_decay
    early_stopping deterministic export momentum_schedule weight_decay_schedule priority hardware max_attempts
    max_seconds param_groups layer_decay decay_norm_and_bias dampening nesterov maximize eps betas amsgrad
    centered freeze subset test_subset split_seed validation_split resize normalize flip crop cutout smoothing
    stop_factor mode prune`.split(/\s+/),
);

/**
 * The job that is written.
 *
 * known: what spec.js has of the kinds
 * begin: {kind, value}
 * on: {change(), after each change; another(), after a change that is one of the whole, such as of the kind;
 *      unreadable(), where the JSON cannot be read and a form is asked for}
 */
export class Editor {
  constructor(known, {kind, value}, on) {
    Object.assign(this, {known, kind, value, on});
    this.view = null; // the form, or null while JSON is edited
    this.text = null; // the JSON as it is typed
    this.about = h("p", {class: "muted"});
    this.holder = h("div");
    this.panel = h("div", {role: "tabpanel"}, this.holder);
    this.tabs = [this.tab("submit.form", false), this.tab("submit.json", true)];
    this.labels = labels(on.change);
    this.element = h(
      "section",
      {class: "card stack", "aria-label": t("submit.what")},
      h("fieldset", {}, h("legend", {}, t("submit.kind")), h("div", {class: "row"}, this.choices()), this.about),
      this.tabList(),
      this.panel,
      this.labels.element,
    );
  }

  choices() {
    return Object.keys(this.known.kinds).map((type) => {
      const onchange = () => this.choose(type);
      const choice = h("input", {type: "radio", name: "kind", value: type, checked: type === this.kind, onchange});
      return h("label", {class: "check"}, choice, tOr(`kinds.${type}`, type));
    });
  }

  tab(key, json) {
    return h("button", {type: "button", role: "tab", id: uid("tab"), onclick: () => this.edit(json)}, t(key));
  }

  tabList() {
    const onkeydown = (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = this.tabs[document.activeElement === this.tabs[0] ? 1 : 0];
      other.focus();
      other.click();
    };
    return h("div", {class: "tabs", role: "tablist", "aria-label": t("submit.how"), onkeydown}, this.tabs);
  }

  /** The request, or null while the JSON cannot be read. */
  get request() {
    if (this.view) return {...this.view.get(), ...this.labels.get()};
    try {
      const found = JSON.parse(this.text.value);
      return found && typeof found === "object" && !Array.isArray(found) ? found : null;
    } catch {
      return null;
    }
  }

  /** Whether the form has nothing in it that cannot be read. */
  get valid() {
    return !this.view || this.view.valid();
  }

  choose(type) {
    const {kinds} = this.known;
    this.value = converted(this.request ?? this.value, kinds[this.kind], kinds[type]);
    this.kind = type;
    this.draw(this.text !== null);
  }

  edit(json) {
    const found = this.request;
    if (found === null) {
      this.on.unreadable();
      return;
    }
    this.value = found;
    this.draw(json);
  }

  /** Shows the form, or the JSON, of the value. */
  draw(json) {
    this.tabs.forEach((tab, i) => {
      const mine = json === (i === 1);
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
    });
    this.panel.setAttribute("aria-labelledby", this.tabs[json ? 1 : 0].id);
    this.about.textContent = tOr(`submit.about_${this.kind}`, translated(this.known.kinds[this.kind].summary));
    this.labels.element.hidden = json;
    this.view = json ? null : this.form();
    this.text = json ? this.area() : null;
    if (!json) this.labels.set(this.value.labels ?? []);
    fill(this.holder, json ? this.text : this.view.element);
    this.on.another();
  }

  area() {
    return h("textarea", {
      rows: 28, spellcheck: "false", "aria-label": t("submit.json"), value: JSON.stringify(this.value, null, 2),
      oninput: () => this.on.change(),
    });
  }

  form() {
    const {schema} = this.known.kinds[this.kind];
    const {value} = this;
    const trained = value.base ?? value;
    const optimizer = trained.optimizer?.type ?? "SGD";
    const hasAxes = "grid" in schema.properties;
    const onChange = () => {
      const isAnother = hasAxes && this.view.get().base?.optimizer?.type !== optimizer;
      if (isAnother) this.edit(false); // it has other axes
      else this.on.change();
    };
    return form(hasAxes ? withAxes(schema, optimizer, value.grid) : schema, {
      value,
      catalogue: this.known.members,
      steps: () => trained.epochs ?? 100,
      advanced: (name) => ADVANCED.has(name),
      skip: (name) => name === "labels",
      onChange,
    });
  }

  /** Nothing is wrong any more. */
  clear() {
    this.view?.errors([]);
    this.labels.say("");
  }

  /** Shows each of the API's errors beside the field that it names; returns texts for those that are not seen there. */
  errors(list) {
    const found = list.map((each) => ({...each, loc: each.loc[0] === "body" ? each.loc.slice(1) : each.loc}));
    const own = found.find((each) => each.loc[0] === "labels");
    this.labels.say(own?.msg ?? "");
    const others = this.view ? this.view.errors(found.filter((each) => each.loc[0] !== "labels")) : found;
    const beside = found.length - others.length;
    return [
      ...others.map((each) => `${each.loc.join(".")}: ${each.msg}`),
      ...(beside && this.view ? [t("submit.wrong", {n: beside})] : []),
    ];
  }
}
