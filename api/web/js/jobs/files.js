// Files of jobs.

import {blob, get} from "../api.js";
import {announce, fill, h} from "../dom.js";
import {t} from "../texts.js";
import {ended} from "./states.js";
import {bytes} from "./words.js";

/** The files of a job, which are there once it has succeeded. */
export async function artifacts(job, root) {
  let found = [];
  try {
    found = (await get(job.links.artifacts)).artifacts;
  } catch (error) {
    fill(root, h("h2", {}, t("artifacts.title")), h("p", {class: "error", role: "alert"}, error.message));
    return;
  }
  const rows = found.map((file) =>
    h(
      "tr",
      {},
      h("td", {class: "what"}, h("code", {}, file.name)),
      h("td", {class: "number nowrap"}, bytes(file.size)),
      h("td", {class: "right"}, downloadButton(file.url, file.name)),
    ),
  );
  const heads = h(
    "tr",
    {},
    h("th", {scope: "col"}, t("artifacts.name")),
    h("th", {scope: "col", class: "number"}, t("artifacts.size")),
    h("td", {}),
  );
  fill(
    root,
    h("h2", {}, t("artifacts.title")),
    rows.length
      ? h(
          "div",
          {class: "scroll", tabindex: 0, role: "region", "aria-label": t("artifacts.title")},
          h("table", {}, h("thead", {}, heads), h("tbody", {}, rows)),
        )
      : h("p", {class: "muted"}, ended(job.state) ? t("artifacts.none") : t("artifacts.later")),
  );
}

/** Saves a file of the API, with the key. */
export async function download(path, name) {
  const url = URL.createObjectURL(await blob(path));
  const link = h("a", {href: url, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A button that downloads, and says so when it cannot. */
export function downloadButton(path, name, label = t("action.download")) {
  const button = h("button", {type: "button", class: "small", "aria-label": `${label}: ${name}`}, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await download(path, name);
    } catch (error) {
      announce(error.message);
      button.after(h("span", {class: "error", role: "alert"}, ` ${error.message}`));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}
