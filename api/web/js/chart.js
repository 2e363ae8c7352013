// A chart: Plotly, in the page's colours, changed in place; and a sketch of it until Plotly is here.

import {colours, data, isTwice, layout, lineColour, margin} from "./chart/figure.js";
import {loaded} from "./chart/library.js";
import {sketch} from "./chart/sketch.js";
import {SHORTCUTS, Zoom} from "./chart/zoom.js";
import {announce, h, uid} from "./dom.js";
import {number} from "./parts.js";
import {t} from "./texts.js";

export {traceColour} from "./chart/figure.js";

const CONFIG = {displayModeBar: false, responsive: false, displaylogo: false, doubleClick: false, showTips: false};

/** Shows a spec in `root` while its chart is being made; once the library is here, nothing. */
export function sketched(root, spec, {height = 360} = {}) {
  if (window.Plotly) return;
  const width = root.clientWidth || 640;
  const drawn = sketch(spec, colours(), {width, height, margin: margin(spec), twice: isTwice(spec), colour: lineColour});
  const before = root.querySelector(":scope > .sketch, :scope > .loading");
  if (before) before.replaceWith(drawn);  // and nothing else: what stands beneath may have the focus
  else root.prepend(drawn);
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
  return new Chart(await loaded(root), root, height);
}

class Chart {
  constructor(Plotly, root, height) {
    this.Plotly = Plotly;
    this.spec = {traces: []};
    this.dead = false;
    this.listening = false;
    this.moving = null;
    this.saying = null;
    const hint = h("p", {class: "keys", id: uid("keys")}, t("chart.keys"));
    this.box = h("div", {role: "img", style: {height: `${height}px`}});
    this.region = h("div", {
      class: "chart", role: "application", tabindex: 0, onkeydown: (event) => this.pressed(event),
      "aria-roledescription": t("chart.chart"), "aria-describedby": hint.id, "aria-keyshortcuts": SHORTCUTS,
    }, this.box, hint);
    this.zoom = new Zoom(this.box);
    root.replaceChildren(this.region);
    this.size = new ResizeObserver(() => this.resized());
    this.size.observe(root);
    this.redraw = () => this.draw();
    document.addEventListener("themechange", this.redraw);
  }

  update(changed) {
    if (changed.key !== this.spec.key) this.zoom.reset();
    this.spec = changed;
    return this.draw();
  }

  home() {
    this.zoom.reset();
    this.spec.onZoom?.(null);
    return this.draw();
  }

  destroy() {
    this.dead = true;
    clearTimeout(this.saying);
    this.size.disconnect();
    document.removeEventListener("themechange", this.redraw);
    this.Plotly.purge(this.box);
    this.region.remove();
  }

  async draw() {
    if (this.dead) return;
    const {box, spec} = this;
    for (const each of [box, this.region]) each.setAttribute("aria-label", spec.label ?? "");
    const theme = colours();
    const traces = spec.traces.map((trace, i) => data(trace, i, theme));
    const drawn = this.Plotly.react(box, traces, layout(spec, theme, this.zoom.parts), CONFIG);
    if (!this.listening) {  // there once it has been drawn
      box.on("plotly_relayout", (change) => {
        if (this.zoom.relaid(change).includes("xaxis")) this.spec.onZoom?.(this.zoom.parts.xaxis ?? null);
      });
      box.on("plotly_doubleclick", () => this.home());
    }
    this.listening = true;
    await drawn;
    this.zoom.drawn();
  }

  resized() {
    const {box} = this;
    if (!this.dead && box.offsetWidth && box.classList.contains("js-plotly-plot")) this.Plotly.Plots.resize(box);
  }

  pressed(event) {
    const meaning = this.zoom.meaning(event);
    if (meaning === "leave") this.region.blur();
    else if (meaning === "home") this.home();
    else if (meaning === "move") this.move(event.key);
    else return;
    event.preventDefault();
    clearTimeout(this.saying);
    if (meaning !== "leave") this.saying = setTimeout(() => this.say(), 400);
  }

  /** Shows another part at the next frame, however many keys there are until then. */
  move(key) {
    this.zoom.move(key);
    this.moving ??= requestAnimationFrame(() => {
      this.moving = null;
      if (!this.dead) this.Plotly.relayout(this.box, this.zoom.ranges);
    });
  }

  say() {
    if (this.zoom.isWhole) {
      announce(t("chart.whole"));
      return;
    }
    const {layout: shown} = this.box;
    const part = (name) => shown[name].range.map((end) => number(shown[name].type === "log" ? 10 ** end : end, 3));
    const [[from, to], [low, high]] = [part("xaxis"), part("yaxis")];
    announce(t("chart.part", {x: this.spec.x?.title ?? "", from, to, y: this.spec.y?.title ?? "", low, high}));
  }
}
