// All experiments.

import {list} from "../list.js";

export async function show(root, params) {
  return list(root, params, {
    path: "/v1/experiments",
    name: "experiments",
    labels: false,
    submit: "#/submit?kind=experiment",
    beside: null,
  });
}
