// All jobs: training jobs, range tests and experiments, and who works on them.

import {get} from "../api.js";
import {fill, h} from "../dom.js";
import {list, queues} from "../list.js";
import {t} from "../texts.js";
import {polling} from "../work.js";

export async function show(root, params) {
  const box = h("div");
  const beside = h(
    "section",
    {class: "card row spread", "aria-label": t("queues.title")},
    h("h2", {}, t("queues.title")),
    box,
  );
  const stopList = list(root, params, {path: "/v1/jobs", name: "jobs", labels: true, submit: "#/submit", beside});

  let before = "";
  async function look() {
    try {
      const ready = await get("/readyz");
      const now = JSON.stringify(ready.queues);
      if (now !== before) fill(box, queues(ready));
      before = now;
    } catch (error) {
      if (error.name === "AbortError") return;
      before = "";
      fill(box, h("p", {class: "muted"}, t("queues.unknown")));
    }
  }

  look();
  const stopQueues = polling(look, () => 5);
  return () => {
    stopList();
    stopQueues();
  };
}
