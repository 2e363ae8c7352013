// What a pasted text is. Nothing here executes any of it, or asks the API.

const FIT = ["lr", "step", "start", "stride"];  // fields of a request to /v1/schedules/fit
const READ = ["from", "config", "base_lr", "total_steps", "steps_per_epoch"];  // and of one to /v1/schedules/read
const FUNCTION = /^(?:\w+\s*=\s*)?(?=lambda\b)/;
const FLAG = /(?:^|\s)--[a-zA-Z]/;
const ASSIGNMENT = /^[\w.-]+(?:\s*:|\s*=\s)/;  // of YAML, TOML or Python, which may have flags in a string
// the names of `lrserve fit` (lrserve/logs.py)
const RATES = ["lr", "learning_rate", "learning rate", "train/learning_rate", "value"];
const STEPS = ["step", "global_step", "_step", "train/global_step", "trainer/global_step", "iteration", "iter"];
const RATE = /(?:^|[^a-z])(?:lr|learning[ _-]?rate)(?:[^a-z]|$)/;
const NAMES = ["type", "name", "class_path", "_CLASS_", "class_name"];  // of a scheduler, which no row of a log has

/** The text is nothing that is read here. `key` and `values` are those of the text that says why. */
export class Unreadable extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, {name: "Unreadable", key, values});
  }
}

/**
 * What a text is: {as, body}, where `body` is that of the request that it makes.
 *
 * as: "spec" or "lambda", a curve, with the steps of its run where it has them as `steps`; "config" or "flags", for
 *     /v1/schedules/read; "log", for /v1/schedules/fit
 * isSchedule(type): whether the catalogue has it
 */
