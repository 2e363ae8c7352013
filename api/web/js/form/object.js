// Objects, and unions of them that `type` distinguishes.

import {fill, h} from "../dom.js";
import {picker} from "../picker.js";
import {t, translated} from "../texts.js";
import {errorLine} from "./field.js";
import {member, resolved} from "./schema.js";

/** The controls of an object's properties; `skip(name)` says which have none. */
export function object(schema, value, context, {skip = () => false} = {}) {
  const needed = new Set(schema.required ?? []);
  const controls = new Map();
  const fixed = {};
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const one = resolved(each, context.root);
    if (name === "type" && (one.const !== undefined || value.type !== undefined)) fixed.type = value.type ?? one.const;
    else if (!skip(name)) controls.set(name, context.control(name, each, value[name], context, needed.has(name)));
  }
  const {first, more} = arranged(controls, needed, context);
  const own = errorLine("p", {role: "alert"});
  return {
    element: h("div", {class: "fields"}, own.element, first, more),
    get() {
      const found = {...fixed};
      for (const [name, each] of controls) {
        const now = each.get();
        if (now !== undefined) found[name] = now;
      }
      return found;
    },
    error(loc, message) {
      if (!loc.length) {
        const before = own.element.textContent;
        own.say(before ? `${before}; ${message}` : message);
        return true;
      }
      const hit = controls.get(String(loc[0]));
      if (more && hit && more.contains(hit.element)) more.open = true;
      return hit ? hit.error(loc.slice(1), message) : false;
    },
    clear() {
      own.say(null);
      for (const each of controls.values()) each.clear();
    },
  };
}

/** The elements of controls: those at first, what is needed before the rest; and what waits behind "More", or null. */
function arranged(controls, needed, context) {
  const all = [...controls].map(([name, {element}]) => ({element, later: context.advanced(name), needed: needed.has(name)}));
  const first = all.filter((each) => !each.later).sort((a, b) => b.needed - a.needed);
  const later = all.filter((each) => each.later);
  return {
    first: first.map((each) => each.element),
    more: later.length ? h("details", {}, h("summary", {}, t("form.more")), later.map((each) => each.element)) : null,
  };
}

/** An object within another. */
export function group(name, schema, one, value, context) {
  const inner = object(one, value ?? schema.default ?? {}, context);
  return {...inner, element: h("fieldset", {dataset: {name}}, h("legend", {}, h("code", {}, name)), inner.element)};
}

/** What a new member of a union begins with. */
export function begun(type, context) {
  return structuredClone(context.catalogue[type]?.example ?? {type});
}

/** One of a union's members: a picker, and the object of the one picked. `title` is what its legend has. */
export function union(name, schema, one, value, context, title = h("code", {}, name)) {
  let type = value?.type ?? schema.default?.type ?? Object.keys(one.discriminator.mapping)[0];
  let inner = null;
  const place = h("div", {});
  function draw(now) {
    inner = object(member(one, type, context.root), {...now, type}, context);
    const summary = context.catalogue[type]?.summary;
    fill(place, summary && h("p", {class: "help muted"}, translated(summary)), inner.element);
  }
  const choose = picker({
    label: name,
    value: type,
    members: Object.keys(one.discriminator.mapping),
    catalogue: context.catalogue,
    onPick(picked) {
      type = picked;
      draw(begun(type, context));
      context.changed();
    },
  });
  draw(value ?? schema.default ?? begun(type, context));
  return {
    element: h("fieldset", {dataset: {name}}, h("legend", {}, title), choose.element, place),
    get: () => inner.get(),
    error: (loc, message) => inner.error(loc[0] === "type" ? [] : loc, message),
    clear: () => inner.clear(),
  };
}
