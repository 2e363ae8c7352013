// The metric that a schedule follows.

import {h, uid} from "../../dom.js";
import {t} from "../../texts.js";

/** The metric after each interval: the user's, or one that falls to a plateau twice. */
export function metricsOf(curve, steps) {
  if (curve.metrics) return curve.metrics;
  const sign = curve.schedule.mode === "max" ? -1 : 1;
  const first = (i) => Math.exp(-8 * Math.min(i, steps * 0.3) / steps);
  const second = (i) => 0.4 * Math.exp(-8 * Math.max(0, Math.min(i - steps * 0.6, steps * 0.2)) / steps);
  const length = Math.min(Math.max(1, steps - 1), 100000);
  return Array.from({length}, (_, i) => Number((sign * (first(i) + second(i))).toPrecision(4)));
}

/** A field for a curve's metrics; steps() of the run. Returns {element, say(error)}; `onChange` after each change. */
export function metricsField(curve, steps, onChange) {
  const id = uid("metrics");
  const written = () => metricsOf(curve, steps()).join(", ");
  const area = h("textarea", {id, rows: 4, spellcheck: "false", "aria-describedby": `${id}-help ${id}-error`, value: written()});
  const error = h("span", {class: "error", id: `${id}-error`, hidden: true});
  const say = (message) => {
    error.textContent = message ?? "";
    error.hidden = !message;
    area.setAttribute("aria-invalid", String(Boolean(message)));
  };
  const set = (metrics) => {
    say(null);
    curve.metrics = metrics;
    onChange();
  };
  area.addEventListener("input", () => {
    const found = area.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    if (found.every(Number.isFinite)) set(found);
    else say(t("form.list"));
  });
  const onclick = () => {
    curve.metrics = null;
    area.value = written();
    set(null);
  };
  const example = h("button", {type: "button", class: "small", onclick}, t("schedules.metrics_example"));
  const help = h("span", {class: "help", id: `${id}-help`}, t("schedules.metrics_help"));
  const label = h("label", {for: id}, h("code", {}, "metrics"));
  return {element: h("div", {class: "field"}, label, area, help, error, h("div", {}, example)), say};
}
