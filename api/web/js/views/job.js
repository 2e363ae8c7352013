// One training job: its figure as it grows, what it is, what it has left, what can be done with it.

import {follow, get} from "../api.js";
import {fill, h} from "../dom.js";
import {failed, json} from "../jobs/facts.js";
import {artifacts} from "../jobs/files.js";
import {heading} from "../jobs/heading.js";
import {polling, throttled} from "../jobs/live.js";
import {progress} from "../jobs/progress.js";
import {ended} from "../jobs/states.js";
import {address, shownAs} from "../kinds.js";
import {t} from "../texts.js";
import {events} from "./job/events.js";
import {figure} from "./job/figure.js";
import {summary} from "./job/summary.js";

export async function show(root, params) {
  const job = await get(`/v1/jobs/${encodeURIComponent(params.id)}`);
  if (shownAs(job.kind).view !== "jobs") {
    location.replace(address(job));
    return () => {};
  }
  const view = new JobView(job);
  view.open(root);
  return () => view.close();
}

class JobView {
  constructor(job) {
    this.job = job;
    this.epochs = []; // by their number: an epoch that is trained again replaces the one before
    this.head = heading(job, (changed) => this.changed(changed));
    this.error = h("div");
    this.bar = progress(job);
    this.summary = summary();
    this.figure = figure(job);
    this.files = h("section", {class: "card stack"});
    this.events = events();
  }

  open(root) {
    const {job} = this;
    fill(
      root,
      h("p", {}, h("a", {href: "#/jobs"}, t("job.all"))),
      this.head.element,
      this.error,
      h("section", {class: "card stack", "aria-label": t("job.progress")}, this.bar.element, this.summary.element),
      this.figure.element,
      h("div", {class: "columns"}, this.files, this.events.element),
      json(t("job.spec"), job.spec),
    );
    this.redraw = throttled(() => this.draw());
    this.stopFollowing = follow(job.links.events, null, (event) => this.heard(event), (state) => this.connected(state));
    this.figure.update(job, this.epochs);
    this.describe();
    artifacts(job, this.files);
    // what no event tells: the place in the queue, and what the job was asked for
    this.stopPolling = polling(async () => {
      if (!ended(this.job.state)) await this.refresh();
    }, () => 3);
  }

  close() {
    this.stopFollowing();
    this.stopPolling();
    this.redraw.stop();
    this.figure.close();
  }

  draw() {
    this.figure.update(this.job, this.epochs);
    this.describe();
    this.events.draw();
  }

  describe() {
    const {job} = this;
    this.summary.update(job);
    fill(this.error, failed(job));
    this.bar.update(job);
    this.head.update(job);
  }

  changed(job) {
    const before = this.job.state;
    this.job = job;
    this.describe();
    if (job.state !== before && ended(job.state)) artifacts(job, this.files);
  }

  async refresh() {
    try {
      this.changed(await get(`/v1/jobs/${encodeURIComponent(this.job.id)}`));
    } catch {
      /* the stream says whether the service is there */
    }
  }

  heard({id, event, data}) {
    const over = ended(this.job.state);
    if (event === "progress") this.job = {...this.job, progress: data};
    if (event === "epoch") {
      this.epochs[data.epoch] = data;
      if (!over) this.job = withEpoch(this.job, data);
    }
    if (event === "epoch" || event === "state") this.events.add(id, event, data);
    if ((event === "state" || event === "end") && !over) this.refresh();
    this.redraw();
  }

  connected(state) {
    const live = state === "open" && !ended(this.job.state);
    this.figure.say(state === "waiting" ? t("job.reconnecting") : live ? t("job.live") : "");
  }
}

/** The job with an epoch more. Which one is best where accuracies of a validation split decide, the API says. */
function withEpoch(job, epoch) {
  const best = !job.best || epoch.test_accuracy > job.best.test_accuracy;
  return {...job, metrics: epoch, best: best && epoch.val_accuracy === undefined ? epoch : job.best};
}
