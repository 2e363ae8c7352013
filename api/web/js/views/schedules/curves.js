// The curves of the view: what they are of, which one is chosen, and what the API answers for each.

import {post} from "../../api.js";
import {isDriven} from "./entries.js";
import {metricsOf} from "./metrics.js";

const POINTS = 1000;  // of a curve on the screen; longer runs are sampled evenly

/**
 * A curve is {name, schedule, base_lr, metrics (or null for an example), hidden, colour (an index into the theme's), answer
 * (of the API, or null), problem (the error of the last request, or null)}.
 */
export class Curves {
  /** `onAnswer(curve, turned)` is called after each answer; `turned` says that the curve has become wrong, or right again. */
  constructor({steps, steps_per_epoch, curves, at}, signal, onAnswer) {
    this.run = {steps, steps_per_epoch};
    this.signal = signal;
    this.onAnswer = onAnswer;
    this.all = [];
    for (const each of curves) this.put(each);
    this.at = Math.max(0, Math.min(at ?? 0, this.all.length - 1));
  }

  /** A curve more. Its colour is the first that no other has. */
  put(given) {
    const used = new Set(this.all.map((each) => each.colour));
    let colour = 0;
    while (used.has(colour)) colour += 1;
    const curve = {
      name: this.unique(String(given.name ?? given.schedule.type)), schedule: given.schedule, base_lr: given.base_lr,
      metrics: Array.isArray(given.metrics) ? given.metrics : null, hidden: Boolean(given.hidden),
      colour, answer: null, problem: null, busy: false, again: false,
    };
    this.all.push(curve);
    return curve;
  }

  /** Removes the i-th curve, and returns it. Where it was chosen, the one before it is. */
  remove(i) {
    const [gone] = this.all.splice(i, 1);
    gone.again = false;
    if (i < this.at || this.at >= this.all.length) this.at = Math.max(0, this.at - 1);
    return gone;
  }

  /** The name, or with a number behind it where another curve has it. */
  unique(name, but = null) {
    const others = new Set(this.all.filter((each) => each !== but).map((each) => each.name));
    let found = name;
    for (let i = 2; others.has(found); i += 1) found = `${name} ${i}`;
    return found;
  }

  get selected() {
    return this.all[this.at] ?? null;
  }

  /** The curves that are there to be seen. */
  get seen() {
    return this.all.filter((each) => !each.hidden && each.answer);
  }

  /** The request for a curve, sampled for the screen or whole. */
  request(curve, whole = false) {
    const {steps, steps_per_epoch} = this.run;
    const stride = whole ? 1 : Math.ceil(steps / POINTS);
    return {
      schedule: curve.schedule,
      ...(curve.base_lr === undefined ? {} : {base_lr: curve.base_lr}),
      steps: Math.ceil(steps / stride),
      ...(stride > 1 ? {stride, total_steps: steps} : {}),
      ...(steps_per_epoch ? {steps_per_epoch} : {}),
      ...(isDriven(curve.schedule) ? {metrics: metricsOf(curve, steps)} : {}),
    };
  }

  /** Asks for a curve; while it is asked for, only the latest change waits. */
  async compute(curve) {
    curve.again = true;
    if (curve.busy) return;
    curve.busy = true;
    while (curve.again && !this.signal.aborted) {
      curve.again = false;
      const had = Boolean(curve.problem);
      try {
        curve.answer = await post("/v1/curves", this.request(curve), {signal: this.signal});
        curve.problem = null;
      } catch (error) {
        if (error.name === "AbortError") return;
        curve.problem = error;
      }
      this.onAnswer(curve, had !== Boolean(curve.problem));
    }
    curve.busy = false;
  }

  /** Asks for all curves. */
  computeAll() {
    for (const each of this.all) this.compute(each);
  }
}
