// A field that finds one of many by what is typed: ARIA's combobox with a list box.

import {h, fill, uid} from "./dom.js";
import {t, translated} from "./texts.js";

/**
 * Picks one of `members` (names, or a function that returns them). `catalogue` has {summary, origin} by name, which are searched and shown, too.
 * onPick(name) is called when another one is picked. Returns {element, input, set(name), refresh()}.
 */
export function picker({label, value, members, catalogue = {}, onPick, visibleLabel = false}) {
  const id = uid("picker");
  let now = value;
  let found = [];
  let active = -1;
  const input = h("input", {
    type: "text", id, role: "combobox", autocomplete: "off", spellcheck: "false", value: now ?? "",
    "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list",
    "aria-label": visibleLabel ? null : label,
  });
  const list = h("ul", {id: `${id}-list`, role: "listbox", class: "options", "aria-label": label, hidden: true});
  const element = h("div", {class: "picker"}, visibleLabel ? h("label", {for: id}, label) : null, input, list);

  function matching(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const rank = (name) => {
      const low = name.toLowerCase();
      if (low.startsWith(wanted[0] ?? "")) return 0;
      return low.includes(wanted[0] ?? "") ? 1 : 2;
    };
    return (typeof members === "function" ? members() : members)
      .filter((name) => {
        const {summary = "", origin = ""} = catalogue[name] ?? {};
        const text = `${name} ${summary} ${translated(summary)} ${origin}`.toLowerCase();
        return wanted.every((word) => text.includes(word));
      })
      .sort((a, b) => rank(a) - rank(b));
  }

  function open(words = "") {
    found = matching(words);
    active = found.indexOf(now);
    fill(
      list,
      found.length
        ? found.map((name, i) => h(
          "li",
          {role: "option", id: `${id}-${i}`, "aria-selected": String(name === now), onmousedown: (event) => event.preventDefault(), onclick: () => pick(name)},
          h("span", {class: "option-name"}, name),
          catalogue[name]?.summary ? h("span", {class: "option-text"}, translated(catalogue[name].summary)) : null,
        ))
        : h("li", {class: "nothing", role: "option", "aria-disabled": "true", "aria-selected": "false"}, t("form.nothing_found")),
    );
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    point(found.length && active < 0 && words ? 0 : active);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function point(at) {
    active = at;
    for (const each of list.children) each.classList.remove("active");
    const hit = list.children[at];
    if (!hit || !found.length) return input.removeAttribute("aria-activedescendant");
    hit.classList.add("active");
    list.scrollTop = Math.max(0, Math.min(list.scrollTop, hit.offsetTop), hit.offsetTop + hit.offsetHeight - list.clientHeight);
    return input.setAttribute("aria-activedescendant", hit.id);
  }

  function pick(name) {
    close();
    input.value = name;
    if (name === now) return;
    now = name;
    onPick(name);
  }

  input.addEventListener("click", () => { if (list.hidden) { input.select(); open(); } });
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", () => {
    close();
    input.value = now ?? "";
  });
  input.addEventListener("keydown", (event) => {
    const by = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10}[event.key];
    if (by) {
      event.preventDefault();
      if (list.hidden) return open();
      return point(Math.max(0, Math.min(found.length - 1, active + by)));
    }
    if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      if (found[active]) pick(found[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
      input.value = now ?? "";
    }
    return undefined;
  });
  return {
    element,
    input,
    /** There may be more members than before. */
    refresh() {
      if (!list.hidden) open(input.value === now ? "" : input.value);
    },
    set(name) {
      now = name;
      input.value = name ?? "";
    },
  };
}
