// What the form of a new job begins with.

import {get} from "../../api.js";
import {converted, hasBase, request} from "../../convert.js";
import {USUAL} from "../../kinds.js";
import {t} from "../../texts.js";

const FIRST = {
  model: {type: "lenet"},
  dataset: {type: "digits"},
  optimizer: {type: "SGD", lr: 0.1, momentum: 0.9},
  schedule: {type: "CosineAnnealingLR", T_max: 20},
  epochs: 20,
  batch_size: 64,
};

/**
 * By the query of the view's address: {kind, value, from (where the value is from, in words, or null)}. `kinds`: those that
 * the API lists, or the promise of them.
 */
export async function start(query, kinds) {
  if (query.get("clone")) return cloned(query.get("clone"), kinds);
  if (query.get("run")) return ofRun(...query.get("run").split("/"));
  const known = await kinds;
  const given = parsed(query.get("spec"));
  if (given.base) return {kind: Object.keys(known).find((type) => hasBase(known[type])), value: given, from: null};
  const kind = Object.hasOwn(known, query.get("kind") ?? "") ? query.get("kind") : USUAL;
  return {kind, value: converted(completed(given), known[USUAL], known[kind]), from: null};
}

async function cloned(id, kinds) {
  const [job, known] = await Promise.all([get(`/v1/jobs/${encodeURIComponent(id)}`), kinds]);
  return {kind: job.kind, value: request(job, known[job.kind]), from: t("submit.from_job", {id: job.id})};
}

async function ofRun(id, run) {
  const found = await get(`/v1/experiments/${encodeURIComponent(id)}/runs/${encodeURIComponent(run)}`);
  return {kind: USUAL, value: found.spec, from: t("submit.from_run", {run, id})};
}

function parsed(spec) {
  try {
    return JSON.parse(spec ?? "{}");
  } catch {
    return {}; // an address that was cut off: the form begins as ever
  }
}

/** A training with all that is needed, whatever of it is given. */
function completed(given) {
  const value = {...FIRST, ...given};
  if (given.optimizer && !given.optimizer.type) value.optimizer = {...FIRST.optimizer, ...given.optimizer};
  if (given.schedule === undefined && Object.keys(given).length) delete value.schedule;
  return value;
}
