// What a job of one kind becomes as one of another, by the fields that the API lists for each kind (kinds.js).

import {resolved} from "./form/schema.js";

const EPOCHS = 10; // of a training that is made of a job without any
const NOT_IN_RUNS = ["export"]; // the runs of a grid leave no model

function pick(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
}

function omit(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

function fields(kind) {
  return Object.keys(kind.parameters.properties);
}

/** Whether a kind has a job in it, its `base`, of which it makes several. */
export function hasBase(kind) {
  return "base" in kind.parameters.properties;
}

/** The schema that describes the training in a job of a kind. */
function trained(kind) {
  return hasBase(kind) ? resolved(kind.parameters.properties.base, kind.parameters) : kind.parameters;
}

/** What a job of kind `from` becomes as one of kind `to`: as much of it as that has. */
export function converted(value, from, to) {
  if (from.type === to.type) return value;
  const common = fields(to).filter((name) => fields(from).includes(name));
  const whole = hasBase(from) ? {...value.base, ...pick(value, common)} : value;
  const own = hasBase(from) ? Object.keys(trained(from).properties) : fields(from);
  const wanted = trained(to);
  const part = withEpochs(omit(whole, own.filter((name) => !(name in wanted.properties))), wanted);
  if (!hasBase(to)) return part;
  const {schedule, ...base} = omit(part, NOT_IN_RUNS);
  return {base, grid: {...(schedule ? {schedule: [schedule]} : {}), seed: [0, 1, 2]}, ...pick(value, common)};
}

/** A training needs its number of epochs; whatever can do without is made without it. */
function withEpochs(value, schema) {
  const {epochs, ...rest} = value;
  if (!(schema.required ?? []).includes("epochs")) return rest;
  return epochs === undefined || epochs === null ? {epochs: EPOCHS, ...rest} : value;
}

/** What a job that was made is asked for with: its spec, and how it is run. */
export function request(job, kind) {
  const options = fields(kind).filter((name) => !(name in job.spec) && job[name] !== null && job[name] !== undefined);
  return {...job.spec, ...pick(job, options)};
}
