// Plotly, which comes when a chart is first needed: it is large.

import {h} from "../dom.js";
import {t} from "../texts.js";

let library = null;
const retries = new EventTarget();  // of all charts that wait for the library

/** Plotly, loaded at first use from the address that the page names. */
function plotly() {
  library ??= painted().then(() => new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = h("script", {src: document.getElementById("plotly").getAttribute("href")});
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = null;  // so that it is tried again
      reject(new Error(t("chart.no_library")));
    };
    document.head.append(script);
  }));
  return library;
}

/** What the page has so far is on the screen: to run the library takes it for half a second. */
function painted() {
  if (document.hidden) return Promise.resolve();
  return new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); });
}

/**
 * The library; while it cannot be loaded, `root` says so and offers to try again. A sketch that is there stays, the message
 * beneath it.
 */
export async function loaded(root) {
  for (;;) {
    try {
      return await plotly();
    } catch (error) {
      root.querySelector(":scope > .loading")?.remove();
      const button = h("button", {type: "button", class: "small", onclick: () => retries.dispatchEvent(new Event("retry"))}, t("state.retry"));
      const message = h("div", {class: "note bad row spread", role: "alert"}, error.message, button);
      root.append(message);
      await new Promise((retry) => { retries.addEventListener("retry", retry, {once: true}); });
      message.remove();
    }
  }
}
