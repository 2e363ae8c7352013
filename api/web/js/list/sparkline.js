// A small curve for a row of a list.

import {h, svg} from "../dom.js";

/** A small line of values, between their own ends. */
export function sparkline(values, {width = 120, height = 28, label = ""} = {}) {
  const found = values.filter(Number.isFinite);
  if (found.length < 2) return h("span", {class: "spark none", "aria-hidden": "true"});
  const bottom = Math.min(...found);
  const top = Math.max(...found);
  const x = (i) => 2 + (i * (width - 4)) / (values.length - 1);
  const y = (value) => 2 + (height - 4) * (1 - (value - bottom) / (top - bottom || 1));
  const points = thinned(values, width).map(([i, value]) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  return svg(
    "svg",
    {class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label},
    svg("polyline", {points: points.join(" ")}),
  );
}

/** At most so many of the finite values, as [index, value]. */
function thinned(values, most) {
  const every = Math.max(1, Math.ceil(values.length / most));
  const last = values.length - 1;
  return [...values.entries()].filter(([i, value]) => Number.isFinite(value) && (i % every === 0 || i === last));
}
