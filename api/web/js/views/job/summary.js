// What is known of a job, in figures.

import {fill, h} from "../../dom.js";
import {facts} from "../../jobs/facts.js";
import {duration, moment, percent, ran} from "../../jobs/words.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";

/** The facts of a job. Returns {element, update(job)}. */
export function summary() {
  const element = h("div");
  return {element, update: (job) => fill(element, facts(known(job)))};
}

function known(job) {
  const {metrics, best} = job;
  return [
    [t("job.test_accuracy"), percent(metrics?.test_accuracy)],
    [t("job.best"), best ? t("job.best_at", {accuracy: percent(best.test_accuracy), epoch: best.epoch + 1}) : "–"],
    [t("job.train_loss"), number(metrics?.train_loss ?? job.progress.train_loss)],
    [t("job.lr"), metrics ? metrics.lr.map((rate) => number(rate)).join(", ") : "–"],
    [t("job.steps"), t("job.of", {n: number(job.progress.step), all: number(job.progress.steps)})],
    [t("job.ran"), duration(ran(job))],
    [t("job.created"), moment(job.created_at)],
    [t("job.finished"), job.finished_at ? moment(job.finished_at) : null],
    [t("job.attempt"), job.attempt > 1 ? t("job.attempts", {n: job.attempt, losses: job.losses}) : null],
    [t("job.priority"), job.priority || null],
    [t("job.hardware"), job.hardware],
  ];
}
