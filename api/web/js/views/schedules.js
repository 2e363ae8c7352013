// Schedules: any of the catalogue, their curves over each other, and what there is to know and to copy of them.
//
// The whole view is in its address (schedules/address.js).

import {Offline, connection} from "../api.js";
import {announce, fill, h} from "../dom.js";
import {t} from "../texts.js";
import {FIRST, read, written} from "./schedules/address.js";
import {list} from "./schedules/entries.js";
import {Code} from "./schedules/code.js";
import {Curves} from "./schedules/curves.js";
import {Editor} from "./schedules/editor.js";
import {facts} from "./schedules/facts.js";
import {Paste} from "./schedules/paste.js";
import {Picture} from "./schedules/picture.js";
import {Rows} from "./schedules/rows.js";
import {download, tools} from "./schedules/tools.js";

let kept = null;  // the view's address when it was left

export async function show(root, {query}) {
  const given = read(query.has("curves") || !kept ? query : new URLSearchParams(kept));
  const view = new SchedulesView(given ?? structuredClone(FIRST));
  await view.open(root, given === null);
  return () => view.close();
}

class SchedulesView {
  constructor(state) {
    this.closing = new AbortController();
    const {signal} = this.closing;
    const curves = new Curves(state, signal, (curve, turned) => this.answered(curve, turned));
    this.curves = curves;
    this.tools = tools(curves, {download: (format) => this.download(format), link: () => this.link()});
    const paste = new Paste(curves, signal, {take: (given) => this.take(given), run: (steps) => this.picture.setSteps(steps)});
    this.rows = new Rows(curves, {
      select: (i) => this.select(i), toggle: (i) => this.toggle(i), remove: (i) => this.remove(i),
      add: () => this.add(), duplicate: () => this.duplicate(),
    }, paste.element);
    this.editor = new Editor(curves, signal, {
      edited: (curve, valid) => this.edited(curve, valid), renamed: () => this.renamed(), another: (curve) => this.another(curve),
      add: () => this.add(), errors: (found) => this.picture.errors(found),
    });
    this.picture = new Picture(curves, Boolean(state.log), signal, {
      run: () => this.ran(), change: () => this.changed(), ready: () => this.filled,
      made: () => { list().then(() => this.editor.drawWrapping(), () => {}); },
    });
    this.facts = facts(curves);
    this.code = new Code(curves, signal);
  }

  async open(root, unread) {
    fill(
      root, this.tools.element,
      unread && h("p", {class: "note warn", role: "alert"}, t("schedules.unread")),
      h(
        "div", {class: "workbench"},
        h("div", {class: "stack side"}, this.rows.element, this.editor.element),
        h("div", {class: "stack shown"}, this.picture.element, this.facts.element, this.code.element),
      ),
    );
    this.listen();
    this.rows.draw();
    this.curves.computeAll();
    this.draw();
    this.filled = this.editor.edit();
    await this.filled;
    if (!this.closing.signal.aborted) this.drawCode();
  }

  listen() {
    const {signal} = this.closing;
    connection.addEventListener("change", () => {
      if (connection.state !== "online") return;
      for (const each of this.curves.all) if (each.problem instanceof Offline) this.curves.compute(each);
    }, {signal});
    document.addEventListener("themechange", () => {
      this.rows.draw();
      this.facts.draw();
    }, {signal});
  }

  close() {
    clearTimeout(this.writing);
    this.code.close();
    kept = this.address();
    this.closing.abort();
    this.picture.close();
  }

  // What is done with the list of curves.

  select(i) {
    this.curves.at = i;
    this.rows.draw();
    this.rows.focusChosen();
    this.editor.edit();
    this.changed();
  }

  toggle(i) {
    const curve = this.curves.all[i];
    curve.hidden = !curve.hidden;
    this.rows.draw();
    this.rows.focusToggle(i);
    this.changed();
  }

  remove(i) {
    announce(t("schedules.removed", {name: this.curves.remove(i).name}));
    this.rows.draw();
    this.rows.focusChosen();
    this.editor.edit();
    this.changed();
  }

  async add() {
    const step_size = Math.max(1, Math.round(this.curves.run.steps / 5));
    await this.begin(this.curves.put({schedule: {type: "StepLR", step_size, gamma: 0.5}, base_lr: 0.1}));
    this.editor.focus(".picker input");
  }

  async duplicate() {
    const {name, schedule, base_lr, metrics} = this.curves.selected;
    await this.begin(this.curves.put(structuredClone({name, schedule, base_lr, metrics})));
    this.editor.focus("input");
  }

  /** A curve that was pasted. */
  async take(given) {
    const curve = this.curves.put(given);
    await this.begin(curve);
    return curve;
  }

  async begin(curve) {
    this.curves.at = this.curves.all.indexOf(curve);
    announce(t("schedules.added", {name: curve.name}));
    this.another(curve);
    await this.editor.edit();
  }

  // What happens to curves.

  another(curve) {
    this.curves.compute(curve);
    this.renamed();
  }

  edited(curve, valid) {
    if (valid) this.curves.compute(curve);
    this.changed();
  }

  renamed() {
    this.rows.draw();
    this.changed();
  }

  ran() {
    this.curves.computeAll();
    this.changed();
  }

  answered(curve, turned) {
    if (turned) this.rows.draw();
    if (curve === this.curves.selected) this.editor.tell(curve);
    this.draw();
  }

  /** Something in the view has changed: draw, and put it into the address. */
  changed() {
    this.draw();
    this.drawCode();
    clearTimeout(this.writing);
    this.writing = setTimeout(() => history.replaceState(null, "", `#/schedules?${this.address()}`), 250);
  }

  /** Draws once for all that has changed since the last picture on the screen. */
  draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (this.closing.signal.aborted) return;
      this.facts.draw();
      this.picture.draw();
    });
  }

  drawCode() {
    this.tools.draw();
    this.code.draw();
  }

  address() {
    return written(this.curves, this.picture.log);
  }

  link() {
    return `${location.origin}/#/schedules?${this.address()}`;
  }

  async download(format) {
    try {
      await download(this.curves, format, this.picture.log, this.closing.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.facts.fail(error, () => this.draw());
    }
  }
}
