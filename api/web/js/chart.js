// A chart: Plotly, in the page's colours, changed in place; and a sketch of it until Plotly is here.

import {h, isNarrow} from "./dom.js";
import {sketch} from "./sketch.js";
import {t} from "./texts.js";

let library = null;
const retries = new EventTarget();  // of all charts that wait for the library

/** Plotly, loaded at first use from the address that the page names. */
function plotly() {
  library ??= painted().then(() => new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = h("script", {src: document.getElementById("plotly").getAttribute("href")});
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = null;  // so that it is tried again
      reject(new Error(t("chart.no_library")));
    };
    document.head.append(script);
  }));
  return library;
}

/** What the page has so far is on the screen: to run the library takes it for half a second. */
function painted() {
  if (document.hidden) return Promise.resolve();
  return new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });
}

/**
 * The library; while it cannot be loaded, `root` says so and offers to try again. A sketch that is there stays, the message
 * beneath it.
 */
async function loaded(root) {
  for (;;) {
    try {
      return await plotly();
    } catch (error) {
      root.querySelector(":scope > .loading")?.remove();
      const button = h("button", {type: "button", class: "small", onclick: () => retries.dispatchEvent(new Event("retry"))}, t("state.retry"));
      const message = h("div", {class: "note bad row spread", role: "alert"}, error.message, button);
      root.append(message);
      await new Promise((retry) => { retries.addEventListener("retry", retry, {once: true}); });
      message.remove();
    }
  }
}

/** Shows a spec in `root` while its chart is being made; once the library is here, nothing. */
export function sketched(root, spec, {height = 360} = {}) {
  if (window.Plotly) return;
  const drawn = sketch(spec, colours(), {width: root.clientWidth || 640, height, margin: margin(spec), twice: isTwice(spec), colour: lineColour});
  const before = root.querySelector(":scope > .sketch, :scope > .loading");
  if (before) before.replaceWith(drawn);  // and nothing else: what stands beneath may have the focus
  else root.prepend(drawn);
}

function colours() {
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

/**
 * Makes a chart in `root`. Returns {update(spec), home(), resize(), destroy()}; `home` shows the whole again.
 *
 * spec:
 *   traces: [{name, x, y, colour (an index into the theme's, or a CSS colour), axis ("y2" for the right one), dash, width,
 *             opacity, mode ("lines", "markers", "lines+markers"), step (true for a staircase), hover (Plotly's template, or
 *             null for a trace that the pointer passes over), text (for the template, one a point)}]
 *   x, y, y2: {title, log, range, zero (true to begin at 0)}; y2 only if a trace is on it
 *   marks: [{x, label, colour}] vertical lines
 *   legend: whether to show one (default: more than one trace); reversed: whether the last trace comes first in it
 *   closest: whether the pointer tells of the nearest point alone (default: with more than twelve traces)
 *   onZoom([from, to] of x, or null for the whole): called when another part is shown
 *   label: what the picture shows, for those who do not see it
 *   key: zoom is kept while it stays the same
 */
export async function chart(root, {height = 360} = {}) {
  const Plotly = await loaded(root);
  const box = h("div", {class: "chart", role: "img", style: {height: `${height}px`}});
  root.replaceChildren(box);
  let spec = {traces: []};
  let dead = false;
  const config = {displayModeBar: false, responsive: false, displaylogo: false, doubleClick: "reset", showTips: false};

  let zoomable = false;
  function draw() {
    if (dead) return undefined;
    box.setAttribute("aria-label", spec.label ?? "");
    const theme = colours();
    const drawn = Plotly.react(box, spec.traces.map((trace, i) => data(trace, i, theme)), layout(spec, theme), config);
    if (!zoomable) box.on("plotly_relayout", zoomed);  // there once it has been drawn
    zoomable = true;
    return drawn;
  }

  function zoomed(change) {
    const names = Object.keys(change);
    if (!names.some((name) => name.startsWith("xaxis"))) return;
    spec.onZoom?.(names.includes("xaxis.autorange") ? null : box.layout.xaxis.range.map(Number));
  }

  const redraw = () => draw();
  const size = new ResizeObserver(() => { if (!dead && box.offsetWidth && box.classList.contains("js-plotly-plot")) Plotly.Plots.resize(box); });
  size.observe(root);
  document.addEventListener("themechange", redraw);
  return {
    element: box,
    update(changed) {
      spec = changed;
      return draw();
    },
    home: () => Plotly.relayout(box, Object.fromEntries(["xaxis", "yaxis", "yaxis2"].filter((name) => box.layout?.[name]).map((name) => [`${name}.autorange`, true]))),
    resize: () => Plotly.Plots.resize(box),
    destroy() {
      dead = true;
      size.disconnect();
      document.removeEventListener("themechange", redraw);
      Plotly.purge(box);
      box.remove();
    },
  };
}

function lineColour(trace, i, theme) {
  return typeof trace.colour === "string" ? trace.colour : theme.traces[(trace.colour ?? i) % theme.traces.length];
}

function data(trace, i, theme) {
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

const isTwice = (spec) => spec.traces.some((trace) => trace.axis === "y2");

function margin(spec) {
  const narrow = isNarrow();
  return {l: narrow ? 58 : 64, r: isTwice(spec) ? (narrow ? 54 : 60) : 16, t: 12, b: 44};
}

function layout(spec, theme) {
  const twice = isTwice(spec);
  const narrow = isNarrow();
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
    xaxis: axis(spec.x ?? {}, theme),
    yaxis: axis(spec.y ?? {}, theme),
    ...(twice ? {yaxis2: {...axis(spec.y2 ?? {}, theme), overlaying: "y", side: "right", showgrid: false}} : {}),
    shapes: (spec.marks ?? []).map((mark) => ({
      type: "line", xref: "x", yref: "paper", x0: mark.x, x1: mark.x, y0: 0, y1: 1,
      line: {color: mark.colour ?? theme.muted, width: 1.5, dash: "dot"},
    })),
    annotations: (spec.marks ?? []).filter((mark) => mark.label).map((mark, i) => ({
      x: spec.x?.log ? Math.log10(mark.x) : mark.x, xref: "x", y: 1 - 0.08 * (i % 4), yref: "paper", text: plain(mark.label),
      showarrow: false, xanchor: "left", xshift: 4, bgcolor: theme.back, font: {color: mark.colour ?? theme.muted, size: 12},
    })),
  };
}

/** Plotly reads a few tags and entities in texts: names from the API are to be shown as they are. */
export function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function axis({title, log, range, zero}, theme) {
  return {
    title: {text: title ?? "", standoff: 8},
    type: log ? "log" : "linear",
    exponentformat: "e",  // a power would be markup, and its style against the policy
    ...(range ? {range: log ? range.map(Math.log10) : range, autorange: false} : {autorange: true}),
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
