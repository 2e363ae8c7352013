// The small curves of a list: what each is of, by its name in kinds.js, and how its values come.

import {get} from "../api.js";
import {shownAs} from "../kinds.js";

const AT_ONCE = 4; // requests

// label: the text that describes it
// rest(job, values): what has to be added to the values that are there: a list that the job itself has, or null to ask
// read(job): all values
const CURVES = {
  accuracies: {
    label: "list.accuracies",
    rest({metrics}, values) {
      if (!metrics || values.length > metrics.epoch) return [];
      return values.length === metrics.epoch ? [metrics.test_accuracy] : null;
    },
    read: async (job) => (await get(job.links.metrics)).epochs.map((epoch) => epoch.test_accuracy),
  },
  losses: {
    label: "list.losses",
    rest: (job, values) => (job.state === "succeeded" && !values.length ? null : []),
    async read(job) {
      return (await get(`/v1/lr-range-tests/${encodeURIComponent(job.id)}/curve`)).result.smoothed_loss;
    },
  },
};
const NONE = {label: CURVES.accuracies.label, rest: () => []};

function curveOf(job) {
  return CURVES[shownAs(job.kind).curve] ?? NONE;
}

/** The text that describes a job's curve. */
export function label(job) {
  return curveOf(job).label;
}

/** Whether a job's best accuracy stands beside its curve: beside losses it does not. */
export function hasBest(job) {
  return curveOf(job) !== CURVES.losses;
}

/** The values of the curves of a list's jobs. */
export class Curves {
  #values = new Map(); // by the job's id

  of(job) {
    return this.#values.get(job.id) ?? [];
  }

  /** Takes what the jobs themselves have. Returns those of which more has to be asked for. */
  take(jobs) {
    return jobs.filter((job) => {
      const values = this.of(job);
      const rest = curveOf(job).rest(job, values);
      if (rest?.length) this.#values.set(job.id, [...values, ...rest]);
      return rest === null;
    });
  }

  /** Asks for the values of some jobs, a few at once, for as long as `wanted()`; `came(job)` is called after each. */
  async read(jobs, wanted, came) {
    const left = [...jobs];
    const worker = async () => {
      for (let job = left.shift(); job && wanted(); job = left.shift()) {
        try {
          this.#values.set(job.id, await curveOf(job).read(job));
          came(job);
        } catch {
          /* the row has no line */
        }
      }
    };
    await Promise.all(Array.from({length: AT_ONCE}, worker));
  }
}
