// What can be done with a job.

import {post, request} from "../api.js";
import {announce, fill, h, uid} from "../dom.js";
import {address, shownAs} from "../kinds.js";
import {t} from "../texts.js";
import {ended} from "./states.js";

/**
 * The buttons of a job, or of an experiment as a whole. Returns {element, update(job)}.
 * `onChange` gets the job as the API answered; a retry goes to the new job.
 */
export function actions(job, onChange) {
  const error = h("p", {class: "error", role: "alert", hidden: true});
  const row = h("div", {class: "row"});
  const element = h("div", {class: "stack actions"}, row, error);
  let now = job;
  let shown = "";

  async function act(name, button) {
    error.hidden = true;
    button.disabled = true;
    try {
      await DOES[name](now, onChange);
      announce(t(`done.${name}`));
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  function update(changed) {
    now = changed;
    const wanted = allowed(now);
    if (wanted.join() === shown) return;
    shown = wanted.join();
    const focused = row.contains(document.activeElement);
    fill(
      row,
      wanted.map((name) => {
        const button = h("button", {type: "button", class: name === "delete" ? "danger" : null}, t(`action.${name}`));
        button.addEventListener("click", () => act(name, button));
        return button;
      }),
    );
    if (focused) row.querySelector("button")?.focus();
  }

  update(job);
  return {element, update};
}

function allowed(job) {
  if (ended(job.state)) return ["retry", "clone", "delete"];
  if (job.requested === "cancel") return ["clone"];
  if (job.state === "paused") return ["resume", "cancel", "clone"];
  return job.requested === "pause" ? ["cancel", "clone"] : ["pause", "cancel", "clone"];
}

const moved = (name) => async (job, onChange) => onChange(await post(job.links[name]));

const DOES = {
  pause: moved("pause"),
  resume: moved("resume"),
  async cancel(job, onChange) {
    if (await confirmed(t("confirm.cancel"), t("action.cancel"))) await moved("cancel")(job, onChange);
  },
  async retry(job) {
    location.hash = address(await post(job.links.retry));
  },
  async clone(job) {
    location.hash = `#/submit?clone=${encodeURIComponent(job.id)}`;
  },
  async delete(job) {
    if (!(await confirmed(t("confirm.delete"), t("action.delete")))) return;
    await request(`/v1/jobs/${encodeURIComponent(job.id)}`, {method: "DELETE"});
    location.hash = `#/${shownAs(job.kind).list}`;
  },
};

/** Asks before what cannot be undone. Resolves to whether it is meant. */
function confirmed(question, action) {
  return new Promise((resolve) => {
    const name = uid("question");
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": name,
        onclose: () => {
          resolve(dialog.returnValue === "yes");
          dialog.remove();
        },
      },
      h("p", {id: name}, question),
      h(
        "div",
        {class: "row"},
        h("button", {type: "button", class: "danger", onclick: () => dialog.close("yes")}, action),
        h("button", {type: "button", onclick: () => dialog.close("no")}, t("action.keep")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
