// The events of a job, the latest first.

import {fill, h} from "../../dom.js";
import {percent} from "../../jobs/words.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";

const LINES = 100; // at most

/** The list of events. Returns {element, add(id, event, data), draw()}; what is added is seen once it is drawn. */
export function events() {
  const lines = [];
  const list = h("ol", {class: "events"});
  const box = h("div", {class: "scroll tall", tabindex: 0, role: "region", "aria-label": t("job.events")}, list);
  return {
    element: h("section", {class: "card stack"}, h("h2", {}, t("job.events")), box),
    add(id, event, data) {
      const at = new Date(Number(id.split("-")[0]));
      const time = h("time", {datetime: at.toISOString()}, at.toLocaleTimeString());
      lines.push(h("li", {}, time, " ", event === "epoch" ? epoch(data) : t(`states.${data.state}`)));
      if (lines.length > LINES) lines.shift();
    },
    draw: () => fill(list, [...lines].reverse()),
  };
}

function epoch(data) {
  return t("events.epoch", {
    n: data.epoch + 1, loss: number(data.train_loss), accuracy: percent(data.test_accuracy),
  });
}
