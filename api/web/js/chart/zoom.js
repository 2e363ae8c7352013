// Which part of a chart is shown, and what the keys do to it.

// It grows by a factor around its middle, or moves by a share of itself.
const KEYS = {
  "+": {by: 1 / 1.5}, "=": {by: 1 / 1.5}, "-": {by: 1.5}, "_": {by: 1.5},
  ArrowLeft: {x: -0.2}, ArrowRight: {x: 0.2}, ArrowUp: {y: 0.2}, ArrowDown: {y: -0.2},
};
const LEAST = 1e-6;  // of an axis, that is shown at least

/** The keys, for aria-keyshortcuts. */
export const SHORTCUTS = "Plus - ArrowLeft ArrowRight ArrowUp ArrowDown 0 Home Escape";

/** The ranges of a chart's axes, as Plotly counts them: powers of ten on a log axis. */
export class Zoom {
  parts = {};  // of axes of which a part is shown
  whole = {};  // of each axis, when it was last shown whole

  /** `box` is the element that Plotly draws in. */
  constructor(box) {
    this.box = box;
  }

  get axes() {
    return ["xaxis", "yaxis", "yaxis2"].filter((name) => this.box.layout?.[name]?.range);
  }

  /** Whether there is anything that can be zoomed. */
  get ready() {
    return this.axes.length > 0 && this.axes.every((name) => this.whole[name]);
  }

  /** Whether the whole is shown. */
  get isWhole() {
    return Object.keys(this.parts).length === 0;
  }

  /** The ranges to show, as Plotly.relayout takes them. */
  get ranges() {
    return Object.fromEntries(this.axes.map((name) => [`${name}.range`, [...this.parts[name] ?? this.whole[name]]]));
  }

  /** The chart was drawn: what it shows of an axis without a part is the whole. */
  drawn() {
    for (const name of this.axes) if (!this.parts[name]) this.whole[name] = [...this.box.layout[name].range];
  }

  /** The whole of every axis is to be shown. */
  reset() {
    this.parts = {};
  }

  /** A part is shown, whoever asked for it: kept, as each new spec would show the whole. Returns the axes that changed. */
  relaid(change) {
    const names = this.axes.filter((name) => Object.keys(change).some((key) => key.startsWith(`${name}.`)));
    for (const name of names) this.show(name, this.box.layout[name].range.map(Number));
    return names;
  }

  show(name, range) {
    this.parts[name] = range;
    if (range.every((end, i) => end === this.whole[name]?.[i])) delete this.parts[name];
  }

  /** What a key does: "leave", "home", "move", or null where it is not for the chart. */
  meaning(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.ready) return null;
    const change = KEYS[event.key];
    if (event.key === "Escape") return "leave";
    if (change?.by || (change && !this.isWhole)) return "move";
    if (!this.isWhole && (event.key === "0" || event.key === "Home")) return "home";
    return null;  // while all is shown, arrows and Home move the page as everywhere
  }

  /** Another part, within the whole, by a key that means "move". */
  move(key) {
    const {by = 1, x = 0, y = 0} = KEYS[key];
    for (const name of this.axes) {
      const [low, high] = this.whole[name];
      const [from, to] = this.parts[name] ?? this.whole[name];
      const span = Math.max((to - from) * by, (high - low) * LEAST);
      const start = Math.max(low, Math.min(high - span, (from + to - span) / 2 + (name === "xaxis" ? x : y) * span));
      this.show(name, span < (high - low) * (1 - 1e-9) ? [start, start + span] : this.whole[name]);
    }
  }
}
