// What Plotly is given of a spec: traces and layout, in the colours of the page.

import {isNarrow} from "../dom.js";

/** The colours and the font of the theme, as it is now. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    text: value("--text"),
    muted: value("--muted"),
    grid: value("--line"),
    back: value("--surface"),
    font: value("--font"),
    traces: value("--traces").split(/\s*,\s*/),
  };
}

/** The colour of the i-th trace, as the theme has it now. */
export function traceColour(i) {
  const {traces} = colours();
  return traces[i % traces.length];
}

/** The colour of a trace that may name its own. */
export function lineColour(trace, i, theme) {
  return typeof trace.colour === "string" ? trace.colour : theme.traces[(trace.colour ?? i) % theme.traces.length];
}

/** A trace of a spec as Plotly's. */
export function data(trace, i, theme) {
  const colour = lineColour(trace, i, theme);
  return {
    type: "scatter",  // not scattergl: WebGL's compiler needs unsafe-eval
    name: plain(trace.name),
    x: trace.x,
    y: trace.y,
    yaxis: trace.axis ?? "y",
    mode: trace.mode ?? "lines",
    opacity: trace.opacity ?? 1,
    connectgaps: false,
    hovertemplate: trace.hover ?? undefined,
    ...(trace.hover === null ? {hoverinfo: "skip"} : {}),
    text: trace.text,
    line: {color: colour, width: trace.width ?? 2, dash: trace.dash ?? "solid", shape: trace.step ? "hv" : "linear"},
    marker: {color: colour, size: trace.size ?? 5},
    showlegend: trace.legend ?? true,
  };
}

/** Whether a spec has an axis on the right. */
export function isTwice(spec) {
  return spec.traces.some((trace) => trace.axis === "y2");
}

/** What is left free around a chart, in pixels. */
export function margin(spec) {
  const narrow = isNarrow();
  return {l: narrow ? 58 : 64, r: isTwice(spec) ? (narrow ? 54 : 60) : 16, t: 12, b: 44};
}

/** Plotly's layout for a spec of which `parts` of the axes are shown, by axis; the whole of those that are not in it. */
export function layout(spec, theme, parts) {
  const narrow = isNarrow();
  const right = {overlaying: "y", side: "right", showgrid: false};
  return {
    uirevision: spec.key ?? "kept",
    autosize: true,
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: {family: theme.font, size: 12, color: theme.text},
    margin: margin(spec),
    hovermode: spec.closest ?? spec.traces.length > 12 ? "closest" : "x unified",
    hoverlabel: {bgcolor: theme.back, bordercolor: theme.grid, font: {color: theme.text}},
    showlegend: spec.legend ?? spec.traces.length > 1,
    legend: {orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "transparent", traceorder: spec.reversed ? "reversed" : "normal"},
    dragmode: narrow ? false : "zoom",
    xaxis: axis(spec.x ?? {}, theme, parts.xaxis),
    yaxis: axis(spec.y ?? {}, theme, parts.yaxis),
    ...(isTwice(spec) ? {yaxis2: {...axis(spec.y2 ?? {}, theme, parts.yaxis2), ...right}} : {}),
    ...marks(spec, theme),
  };
}

/** The vertical lines of a spec, and what is written at them. */
function marks(spec, theme) {
  const all = spec.marks ?? [];
  return {
    shapes: all.map((mark) => ({
      type: "line", xref: "x", yref: "paper", x0: mark.x, x1: mark.x, y0: 0, y1: 1,
      line: {color: mark.colour ?? theme.muted, width: 1.5, dash: "dot"},
    })),
    annotations: all.filter((mark) => mark.label).map((mark, i) => ({
      x: spec.x?.log ? Math.log10(mark.x) : mark.x, xref: "x", y: 1 - 0.08 * (i % 4), yref: "paper", text: plain(mark.label),
      showarrow: false, xanchor: "left", xshift: 4, bgcolor: theme.back, font: {color: mark.colour ?? theme.muted, size: 12},
    })),
  };
}

/** Plotly reads a few tags and entities in texts: names from the API are to be shown as they are. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function axis({title, log, range, zero}, theme, part) {
  const shown = part ?? (log && range ? range.map(Math.log10) : range);
  return {
    title: {text: title ?? "", standoff: 8},
    type: log ? "log" : "linear",
    exponentformat: "e",  // a power would be markup, and its style against the policy
    ...(shown ? {range: [...shown], autorange: false} : {autorange: true}),
    uirevision: false,  // which part is shown is kept here: Plotly would forget what a key has asked for
    rangemode: zero && !log ? "tozero" : "normal",
    gridcolor: theme.grid,
    linecolor: theme.grid,
    zerolinecolor: theme.grid,
    tickcolor: theme.grid,
    tickmode: "auto",  // not those of the axis beneath
    automargin: true,
    fixedrange: false,
  };
}
