// All jobs: training jobs, range tests and experiments, and who works on them.

import {get} from "../api.js";
import {fill, h} from "../dom.js";
import {polling} from "../jobs/live.js";
import {list} from "../list.js";
import {number} from "../parts.js";
import {t} from "../texts.js";

export async function show(root, params) {
  const waiting = queues();
  const beside = h(
    "section",
    {class: "card row spread", "aria-label": t("queues.title")},
    h("h2", {}, t("queues.title")),
    waiting.element,
  );
  const stopList = list(root, params, {path: "/v1/jobs", name: "jobs", labels: true, submit: "#/submit", beside});
  waiting.look();
  const stopQueues = polling(waiting.look, () => 5);
  return () => {
    stopList();
    stopQueues();
  };
}

/** The queues, as they are each time after look(). Returns {element, look()}. */
function queues() {
  const element = h("div");
  let before = "";
  async function look() {
    try {
      const ready = await get("/readyz");
      const now = JSON.stringify(ready.queues);
      if (now !== before) fill(element, drawn(ready.queues));
      before = now;
    } catch (error) {
      if (error.name === "AbortError") return;
      before = "";
      fill(element, h("p", {class: "muted"}, t("queues.unknown")));
    }
  }
  return {element, look};
}

/** What waits for whom. */
function drawn(all) {
  const names = Object.entries(all);
  if (!names.length) return h("p", {class: "note warn"}, t("queues.no_workers"));
  const queue = ([name, {waiting, workers}]) =>
    h(
      "div",
      {class: "queue"},
      h("strong", {}, name),
      h("span", {}, t("queues.waiting", {n: number(waiting)})),
      h("span", {class: workers ? "" : "error"}, t("queues.workers", {n: number(workers)})),
    );
  return h("div", {class: "row queues"}, names.map(queue));
}
