// Facts of the curves that are shown, and what the API has doubts about.

import {traceColour} from "../../chart.js";
import {fill, h} from "../../dom.js";
import {failure, number} from "../../parts.js";
import {t, tOr, translated} from "../../texts.js";

const COLUMNS = ["initial", "final", "min", "max", "mean", "integral"];

/** The card of facts. Returns {element, draw(), fail(error, retry)}. */
export function facts(curves) {
  const element = h("section", {class: "card stack", "aria-label": t("schedules.facts")});
  return {
    element,
    draw() {
      const {seen} = curves;
      const all = seen.length ? [table(seen), warnings(seen)] : h("p", {class: "muted"}, t("schedules.no_facts"));
      fill(element, h("h2", {}, t("schedules.facts")), all);
    },
    fail: (error, retry) => fill(element, failure(error, retry)),
  };
}

function table(seen) {
  const heads = COLUMNS.map((each) => h("th", {scope: "col", class: "number"}, t(`facts.${each}`)));
  const head = h("tr", {}, h("th", {scope: "col"}, t("schedules.curve")), heads);
  const whole = h("table", {}, h("thead", {}, head), h("tbody", {}, seen.flatMap(rows)));
  return h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": t("schedules.facts")}, whole);
}

/** The rows of a curve: one for each group of parameters. */
function rows({answer, name, colour}) {
  const groups = [answer.summary].flat();
  return groups.map((summary, i) => {
    const swatch = h("span", {class: "line-swatch", style: {background: traceColour(colour)}, "aria-hidden": "true"});
    const title = groups.length > 1 ? t("schedules.group", {name, n: i + 1}) : name;
    const cells = COLUMNS.map((each) => h("td", {class: "number"}, number(summary[each])));
    return h("tr", {}, h("th", {scope: "row"}, swatch, title), cells);
  });
}

function warnings(seen) {
  const whose = (name) => (seen.length > 1 ? `${name}: ` : "");
  return seen.flatMap(({answer, name}) => answer.warnings.map(({code, message, step}) => h(
    "p", {class: "note warn"},
    h("strong", {}, whose(name), tOr(`warning.${code}`, code)), ` ${t("schedules.warned", {message: translated(message), step})}`,
  )));
}
