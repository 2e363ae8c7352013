// How far a job is.

import {h} from "../dom.js";
import {shownAs} from "../kinds.js";
import {number} from "../parts.js";
import {t} from "../texts.js";
import {duration, percent} from "./words.js";

/** A job's progress in a bar and a line. Returns {element, update(job)}. */
export function progress(job) {
  const bar = h("progress", {max: 1, "aria-label": t("job.progress")});
  const text = h("span", {class: "muted progress-text"});
  const element = h("div", {class: "progress"}, bar, text);
  function update(changed) {
    const made = changed.progress;
    bar.value = made.fraction;
    text.textContent = line(changed);
    bar.setAttribute("aria-valuetext", percent(made.fraction, 0));
  }
  update(job);
  return {element, update};
}

function line(job) {
  const made = job.progress;
  if (job.state === "queued") {
    if (job.position === null) return t("job.waits");
    const when = job.starts_in_seconds;
    const place = job.position ? t("job.position", {n: job.position}) : t("job.next");
    return when === null ? place : `${place}, ${t("job.starts_in", {time: duration(when)})}`;
  }
  const [text, n, all] = shownAs(job.kind).progress;
  const done = t(`job.${text}`, {n: number(made[n]), all: number(made[all])});
  const left =
    job.state === "running" && made.eta_seconds !== null ? t("job.left", {time: duration(made.eta_seconds)}) : "";
  return left ? `${done} · ${left}` : done;
}
