// One experiment: the leaderboard, the curves of all runs on top of each other, the runs. Live while it is not over.

import {follow, get} from "../api.js";
import {fill, h} from "../dom.js";
import {facts, failed, json} from "../jobs/facts.js";
import {heading} from "../jobs/heading.js";
import {polling, throttled} from "../jobs/live.js";
import {progress} from "../jobs/progress.js";
import {badge, ended} from "../jobs/states.js";
import {duration, moment, ran} from "../jobs/words.js";
import {number} from "../parts.js";
import {t} from "../texts.js";
import {leaderboard} from "./experiment/leaderboard.js";
import {overlay} from "./experiment/overlay.js";
import {runs} from "./experiment/runs.js";

export async function show(root, params) {
  const path = `/v1/experiments/${encodeURIComponent(params.id)}`;
  const view = new ExperimentView(await get(path), path);
  await view.open(root);
  return () => view.close();
}

class ExperimentView {
  constructor(job, path) {
    this.job = job;
    this.path = path;
    this.query = {by: "final", baseline: null}; // of the leaderboard
    this.head = heading(job, () => this.refresh());
    this.bar = progress(job);
    this.described = h("div");
    this.error = h("div");
    this.overlay = overlay(job, path, (problem) => this.say(problem));
    this.leaderboard = leaderboard(job, path, (changes) => this.ask(changes));
    this.runs = runs(job, path);
    this.reread = throttled(() => this.refresh(), 1000);
    this.stopFollowing = () => {};
  }

  async open(root) {
    const {job} = this;
    fill(
      root,
      h("p", {}, h("a", {href: "#/experiments"}, t("experiment.all"))),
      this.head.element,
      this.error,
      h("section", {class: "card stack", "aria-label": t("job.progress")}, this.bar.element, this.described),
      this.overlay.element,
      this.leaderboard.element,
      this.runs.element,
      json(t("job.spec"), job.spec),
    );
    this.describe();
    await this.overlay.open();
    if (!ended(job.state)) this.stopFollowing = follow(job.links.events, null, (event) => this.heard(event));
    this.stopPolling = polling(async () => {
      if (!ended(this.job.state)) await this.refresh();
    }, () => 5);
  }

  close() {
    this.stopFollowing();
    this.stopPolling();
    this.reread.stop();
    this.overlay.close();
    this.leaderboard.close();
  }

  describe() {
    const {job} = this;
    fill(this.described, summary(job));
    fill(this.error, failed(job));
    this.bar.update(job);
    this.head.update(job);
    this.leaderboard.update(job);
    this.runs.update(job);
  }

  /** Another order of the leaderboard, or another baseline. */
  ask(changes) {
    Object.assign(this.query, changes);
    this.refresh();
  }

  async refresh() {
    try {
      const {state} = this.job;
      this.job = await get(this.path, {query: this.query});
      this.describe();
      this.overlay.update(this.job);
      if (ended(this.job.state) && !ended(state)) this.stopFollowing();
    } catch (problem) {
      if (problem.name !== "AbortError" && problem.status) this.say(problem);
    }
  }

  heard({event, data}) {
    if (event === "progress") {
      this.job = {...this.job, progress: data};
      this.bar.update(this.job);
    } else if (event === "epoch") this.overlay.put(data.run, data.epoch, data);
    else this.reread();
  }

  say(problem) {
    fill(this.error, h("p", {class: "note bad", role: "alert"}, problem.message));
  }
}

function summary(job) {
  return facts([
    [t("experiment.configurations"), number(job.leaderboard.length)],
    [t("experiment.runs"), number(job.runs.length)],
    ...Object.entries(job.counts).map(([state, n]) => [badge(state), number(n)]),
    [t("job.ran"), duration(ran(job))],
    [t("job.created"), moment(job.created_at)],
  ]);
}
