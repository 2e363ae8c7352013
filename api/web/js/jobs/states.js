// The states of a job.

import {h} from "../dom.js";
import {t, tOr} from "../texts.js";

export const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const LOOKS = {running: "accent", paused: "warn", succeeded: "good", failed: "bad", pruned: "warn"};

/** Whether a job in this state never changes again. */
export function ended(state) {
  return ENDED.has(state);
}

/** A state, or what a running job was asked for. */
export function badge(state, requested = null) {
  const text = requested ? t(`requested.${requested}`) : tOr(`states.${state}`, state);
  return h("span", {class: `badge ${LOOKS[state] ?? ""}`, dataset: {state}}, text);
}
