// A chart before Plotly is here: the same spec, as lines between axes, so that nobody waits for a large library to see
// a curve. It has neither zoom nor hover.

import {svg} from "../dom.js";

const TICKS = 6;

/**
 * An SVG of what chart.js draws of `spec`, by its layout: width, height and margin in pixels, whether there are two axes
 * (twice), and colour(trace, i, theme).
 */
export function sketch(spec, theme, {width, height, margin, twice, colour}) {
  const inner = {left: margin.l, right: width - margin.r, top: margin.t, bottom: height - margin.b};
  const across = scale([inner.left, inner.right], spec.traces.flatMap((trace) => ends(trace.x)), spec.x ?? {});
  const values = (axis) => spec.traces.filter((trace) => (trace.axis ?? "y") === axis).flatMap((trace) => ends(trace.y));
  const up = {
    y: scale([inner.bottom, inner.top], values("y"), spec.y ?? {}, 0.05),
    ...(twice ? {y2: scale([inner.bottom, inner.top], values("y2"), spec.y2 ?? {}, 0.05)} : {}),
  };
  const text = (x, y, anchor, words, more = {}) => svg("text", {x, y, "text-anchor": anchor, fill: theme.text, "font-size": 12, ...more}, words);
  const line = (x1, y1, x2, y2) => svg("line", {x1, y1, x2, y2, stroke: theme.grid});
  const middle = (inner.top + inner.bottom) / 2;
  const turned = (x, words) => text(x, middle, "middle", words, {transform: `rotate(-90 ${x} ${middle})`, "font-size": 14});
  return svg(
    "svg",
    {class: "sketch", role: "img", width, height, "aria-label": spec.label ?? "", "font-family": theme.font},
    across.ticks.map((value) => [line(across.at(value), inner.top, across.at(value), inner.bottom), text(across.at(value), inner.bottom + 16, "middle", short(value))]),
    up.y.ticks.map((value) => [line(inner.left, up.y.at(value), inner.right, up.y.at(value)), text(inner.left - 6, up.y.at(value) + 4, "end", short(value))]),
    twice && up.y2.ticks.map((value) => text(inner.right + 6, up.y2.at(value) + 4, "start", short(value))),
    text((inner.left + inner.right) / 2, height - 6, "middle", spec.x?.title ?? "", {"font-size": 14}),
    turned(14, spec.y?.title ?? ""),
    twice && turned(width - 8, spec.y2?.title ?? ""),
    spec.traces.map((trace, i) => svg("path", {
      class: "sketch-line", d: path(trace, across, up[trace.axis ?? "y"]), fill: "none", opacity: trace.opacity ?? 1,
      stroke: colour(trace, i, theme),
      "stroke-width": trace.width ?? 2, "stroke-dasharray": {dash: "9 9", dot: "3 3"}[trace.dash],
    })),
  );
}

/** The least and the greatest finite value; no spread over arguments, which a long list would be too many for. */
function ends(values) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return least <= greatest ? [least, greatest] : [];
}

/** Where values lie, and which are written beside the axis. */
function scale([from, to], values, {log, zero}, room = 0) {
  const known = values.filter((value) => !log || value > 0).map((value) => (log ? Math.log10(value) : value));
  if (zero && !log) known.push(0);
  let [least, greatest] = ends(known);
  if (least === undefined) [least, greatest] = [0, 1];
  const half = (greatest - least || Math.abs(greatest) || 1) * (greatest > least ? room : 0.5);
  if (!zero || log || least < 0) least -= half;
  greatest += half;
  const at = (value) => from + (to - from) * ((log ? Math.log10(value) : value) - least) / (greatest - least);
  const found = steps(least, greatest, log);
  return {at, ticks: log ? found.map((value) => 10 ** value) : found};
}

/** Round numbers between two. */
function steps(least, greatest, whole) {
  const rough = (greatest - least) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  if (whole) step = Math.max(1, Math.ceil(step));  // of powers of ten: a decade at least
  const found = [];
  for (let i = Math.ceil(least / step); i * step <= greatest; i += 1) found.push(i * step);
  return found;
}

function short(value) {
  const rounded = Number(value.toPrecision(6));
  return rounded !== 0 && Math.abs(rounded) < 0.01 ? rounded.toExponential() : String(rounded);
}

/** A trace as an SVG path; where a value is missing, it begins anew. */
function path({x, y, step}, across, up) {
  const parts = [];
  let open = false;
  for (let i = 0; i < x.length; i += 1) {
    const [left, top] = [across.at(x[i]), up.at(y[i])];
    if (y[i] === null || !Number.isFinite(top)) {
      open = false;
      continue;
    }
    if (!open) parts.push(`M${left.toFixed(1)} ${top.toFixed(1)}`);
    else if (step) parts.push(`H${left.toFixed(1)}V${top.toFixed(1)}`);
    else parts.push(`L${left.toFixed(1)} ${top.toFixed(1)}`);
    open = true;
  }
  return parts.join("");
}
