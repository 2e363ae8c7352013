// A chart: Plotly, in the page's colours, changed in place; and a sketch of it until Plotly is here.

import {announce, h, isNarrow, uid} from "./dom.js";
import {number} from "./parts.js";
import {sketch} from "./sketch.js";
import {t} from "./texts.js";

let library = null;
// What a key does to the part that is shown: it grows by a factor around its middle, or moves by a share of itself.
const KEYS = {
  "+": {by: 1 / 1.5}, "=": {by: 1 / 1.5}, "-": {by: 1.5}, "_": {by: 1.5},
  ArrowLeft: {x: -0.2}, ArrowRight: {x: 0.2}, ArrowUp: {y: 0.2}, ArrowDown: {y: -0.2},
};
const SHORTCUTS = "Plus - ArrowLeft ArrowRight ArrowUp ArrowDown 0 Home Escape";
const LEAST = 1e-6;  // of an axis, that is shown at least
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
 * Makes a chart in `root`. Returns {update(spec), home(), destroy()}; `home` shows the whole again.
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
 *
 * It takes the focus; keys then do what the mouse does, and a hint says which.
 */
export async function chart(root, {height = 360} = {}) {
  const Plotly = await loaded(root);
  const hint = h("p", {class: "keys", id: uid("keys")}, t("chart.keys"));
  const box = h("div", {role: "img", style: {height: `${height}px`}});
  const region = h("div", {
    class: "chart", role: "application", tabindex: 0, onkeydown: pressed,
    "aria-roledescription": t("chart.chart"), "aria-describedby": hint.id, "aria-keyshortcuts": SHORTCUTS,
  }, box, hint);
  root.replaceChildren(region);
  let spec = {traces: []};
  let dead = false;
  const config = {displayModeBar: false, responsive: false, displaylogo: false, doubleClick: false, showTips: false};
  // Ranges by axis, as Plotly counts them: powers of ten on a log axis.
  let view = {};  // of axes of which a part is shown
  const whole = {};  // of each axis, when it was last shown whole
  let moving = null;
  let saying = null;

  const axes = () => ["xaxis", "yaxis", "yaxis2"].filter((name) => box.layout?.[name]?.range);

  let listening = false;
  async function draw() {
    if (dead) return;
    for (const each of [box, region]) each.setAttribute("aria-label", spec.label ?? "");
    const theme = colours();
    const drawn = Plotly.react(box, spec.traces.map((trace, i) => data(trace, i, theme)), layout(spec, theme, view), config);
    if (!listening) {  // there once it has been drawn
      box.on("plotly_relayout", zoomed);
      box.on("plotly_doubleclick", home);
    }
    listening = true;
    await drawn;
    for (const name of axes()) if (!view[name]) whole[name] = [...box.layout[name].range];
  }

  /** A part is shown, whoever asked for it: kept, as each new spec would show the whole. */
  function zoomed(change) {
    const names = axes().filter((name) => Object.keys(change).some((key) => key.startsWith(`${name}.`)));
    for (const name of names) show(name, box.layout[name].range.map(Number));
    if (names.includes("xaxis")) spec.onZoom?.(view.xaxis ?? null);
  }

  function show(name, range) {
    view[name] = range;
    if (range.every((end, i) => end === whole[name]?.[i])) delete view[name];
  }

  function home() {
    view = {};
    spec.onZoom?.(null);
    return draw();
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !axes().length || axes().some((name) => !whole[name])) return;
    const part = Object.keys(view).length > 0;
    const change = KEYS[event.key];
    if (event.key === "Escape") region.blur();
    else if (change?.by || (change && part)) go(change);
    else if (part && (event.key === "0" || event.key === "Home")) home();
    else return;  // while all is shown, arrows and Home move the page as everywhere
    event.preventDefault();
    clearTimeout(saying);
    if (event.key !== "Escape") saying = setTimeout(say, 400);
  }

  /** Shows another part, within the whole; at the next frame, however many keys there are until then. */
  function go({by = 1, x = 0, y = 0}) {
    for (const name of axes()) {
      const [low, high] = whole[name];
      const [from, to] = view[name] ?? whole[name];
      const span = Math.max((to - from) * by, (high - low) * LEAST);
      const start = Math.max(low, Math.min(high - span, (from + to - span) / 2 + (name === "xaxis" ? x : y) * span));
      show(name, span < (high - low) * (1 - 1e-9) ? [start, start + span] : whole[name]);
    }
    moving ??= requestAnimationFrame(() => {
      moving = null;
      if (!dead) Plotly.relayout(box, Object.fromEntries(axes().map((name) => [`${name}.range`, [...view[name] ?? whole[name]]])));
    });
  }

  function say() {
    if (!Object.keys(view).length) {
      announce(t("chart.whole"));
      return;
    }
    const part = (name) => box.layout[name].range.map((end) => number(box.layout[name].type === "log" ? 10 ** end : end, 3));
    const [[from, to], [low, high]] = [part("xaxis"), part("yaxis")];
    announce(t("chart.part", {x: spec.x?.title ?? "", from, to, y: spec.y?.title ?? "", low, high}));
  }

  const redraw = () => draw();
  const size = new ResizeObserver(() => { if (!dead && box.offsetWidth && box.classList.contains("js-plotly-plot")) Plotly.Plots.resize(box); });
  size.observe(root);
  document.addEventListener("themechange", redraw);
  return {
    update(changed) {
      if (changed.key !== spec.key) view = {};
      spec = changed;
      return draw();
    },
    home,
    destroy() {
      dead = true;
      clearTimeout(saying);
      size.disconnect();
      document.removeEventListener("themechange", redraw);
      Plotly.purge(box);
      region.remove();
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

function layout(spec, theme, view) {
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
    xaxis: axis(spec.x ?? {}, theme, view.xaxis),
    yaxis: axis(spec.y ?? {}, theme, view.yaxis),
    ...(twice ? {yaxis2: {...axis(spec.y2 ?? {}, theme, view.yaxis2), overlaying: "y", side: "right", showgrid: false}} : {}),
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
