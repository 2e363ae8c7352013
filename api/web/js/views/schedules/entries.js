// The catalogue of schedules, and a new one of each, made to fit a run.

import {Problem, get, post} from "../../api.js";
import {stretched} from "../../form.js";
import {firstRate} from "./address.js";

/** Entries of /v1/schedules by type, as far as they are known. */
export const catalogue = {};
let listing = null;

const DRIVEN = new Set(["ReduceLROnPlateau", "greedy"]);  // known before the catalogue is, since the first request needs it
const ANY_RATE = 0.1;  // where a curve has none: when a schedule ends does not depend on it

/** One entry, asked for where it is not known. */
export async function entry(type) {
  catalogue[type] ??= await get(`/v1/schedules/${encodeURIComponent(type)}`);
  return catalogue[type];
}

/** Resolves once all entries are known. */
export function list() {
  listing ??= get("/v1/schedules").then(
    ({schedules}) => schedules.forEach((each) => { catalogue[each.type] ??= each; }),
    (error) => {
      listing = null;
      throw error;
    },
  );
  return listing;
}

/** Whether a schedule follows a metric. */
export function isDriven(schedule) {
  return DRIVEN.has(schedule.type);
}

/** The schedules that hold others, as far as they are known: [type, {name of the field, whether it holds several}]. */
export function holders() {
  return Object.values(catalogue).map((each) => [each.type, slot(each.parameters)]).filter(([, where]) => where);
}

/** The field in which a schedule holds others: its name, and whether it holds several. Null where there is none. */
export function slot(parameters) {
  const schema = parameters.$ref ? parameters.$defs[parameters.$ref.split("/").pop()] : parameters;
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    if (each.discriminator) return {name, several: false};
    if (each.items?.discriminator) return {name, several: true};
  }
  return null;
}

/** A schedule's example. Where that ends sooner or later than the run, its lengths are stretched to it. */
export async function fitted(type, base_lr, steps, signal) {
  const {example, parameters} = await entry(type);
  const body = {schedule: example, base_lr: firstRate(base_lr ?? ANY_RATE), steps: 1};
  const last = isDriven(example) ? null : await end(body, steps, signal);
  return last ? stretched(parameters, example, steps / last) : structuredClone(example);
}

/** The step at which a schedule has come to its end, by what the API says of runs that are shorter or longer; or null. */
async function end(body, steps, signal) {
  const about = async (total_steps) => {
    const {warnings} = await post("/v1/curves", {...body, total_steps}, {signal});
    return new Map(warnings.map((each) => [each.code, each.step]));
  };
  const isLonger = async (total) => (await about(total)).has("schedule-longer-than-run");
  try {
    const run = await about(steps);
    const after = run.get("schedule-shorter-than-run") ?? run.get("rises-after-end");
    if (after !== undefined) return after;
    if (!(await isLonger(1))) return null;
    let [low, high] = [1, steps];
    while (high < 1e9 && (await isLonger(high))) [low, high] = [high, 2 * high];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (await isLonger(middle)) low = middle;
      else high = middle;
    }
    return high;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}
