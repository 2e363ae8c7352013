// The line above the view: its title, downloads, its link, and the way to a job.

import {request} from "../../api.js";
import {h} from "../../dom.js";
import {copyButton} from "../../parts.js";
import {t} from "../../texts.js";
import {submitLink} from "./address.js";

/** `on`: {download(format), link(), the address of the view}. Returns {element, draw()}. */
export function tools(curves, on) {
  const train = h("a", {class: "button primary small", href: "#/submit"}, t("schedules.train"));
  const download = (format) => {
    const name = format.toUpperCase();
    const label = t("schedules.download", {format: name});
    return h("button", {type: "button", class: "small", "aria-label": label, onclick: () => on.download(format)}, name);
  };
  const downloads = h("span", {class: "row"}, ["png", "svg", "csv"].map(download));
  return {
    element: h(
      "div", {class: "row spread"},
      h("h1", {}, t("schedules.title")),
      h("div", {class: "row"}, downloads, copyButton(on.link, t("schedules.copy_link")), train),
    ),
    draw() {
      const {selected, run} = curves;
      train.hidden = !selected;
      if (selected) train.setAttribute("href", submitLink(selected, run.steps));
    },
  };
}

/** Saves the curves that are shown and valid, as a picture or as CSV. */
export async function download(curves, format, log, signal) {
  const shown = curves.seen.filter((each) => !each.problem);
  if (!shown.length) return;
  const [, run] = parted(curves.request(shown[0]));
  const body = {...run, curves: shown.map((each) => ({name: each.name, ...parted(curves.request(each))[0]}))};
  const query = {format, scale: log ? "log" : "linear"};
  const answer = await request("/v1/curves/compare", {method: "POST", body, query, signal});
  const url = URL.createObjectURL(await answer.blob());
  h("a", {href: url, download: `schedules.${format}`}).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** What of a request is of the curve, and what of the run. */
function parted({schedule, base_lr, metrics, ...run}) {
  return [{schedule, ...(base_lr === undefined ? {} : {base_lr}), ...(metrics ? {metrics} : {})}, run];
}
