// The kinds of jobs: what they are and take, as the API lists it, and how this page shows them.

import {get} from "./api.js";

/** The kind that lists need not name, and that the form begins with. */
export const USUAL = "training";

// All that the page knows of a kind by its name:
//   view, list: where one job of it is shown, and where all of them are
//   progress: the text for how far a job is, and the fields of its progress for the two numbers in that
//   curve: what its small curve in a list is of (list/curves.js), or null where it has none
const TRAINING = {view: "jobs", list: "jobs", progress: ["epochs_of", "epoch", "epochs"], curve: "accuracies"};
const SHOWN = {
  training: TRAINING,
  lr_range_test: {view: "range-tests", list: "jobs", progress: ["steps_of", "step", "steps"], curve: "losses"},
  experiment: {view: "experiments", list: "experiments", progress: ["epochs_all", "epoch", "epochs"], curve: null},
};

/** How jobs of a kind are shown; of one that came later than this page, as trainings without a curve. */
export function shownAs(kind) {
  return SHOWN[kind] ?? {...TRAINING, curve: null};
}

/** Where the view of a job is. */
export function address(job) {
  return `#/${shownAs(job.kind).view}/${encodeURIComponent(job.id)}`;
}

let known = null;

/** The kinds as the API lists them, {type, summary, submit, parameters} by type; asked for once. */
export function kinds() {
  known ??= get("/v1/kinds").then(
    (answer) => Object.fromEntries(answer.kinds.map((each) => [each.type, each])),
    (error) => {
      known = null;
      throw error;
    },
  );
  return known;
}
