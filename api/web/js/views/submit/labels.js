// The labels of a new job.

import {h, uid} from "../../dom.js";
import {t} from "../../texts.js";

/** A field for labels. Returns {element, get(), the part of the request with them, set(labels), say(error)}. */
export function labels(onChange) {
  const input = h("input", {
    id: uid("labels"), placeholder: "team=vision, try=2", autocomplete: "off", spellcheck: "false",
    "aria-describedby": "labels-error", oninput: () => onChange(),
  });
  const error = h("span", {class: "error", id: "labels-error", hidden: true});
  return {
    element: h("div", {class: "field"}, h("label", {for: input.id}, t("submit.labels")), input, error),
    get() {
      const words = input.value.split(/[,\s]+/).filter(Boolean);
      return words.length ? {labels: words} : {};
    },
    set(list) {
      input.value = list.join(", ");
    },
    say(message) {
      error.textContent = message;
      error.hidden = !message;
    },
  };
}
