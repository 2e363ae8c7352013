// One LR range test: its losses over the rate, and what they suggest.

import {follow, get} from "../api.js";
import {fill, h} from "../dom.js";
import {failed, json} from "../jobs/facts.js";
import {heading} from "../jobs/heading.js";
import {polling, throttled} from "../jobs/live.js";
import {progress} from "../jobs/progress.js";
import {ended} from "../jobs/states.js";
import {address, kinds, shownAs} from "../kinds.js";
import {t} from "../texts.js";
import {losses} from "./range_test/losses.js";
import {suggestions} from "./range_test/suggestions.js";

export async function show(root, params) {
  const [job, known] = await Promise.all([get(`/v1/jobs/${encodeURIComponent(params.id)}`), kinds()]);
  if (shownAs(job.kind).view !== "range-tests") {
    location.replace(address(job));
    return () => {};
  }
  const view = new RangeTestView(job, known);
  view.open(root);
  return () => view.close();
}

class RangeTestView {
  constructor(job, known) {
    this.job = job;
    this.head = heading(job, (changed) => this.changed(changed));
    this.bar = progress(job);
    this.error = h("div");
    this.losses = losses();
    this.suggestions = suggestions(known);
  }

  open(root) {
    const {job} = this;
    fill(
      root,
      h("p", {}, h("a", {href: "#/jobs"}, t("job.all"))),
      this.head.element,
      this.error,
      h("section", {class: "card stack", "aria-label": t("job.progress")}, this.bar.element),
      this.losses.element,
      this.suggestions.element,
      json(t("job.spec"), job.spec),
    );
    this.redraw = throttled(() => this.bar.update(this.job));
    this.changed(job);
    const over = ended(job.state);
    this.stopFollowing = over ? () => {} : follow(job.links.events, null, (event) => this.heard(event));
    this.stopPolling = polling(async () => {
      if (!ended(this.job.state)) await this.refresh();
    }, () => 3);
  }

  close() {
    this.stopFollowing();
    this.stopPolling();
    this.redraw.stop();
    this.losses.close();
  }

  changed(job) {
    this.job = job;
    fill(this.error, failed(job));
    this.bar.update(job);
    this.head.update(job);
    this.losses.update(job);
    this.suggestions.update(job);
  }

  async refresh() {
    try {
      this.changed(await get(`/v1/jobs/${encodeURIComponent(this.job.id)}`));
    } catch {
      /* it is asked again */
    }
  }

  heard({event, data}) {
    if (event === "progress") this.job = {...this.job, progress: data};
    if (event === "state" || event === "end") this.refresh();
    this.redraw();
  }
}
