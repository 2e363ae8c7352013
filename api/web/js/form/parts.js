// A list of objects, or of a union's members: parts that are added, moved and removed.

import {fill, h, icon} from "../dom.js";
import {t, translated} from "../texts.js";
import {errorLine} from "./field.js";
import {begun, object, union} from "./object.js";
import {alternatives} from "./schema.js";

/** The control of a list; `list` is the schema of the array among the alternatives of `schema`. */
export function parts(name, schema, list, value, context) {
  const holder = h("ol", {class: "parts"});
  const add = h("button", {type: "button", class: "small", onclick: () => rows.add()}, t("form.add_part"));
  const own = errorLine("p");
  const rows = new Parts(name, list, context, holder, add);
  for (const each of value ?? schema.default ?? []) rows.put(each);
  rows.arrange();
  const help = schema.description && h("p", {class: "help muted"}, translated(schema.description));
  return {
    element: h("fieldset", {dataset: {name}}, h("legend", {}, h("code", {}, name)), help, own.element, holder, add),
    get: () => rows.all.map((each) => each.control.get()),
    error(loc, message) {
      const hit = rows.all[loc[0]];
      if (hit) return hit.control.error(loc.slice(1), message);
      own.say(message);
      return true;
    },
    clear() {
      own.say(null);
      for (const each of rows.all) each.control.clear();
    },
  };
}

class Parts {
  all = [];

  constructor(name, list, context, holder, add) {
    Object.assign(this, {name, list, context, holder, button: add});
    [this.one] = alternatives(list.items, context.root);
  }

  /** A part more, at the end. */
  put(now) {
    const part = {title: h("span", {}), says: []};
    part.control = this.control(now, part.title);
    part.up = tool(part, "form.up", "up", () => this.move(part, -1));
    part.down = tool(part, "form.down", "down", () => this.move(part, 1));
    part.gone = tool(part, "form.remove_part", "close", () => this.remove(part));
    part.element = h("li", {class: "part"}, h("div", {class: "part-tools"}, part.up, part.down, part.gone), part.control.element);
    this.all.push(part);
  }

  control(now, title) {
    if (this.one.discriminator) return union(this.name, {}, this.one, now, this.context, title);
    const inner = object(this.one, now ?? {}, this.context);
    return {...inner, element: h("fieldset", {}, h("legend", {}, title), inner.element)};
  }

  arrange() {
    const {all, list} = this;
    fill(this.holder, all.map((each) => each.element));
    all.forEach((each, i) => {
      each.title.textContent = t("form.part", {n: i + 1});
      each.says.forEach((say) => say(i + 1));
      each.up.disabled = i === 0;
      each.down.disabled = i === all.length - 1;
      each.gone.disabled = all.length <= (list.minItems ?? 0);
    });
    this.button.disabled = all.length >= (list.maxItems ?? Infinity);
  }

  add() {
    const last = this.all.at(-1)?.control.get();
    this.put(last ? structuredClone(last) : this.begun());
    this.arrange();
    this.all.at(-1).element.querySelector("input, select")?.focus();
    this.context.changed();
  }

  begun() {
    return this.one.discriminator ? begun(Object.keys(this.one.discriminator.mapping)[0], this.context) : undefined;
  }

  move(part, by) {
    const at = this.all.indexOf(part);
    this.all.splice(at, 1);
    this.all.splice(at + by, 0, part);
    this.arrange();
    (by < 0 && !part.up.disabled ? part.up : part.down).focus();
    this.context.changed();
  }

  remove(part) {
    const at = this.all.indexOf(part);
    this.all.splice(at, 1);
    this.arrange();
    (this.all[Math.min(at, this.all.length - 1)]?.gone ?? this.button).focus();
    this.context.changed();
  }
}

/** A button of a part, whose label says which part that is. */
function tool(part, key, sign, onclick) {
  const button = h("button", {type: "button", class: "bare small", title: t(key), onclick}, icon(sign));
  part.says.push((n) => button.setAttribute("aria-label", `${t("form.part", {n})}: ${t(key)}`));
  return button;
}
