// Configurations and figures of an experiment, for people.

import {percent, scheduleName} from "../../jobs/words.js";
import {number} from "../../parts.js";
import {t} from "../../texts.js";

/** What a configuration sets, in a line. */
export function words(settings) {
  const found = Object.entries(settings ?? {}).map(([name, value]) =>
    name === "schedule" ? scheduleWords(value) : `${name} ${plainly(value)}`,
  );
  return found.join(", ") || t("experiment.base");
}

function scheduleWords(schedule) {
  if (!schedule) return scheduleName(schedule);
  const set = Object.entries(schedule).filter(([name, value]) => name !== "type" && typeof value === "number" && value);
  return [schedule.type, ...set.slice(0, 2).map(([name, value]) => `${name}=${number(value, 3)}`)].join(" ");
}

/** A value of an axis: a number as it is, anything else as text. */
export function plainly(value) {
  if (value === null || value === undefined) return t("job.fixed_rate");
  if (typeof value === "object") return value.type ? scheduleWords(value) : JSON.stringify(value);
  return value;
}

/** A mean with its standard deviation. */
export function spread(statistic) {
  if (!statistic) return "–";
  return statistic.std === null
    ? percent(statistic.mean)
    : `${(100 * statistic.mean).toFixed(2)} ± ${(100 * statistic.std).toFixed(2)} %`;
}

/** A difference in points with its interval. */
export function interval(difference) {
  if (!difference) return "–";
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(2)}`;
  const ends = difference.low === null ? "" : ` [${points(difference.low)}, ${points(difference.high)}]`;
  return `${points(difference.mean)}${ends}`;
}

/** What each configuration of an experiment sets, by its number. */
export function settingsOf(job) {
  return new Map(job.leaderboard.map((row) => [row.configuration, row.settings]));
}