export function recognised(text, isSchedule) {
  const plain = text.replace(/^\uFEFF/, "").trim();
  if (!plain) throw new Unreadable("paste.nothing");
  const words = plain.split("\n").filter((line) => !line.trimStart().startsWith("#")).join("\n").trim();
  if (/^\{|^\[(?![A-Za-z_])/.test(words)) return fromJson(plain, isSchedule);
  if (FUNCTION.test(words)) {
    const lr_lambda = words.replace(FUNCTION, "").replace(/,$/, "").trim();  // an argument of a call ends with a comma
    return {as: "lambda", body: {schedule: {type: "LambdaLR", lr_lambda}}};
  }
  if (FLAG.test(words) && !ASSIGNMENT.test(words)) return {as: "flags", body: {config: plain}};
  const rows = table(plain);
  if (!rows) throw new Unreadable("paste.unknown");
  return {as: "log", body: log(rows)};
}

function fromJson(text, isSchedule) {
  let [value, wrong] = [null, null];
  try {
    value = JSON.parse(text);
  } catch (error) {
    [value, wrong] = [lenient(text), error];
  }
  const rows = rowsOf(value);
  if (rows) return {as: "log", body: log(rows)};
  if (wrong) throw new Unreadable("paste.no_json", {message: wrong.message});
  const isSpec = (each) => isObject(each) && typeof each.type === "string" && isSchedule(each.type);
  if (isSpec(value)) return {as: "spec", body: {schedule: value}};
  if (isSpec(value?.schedule)) return request(value);
  if (isLog(value)) return {as: "log", body: value};
  return {as: "config", body: isObject(value?.config) && has(READ, value) ? value : {config: value}};
}

/** Logs of Python also have NaN, and others an object on each line. Null for anything else. */
function lenient(text) {
  const numbers = text.replace(/"(?:\\.|[^"\\])*"?|-?\b(?:NaN|Infinity)\b/g, (all) => (all.startsWith('"') ? all : "null"));
  const lines = numbers.split("\n").filter((line) => line.trim());
  for (const each of [numbers, `[${lines.join(",")}]`]) {
    try {
      return JSON.parse(each);
    } catch { /* the next one */ }
  }
  return null;
}

/** A request for a curve, or something else with a schedule in it: a job, or what `lrserve read --json` prints. */
function request({schedule, base_lr, metrics, optimizer, steps, total_steps, facts}) {
  const rate = base_lr ?? optimizer?.lr;
  const body = {schedule, ...(rate === undefined ? {} : {base_lr: rate}), ...(Array.isArray(metrics) ? {metrics} : {})};
  return {as: "spec", body, steps: total_steps ?? steps ?? [facts].flat()[0]?.steps};
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function has(fields, value) {
  return Object.keys(value).every((name) => fields.includes(name));
}

/** Whether an object is a request for a fit. */
function isLog(value) {
  return isObject(value) && Array.isArray(value.lr) && has(FIT, value);
}

/** The rows of a log in JSON: [{column: cell}]. Null where it is none. */
function rowsOf(given) {
  const value = Array.isArray(given?.log_history) ? given.log_history : given;  // the Trainer's trainer_state.json
  if (Array.isArray(value)) {
    if (value.length > 1 && value.every(Number.isFinite)) return value.map((lr) => ({lr}));
    const isRow = (each) => isObject(each) && !NAMES.some((name) => name in each);
    return value.length > 1 && value.every(isRow) && rateColumns(value).length ? value : null;
  }
  if (!isObject(value) || isLog(value)) return null;
  const columns = Object.values(value);
  const long = columns[0]?.length;
  if (!(long > 1 && columns.every((each) => Array.isArray(each) && each.length === long))) return null;
  const rows = columns[0].map((_, i) => Object.fromEntries(Object.entries(value).map(([name, each]) => [name, each[i]])));
  return rateColumns(rows).length ? rows : null;
}

/** The rows of CSV, or of columns of numbers. Null where a text is neither. */
function table(text) {
  const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim() && !line.startsWith("#"));
  const mark = ["\t", ";", ","].find((each) => lines[0]?.includes(each));
  const cells = (line) => (mark ? line.split(mark) : line.trim().split(/\s+/)).map((each) => unquoted(each, mark));
  const [first, second] = lines.slice(0, 2).map(cells);
  if (first?.some(isNumber)) return first.every((each) => !each || isNumber(each)) ? unnamed(lines.map(cells), mark) : null;
  if (first?.length !== second?.length || !second?.some(isNumber)) return null;
  if (!mark && !second.every(isNumber)) return null;  // two words on a line are as often YAML
  return lines.slice(1).map((line) => Object.fromEntries(cells(line).map((cell, i) => [first[i] ?? "", cell])));
}

/** Numbers alone: steps and rates, or rates. */
function unnamed(rows, mark) {
  const cells = rows.map((row) => row.filter(Boolean));
  if (cells.length > 1 && cells.every((row) => row.length === 2)) return cells.map(([step, lr]) => ({step, lr}));
  if (mark && cells.length > 1 && cells.some((row) => row.length > 1)) throw new Unreadable("paste.no_names");
  return cells.flat().map((lr) => ({lr}));
}

function unquoted(cell, mark) {
  const plain = cell.trim().replace(/^"(.*)"$/, "$1").trim();
  return mark !== "," && /^-?[\d.]*,\d+$/.test(plain) ? plain.replaceAll(".", "").replace(",", ".") : plain;  // a decimal comma
}

function isNumber(cell) {
  return cell !== "" && Number.isFinite(Number(cell));
}

function columnsOf(rows) {
  const found = new Set();
  for (const row of rows) for (const name of Object.keys(row)) found.add(name);
  return [...found];
}

/** The first of the usual names that is among some. */
function named(names, usual) {
  return usual.map((each) => names.find((name) => name.trim().toLowerCase() === each)).find((name) => name !== undefined);
}

/** The columns that may be the rate: the one with a usual name, or all whose names have it in them. */
function rateColumns(rows) {
  const names = columnsOf(rows);
  const usual = named(names, RATES);
  if (usual !== undefined) return [usual];
  return names.filter((name) => RATE.test(name.toLowerCase()) && !/__(?:min|max)$/i.test(name));  // W&B adds these
}

/** The request for a fit to the rows of a log. Those without a rate are left out. */
function log(rows) {
  const [rate, ...others] = rateColumns(rows);
  if (rate === undefined) throw new Unreadable("paste.no_rate");
  if (others.length) throw new Unreadable("paste.rates", {names: [rate, ...others].slice(0, 10).join(", ")});
  const at = named(columnsOf(rows), STEPS);
  const found = {lr: [], ...(at === undefined ? {} : {step: []})};
  rows.forEach((row, i) => {
    const number = (name) => {
      if (!isNumber(String(row[name] ?? ""))) throw new Unreadable("paste.no_number", {row: i + 1, name});
      return Number(row[name]);
    };
    if (row[rate] === null || row[rate] === undefined || row[rate] === "") return;  // nothing was logged there
    const [lr, step] = [number(rate), at === undefined ? null : number(at)];
    if (step !== null && step === found.step.at(-1) && lr === found.lr.at(-1)) return;
    found.lr.push(lr);
    found.step?.push(step);
  });
  return found;
}
