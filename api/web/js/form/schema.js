// Reading a pydantic JSON Schema: what a value may be, and what is wrong with a number.

import {number as shown} from "../parts.js";
import {t} from "../texts.js";

/** A schema with its reference followed; what stands beside the reference is kept. `root` is what references point into. */
export function resolved(schema, root) {
  let found = schema ?? {};
  for (let i = 0; found.$ref && i < 20; i += 1) {
    const {$ref, ...beside} = found;
    const target = $ref.slice(2).split("/").reduce((level, part) => level?.[part.replace(/~1/g, "/").replace(/~0/g, "~")], root);
    found = {...target, ...beside};
  }
  return found;
}

/** The schema of a union's member. */
export function member(schema, type, root) {
  return resolved({$ref: schema.discriminator.mapping[type]}, root);
}

/** What a value may be: the alternatives of a schema, references followed. */
export function alternatives(schema, root) {
  const one = resolved(schema, root);
  if (one.discriminator) return [one];
  const several = one.anyOf ?? one.oneOf;
  return several ? several.flatMap((each) => alternatives(each, root)) : [one];
}

/** Whether a value may be a share of the run: "10%", "5ep". */
export function isLength(schema) {
  return schema.type === "string" && (schema.pattern ?? "").includes("(%|ep)");
}

/** Whether a value is a number. */
export function isNumber(schema) {
  return schema.type === "number" || schema.type === "integer";
}

/** Whether all alternatives are numbers, or shares of the run. */
export function isScalar(schemas) {
  return schemas.every((each) => isNumber(each) || isLength(each));
}

/** Whether all items are objects of one schema, or members of one union. */
export function isComposed(items, root) {
  const may = alternatives(items ?? {}, root);
  return may.length === 1 && Boolean(may[0].discriminator || may[0].properties);
}

/** Whether two values are the same JSON. */
export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** The least and the greatest value of a number, and whether these themselves are not among its values. */
export function bounds(schema) {
  const least = schema.exclusiveMinimum ?? schema.minimum ?? -Infinity;
  const most = schema.exclusiveMaximum ?? schema.maximum ?? Infinity;
  return {
    least, most,
    strictLeast: schema.exclusiveMinimum !== undefined && schema.exclusiveMinimum >= (schema.minimum ?? -Infinity),
    strictMost: schema.exclusiveMaximum !== undefined && schema.exclusiveMaximum <= (schema.maximum ?? Infinity),
  };
}

/** What is wrong with a number, or null. */
export function complaint(value, schema) {
  const {least, most, strictLeast, strictMost} = bounds(schema);
  if (schema.type === "integer" && !Number.isInteger(value)) return t("form.integer");
  if (strictLeast ? value <= least : value < least) return t(strictLeast ? "form.above" : "form.at_least", {n: shown(least, 16)});
  if (strictMost ? value >= most : value > most) return t(strictMost ? "form.below" : "form.at_most", {n: shown(most, 16)});
  return null;
}

/**
 * The same value with its lengths in steps times a factor: a schedule made for 20 steps, for a run of 100.
 * Lists of lengths stay rising.
 */
export function stretched(schema, value, factor, root = schema) {
  const may = alternatives(schema, root).filter((each) => each.type !== "null");
  if (typeof value === "number") return may.some(isLength) && value > 0 ? Math.max(1, Math.round(value * factor)) : value;
  if (Array.isArray(value)) {
    const list = may.find((each) => each.type === "array");
    return list ? value.map((each) => stretched(list.items ?? {}, each, factor, root)) : value;
  }
  if (value && typeof value === "object") {
    const hit = may[0]?.discriminator ? member(may[0], value.type, root) : may.find((each) => each.properties);
    if (!hit?.properties) return value;
    const longer = ([name, each]) => [name, stretched(hit.properties[name] ?? {}, each, factor, root)];
    return Object.fromEntries(Object.entries(value).map(longer));
  }
  return value;
}
