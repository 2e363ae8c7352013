// Pieces that several views are made of.

import {Offline} from "./api.js";
import {announce, h} from "./dom.js";
import {t} from "./texts.js";

/** While something is fetched. */
export function loading(text = t("state.loading")) {
  return h("div", {class: "state loading", role: "status"}, h("span", {class: "spinner", "aria-hidden": "true"}), h("p", {}, text));
}

/** Where there is nothing yet: what could be there, and how it gets there. */
export function empty(title, text, ...actions) {
  return h("div", {class: "state empty"}, h("h2", {}, title), text && h("p", {}, text), h("div", {class: "row"}, actions));
}

/** Something failed: what, and a way to try again. */
export function failure(error, retry) {
  const offline = error instanceof Offline;
  return h(
    "div",
    {class: "state failure", role: "alert"},
    h("h2", {}, offline ? t("state.offline") : error.title ?? t("state.failed")),
    error.errors?.length
      ? h("ul", {}, error.errors.map((each) => h("li", {}, h("code", {}, each.loc.join(".")), " ", each.msg)))
      : h("p", {}, offline ? t("state.offline_help") : error.detail ?? error.message),
    retry && h("button", {type: "button", onclick: retry}, t("state.retry")),
  );
}

/** A button that copies what `text()` returns. */
export function copyButton(text, label = t("action.copy")) {
  const button = h("button", {type: "button", class: "small"}, label);
  button.addEventListener("click", async () => {
    await copy(text());
    button.textContent = t("action.copied");
    announce(t("action.copied"));
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

async function copy(text) {
  if (navigator.clipboard) {  // not on pages that came by plain HTTP from another machine
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch { /* not allowed: the older way */ }
  }
  const area = h("textarea", {class: "unseen", "aria-hidden": "true", value: text});
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A number for people: 0.1, 1.5e-7, 12,000. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(Math.max(0, digits - 1)).replace(/\.?0+e/, "e");
  return Number(value.toPrecision(Math.max(digits, Number.isInteger(value) ? 12 : digits))).toLocaleString("en", {maximumFractionDigits: 12});
}
