// The view in its address: ?steps=100&log=1&at=0&curves=[{name, schedule, base_lr, metrics, hidden}]; and the form of a job.

/** What is shown where the address says nothing. */
export const FIRST = {
  steps: 100,
  curves: [
    {name: "OneCycleLR", base_lr: 0.1, schedule: {type: "OneCycleLR", max_lr: 0.1, total_steps: 100}},
    {name: "CosineAnnealingLR", base_lr: 0.1, schedule: {type: "CosineAnnealingLR", T_max: 100}},
  ],
};

/** What an address says; null where it cannot be read. */
export function read(query) {
  const words = query.get("curves");
  if (words === null) return structuredClone(FIRST);
  try {
    const curves = JSON.parse(words);
    if (!Array.isArray(curves) || !curves.every((each) => typeof each?.schedule?.type === "string")) return null;
    const steps = Number(query.get("steps") ?? 100);
    return {
      steps: Number.isInteger(steps) && steps > 0 ? steps : 100,
      steps_per_epoch: Number(query.get("steps_per_epoch")) || undefined,
      log: query.get("log") === "1",
      at: Number(query.get("at")) || 0,
      curves,
    };
  } catch {
    return null;
  }
}

/** The query of the address for some curves. */
export function written({run, all, at}, log) {
  const curves = all.map(({name, schedule, base_lr, metrics, hidden}) => ({
    name, schedule, ...(base_lr === undefined ? {} : {base_lr}), ...(metrics ? {metrics} : {}), ...(hidden ? {hidden} : {}),
  }));
  const query = new URLSearchParams({steps: run.steps});
  if (run.steps_per_epoch) query.set("steps_per_epoch", run.steps_per_epoch);
  if (log) query.set("log", "1");
  if (at) query.set("at", at);
  query.set("curves", JSON.stringify(curves));
  return query.toString();
}

/** The form of a job, begun with a curve's schedule. Long runs are taken to count optimizer steps. */
export function submitLink(curve, steps) {
  const lr = firstRate(curve.base_lr);
  const run = steps > 300 ? {interval: "step"} : {interval: "epoch", epochs: steps};
  const spec = {...(lr === undefined ? {} : {optimizer: {type: "SGD", lr}}), schedule: curve.schedule, ...run};
  return `#/submit?${new URLSearchParams({spec: JSON.stringify(spec)})}`;
}

/** The base rate where there can be only one: that of the first group of parameters. */
export function firstRate(base_lr) {
  return Array.isArray(base_lr) ? base_lr[0] : base_lr;
}
