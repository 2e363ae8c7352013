// The list of curves: choose, show or hide, remove, add.

import {traceColour} from "../../chart.js";
import {fill, h, icon, uid} from "../../dom.js";
import {t} from "../../texts.js";

/** The card with the list, and `below` it another part. `on`: {select(i), toggle(i), remove(i), add(), duplicate()}. */
export class Rows {
  constructor(curves, on, below) {
    this.curves = curves;
    this.on = on;
    this.list = h("ul", {class: "curves"});
    this.twin = h("button", {type: "button", class: "small", onclick: () => on.duplicate()}, t("schedules.duplicate"));
    const add = h("button", {type: "button", class: "small", onclick: () => on.add()}, t("schedules.add"));
    this.element = h(
      "section", {class: "card stack curve-card", "aria-label": t("schedules.curves")},
      h("h2", {}, t("schedules.curves")), this.list, h("div", {class: "row"}, add, this.twin), below,
    );
  }

  draw() {
    fill(this.list, this.curves.all.map((curve, i) => this.row(curve, i)));
    this.twin.disabled = !this.curves.selected;
  }

  row(curve, i) {
    const id = uid("curve");
    const chosen = i === this.curves.at;
    const choice = h("input", {type: "radio", name: "curve-choice", id, checked: chosen, onchange: () => this.on.select(i)});
    const swatch = h("span", {class: "line-swatch", style: {background: traceColour(curve.colour)}, "aria-hidden": "true"});
    const wrong = curve.problem && h("span", {class: "badge bad"}, t("schedules.wrong"));
    return h(
      "li", {class: `curve-row${chosen ? " chosen" : ""}${curve.hidden ? " hidden-curve" : ""}`},
      choice,
      h("label", {for: id}, swatch, h("span", {class: "curve-name"}, curve.name), wrong),
      this.toggle(curve, i),
      this.remove(curve, i),
    );
  }

  toggle(curve, i) {
    return h("button", {
      type: "button", class: "bare small", "aria-pressed": String(!curve.hidden),
      "aria-label": t("schedules.shown", {name: curve.name}), title: t(curve.hidden ? "schedules.show" : "schedules.hide"),
      onclick: () => this.on.toggle(i),
    }, icon(curve.hidden ? "hidden" : "eye"));
  }

  remove(curve, i) {
    const text = t("schedules.remove", {name: curve.name});
    const onclick = () => this.on.remove(i);
    return h("button", {type: "button", class: "bare small", "aria-label": text, title: text, onclick}, icon("close"));
  }

  /** The focus goes to the chosen curve; to the button that adds one where there is none. */
  focusChosen() {
    (this.list.querySelector("input:checked") ?? this.list.nextElementSibling.querySelector("button")).focus();
  }

  /** The focus goes to the button that shows or hides the i-th curve. */
  focusToggle(i) {
    this.list.children[i].querySelector("button").focus();
  }
}
