// A field that finds one of many by what is typed: ARIA's combobox with a list box.

import {h, fill, uid} from "./dom.js";
import {t, translated} from "./texts.js";

/**
 * Picks one of `members` (names, or a function that returns them). `catalogue` has {summary, origin} by name, which are
 * searched and shown, too.
 * onPick(name) is called when another one is picked. Returns {element, input, set(name), refresh()}.
 */
export function picker({label, value, members, catalogue = {}, onPick, visibleLabel = false}) {
  const id = uid("picker");
  const input = h("input", {
    type: "text", id, role: "combobox", autocomplete: "off", spellcheck: "false", value: value ?? "",
    "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list",
    "aria-label": visibleLabel ? null : label,
  });
  const list = h("ul", {id: `${id}-list`, role: "listbox", class: "options", "aria-label": label, hidden: true});
  const box = new ListBox(input, list, {value, members, catalogue, onPick});
  return {
    element: h("div", {class: "picker"}, visibleLabel ? h("label", {for: id}, label) : null, input, list),
    input,
    /** There may be more members than before. */
    refresh() {
      if (!list.hidden) box.open(input.value === box.value ? "" : input.value);
    },
    set(name) {
      box.value = name;
      input.value = name ?? "";
    },
  };
}

/** The options beneath a picker's field, and which of them is active. */
class ListBox {
  constructor(input, list, {value, members, catalogue, onPick}) {
    Object.assign(this, {input, list, value, members, catalogue, onPick});
    this.found = [];
    this.active = -1;
    input.addEventListener("click", () => {
      if (!list.hidden) return;
      input.select();
      this.open();
    });
    input.addEventListener("input", () => this.open(input.value));
    input.addEventListener("blur", () => this.giveUp());
    input.addEventListener("keydown", (event) => this.pressed(event));
  }

  open(words = "") {
    const names = typeof this.members === "function" ? this.members() : this.members;
    this.found = matching(names, this.catalogue, words);
    this.active = this.found.indexOf(this.value);
    fill(this.list, this.found.length ? this.found.map((name, i) => this.option(name, i)) : nothingFound());
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.point(this.found.length && this.active < 0 && words ? 0 : this.active);
  }

  option(name, i) {
    const summary = this.catalogue[name]?.summary;
    return h(
      "li",
      {
        role: "option", id: `${this.input.id}-${i}`, "aria-selected": String(name === this.value),
        onmousedown: (event) => event.preventDefault(), onclick: () => this.pick(name),
      },
      h("span", {class: "option-name"}, name),
      summary ? h("span", {class: "option-text"}, translated(summary)) : null,
    );
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  giveUp() {
    this.close();
    this.input.value = this.value ?? "";
  }

  point(at) {
    const {input, list} = this;
    this.active = at;
    for (const each of list.children) each.classList.remove("active");
    const hit = list.children[at];
    if (!hit || !this.found.length) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    hit.classList.add("active");
    list.scrollTop = Math.max(0, Math.min(list.scrollTop, hit.offsetTop), hit.offsetTop + hit.offsetHeight - list.clientHeight);
    input.setAttribute("aria-activedescendant", hit.id);
  }

  pick(name) {
    this.close();
    this.input.value = name;
    if (name === this.value) return;
    this.value = name;
    this.onPick(name);
  }

  pressed(event) {
    const by = {ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10}[event.key];
    const open = !this.list.hidden;
    if (by) {
      event.preventDefault();
      if (open) this.point(Math.max(0, Math.min(this.found.length - 1, this.active + by)));
      else this.open();
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      if (this.found[this.active]) this.pick(this.found[this.active]);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      this.giveUp();
    }
  }
}

function nothingFound() {
  const attributes = {class: "nothing", role: "option", "aria-disabled": "true", "aria-selected": "false"};
  return h("li", attributes, t("form.nothing_found"));
}

/** The names that have all the words in themselves or in what the catalogue says of them, those that begin so first. */
function matching(names, catalogue, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = (name) => {
    const low = name.toLowerCase();
    if (low.startsWith(wanted[0] ?? "")) return 0;
    return low.includes(wanted[0] ?? "") ? 1 : 2;
  };
  return names
    .filter((name) => {
      const {summary = "", origin = ""} = catalogue[name] ?? {};
      const text = `${name} ${summary} ${translated(summary)} ${origin}`.toLowerCase();
      return wanted.every((word) => text.includes(word));
    })
    .sort((a, b) => rank(a) - rank(b));
}
