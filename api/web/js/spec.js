// What a job of each kind is described by: one JSON Schema, put together from /v1/kinds and the catalogues.

import {get} from "./api.js";

const FAMILIES = ["models", "datasets", "optimizers", "schedules"];
// in the order in which they are thought of; whatever else there is comes after them
const ORDER = [
  "name",
  "model",
  "dataset",
  "optimizer",
  "base",
  "grid",
  "prune",
  "schedule",
  "interval",
  "epochs",
  "start_lr",
  "end_lr",
  "num_iter",
  "batch_size",
  "seed",
  "seeds",
  "use_for",
];

let known = null;

/** {kinds: type -> {summary, submit, schema}, members: type -> catalogue entry}, asked for once. */
export function kinds() {
  known ??= load().catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

async function load() {
  const [{kinds: listed}, ...catalogues] = await Promise.all([
    get("/v1/kinds"),
    ...FAMILIES.map((family) => get(`/v1/${family}`)),
  ]);
  const definitions = {};
  const mappings = {};
  const members = {};
  FAMILIES.forEach((family, i) => {
    mappings[`/v1/${family}`] = {};
    for (const entry of catalogues[i][family]) {
      const {$defs, ...schema} = entry.parameters;
      Object.assign(definitions, $defs);
      definitions[`${family}:${entry.type}`] = schema;
      mappings[`/v1/${family}`][entry.type] = `#/$defs/${family}:${entry.type}`;
      members[entry.type] = entry;
    }
  });
  const made = listed.map((kind) => {
    const {$defs, ...schema} = linked(kind.parameters, mappings);
    return [
      kind.type,
      {
        summary: kind.summary,
        submit: kind.submit,
        schema: {...ordered(schema), $defs: {...definitions, ...mapped($defs ?? {}, ordered)}},
      },
    ];
  });
  return {kinds: Object.fromEntries(made), members};
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, each]) => [name, change(each)]));
}

/** The schema with the members of a catalogue in place of its address. */
function linked(schema, mappings) {
  if (Array.isArray(schema)) return schema.map((each) => linked(each, mappings));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.catalogue) {
    const {properties, required, type, ...rest} = schema;
    return {...rest, discriminator: {propertyName: "type", mapping: mappings[schema.catalogue]}};
  }
  return mapped(schema, (each) => linked(each, mappings));
}

function ordered(schema) {
  if (!schema.properties) return schema;
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(schema.properties).sort(([a], [b]) => place(a) - place(b))),
  };
}

/** The schema of an experiment with an axis for every number of an optimizer, and for those that a grid has. */
export function withAxes(schema, optimizer, grid) {
  const numbers = {type: "array", items: {type: "number"}, minItems: 1};
  const axes = schema.$defs.Axes;
  const fields = Object.entries(schema.$defs[`optimizers:${optimizer}`]?.properties ?? {})
    .filter(([, each]) => each.type === "number")
    .map(([name]) => name);
  const added = [...fields, ...Object.keys(grid ?? {})].filter((name) => !(name in axes.properties));
  // a fixed rate among the schedules is null, which has no form: without one, each is a form of its own
  const schedule = (grid?.schedule ?? []).includes(null)
    ? axes.properties.schedule
    : {
        ...axes.properties.schedule,
        anyOf: axes.properties.schedule.anyOf.map((each) =>
          each.items ? {...each, items: each.items.anyOf.find((item) => item.discriminator)} : each,
        ),
      };
  const properties = {
    ...axes.properties,
    schedule,
    ...Object.fromEntries(added.map((name) => [name, {anyOf: [numbers, {type: "null"}], default: null}])),
  };
  return {...schema, $defs: {...schema.$defs, Axes: {...axes, properties}}};
}

const OPTIONS = ["labels", "priority", "hardware", "max_attempts", "max_seconds"];
const SCHEDULED = ["schedule", "interval", "momentum_schedule", "weight_decay_schedule", "epochs"];
const TESTED = ["start_lr", "end_lr", "num_iter", "seeds", "mode", "smoothing", "stop_factor", "use_for"];

function pick(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
}

function omit(object, names) {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** What a job of one kind becomes as one of another: as much of it as that has. */
export function converted(value, from, to) {
  if (from === to) return value;
  const training =
    from === "experiment"
      ? {...omit(value.base, OPTIONS), ...pick(value, OPTIONS)}
      : from === "lr_range_test"
        ? {epochs: 10, ...omit(value, TESTED)}
        : value;
  if (to === "training") return training;
  if (to === "lr_range_test") return omit(training, SCHEDULED);
  const {schedule, ...base} = omit(training, [...OPTIONS, "export"]);
  return {
    base,
    grid: {...(schedule ? {schedule: [schedule]} : {}), seed: [0, 1, 2]},
    ...omit(pick(training, OPTIONS), ["max_seconds"]),
  };
}

/** What a job that was made is asked for with: its spec, and how it is run. */
export function request(job) {
  const options = Object.fromEntries(
    OPTIONS.map((name) => [name, job[name]]).filter(([, each]) => each !== null && each !== undefined),
  );
  if (job.kind === "experiment") delete options.max_seconds;
  return {...job.spec, ...options};
}
