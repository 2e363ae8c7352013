// Figures, times and names of jobs, for people.

import {h} from "../dom.js";
import {number} from "../parts.js";
import {current, t} from "../texts.js";

/** A schedule in a word. */
export function scheduleName(schedule) {
  return schedule ? schedule.type : t("job.fixed_rate");
}

/** 0.9231 as 92.31 %. */
export function percent(value, digits = 2) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`;
}

/** Seconds for people. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return t("time.less");
  if (seconds < 60) return t("time.seconds", {n: Math.round(seconds)});
  if (seconds < 3600) return t("time.minutes", {m: Math.floor(seconds / 60), s: Math.round(seconds % 60)});
  return t("time.hours", {h: Math.floor(seconds / 3600), m: Math.round((seconds % 3600) / 60)});
}

/** How long ago a time of the API was. */
function ago(value) {
  const seconds = (new Date(value) - Date.now()) / 1000;
  const units = [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ];
  const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) ?? units[3];
  return new Intl.RelativeTimeFormat(current(), {numeric: "auto"}).format(Math.round(seconds / size), unit);
}

/** An element with a time that is ago; its title is the whole of it. */
export function moment(value) {
  if (!value) return "–";
  return h("time", {datetime: value, title: new Date(value).toLocaleString(current()), class: "nowrap"}, ago(value));
}

/** Bytes for people. */
export function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  const place = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(size, 1)) / 3));
  return `${number(size / 1000 ** place, 3)} ${units[place]}`;
}

/** How long a job has run, or ran, in seconds; null before it began. */
export function ran(job) {
  if (!job.started_at) return null;
  return (new Date(job.finished_at ?? Date.now()) - new Date(job.started_at)) / 1000;
}
