// What a job of each kind is described by: one JSON Schema, put together from /v1/kinds and the catalogues.

import {get} from "./api.js";
import {kinds as listedKinds} from "./kinds.js";

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

/** {kinds: type -> {type, summary, submit, parameters, schema}, members: type -> catalogue entry}, asked for once. */
export function kinds() {
  known ??= load().catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

async function load() {
  const [listed, ...catalogues] = await Promise.all([listedKinds(), ...FAMILIES.map((family) => get(`/v1/${family}`))]);
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
  const withSchema = (kind) => {
    const {$defs, ...schema} = linked(kind.parameters, mappings);
    return {...kind, schema: {...ordered(schema), $defs: {...definitions, ...mapped($defs ?? {}, ordered)}}};
  };
  return {kinds: mapped(listed, withSchema), members};
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
