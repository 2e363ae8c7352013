// The page: header, navigation, language and theme, the key, and which view is shown.
//
// A view is a module with `export async function show(root, params)`, which fills `root` and returns a function that
// takes it down again (timers, streams). `params` has the parts of the address ({id}) and its query (`query`, a
// URLSearchParams): #/submit?spec={"schedule":{…},"optimizer":{"lr":0.1}} opens the form with what a job's spec begins with.

import {connection, key, useKey, watch} from "./api.js";
import {announce, fill, h} from "./dom.js";
import {failure, loading} from "./parts.js";
import {LANGUAGES, choose, current, load, t} from "./texts.js";

const ROUTES = [
  [/^\/schedules$/, () => import("./views/schedules.js"), "schedules"],
  [/^\/jobs$/, () => import("./views/jobs.js"), "jobs"],
  [/^\/jobs\/(?<id>[^/]+)$/, () => import("./views/job.js"), "jobs"],
  [/^\/submit$/, () => import("./views/submit.js"), "submit"],
  [/^\/experiments$/, () => import("./views/experiments.js"), "experiments"],
  [/^\/experiments\/(?<id>[^/]+)$/, () => import("./views/experiment.js"), "experiments"],
  [/^\/range-tests\/(?<id>[^/]+)$/, () => import("./views/range_test.js"), "jobs"],
];
const NAVIGATION = ["schedules", "jobs", "submit", "experiments"];
const THEME = "lrserve.theme";

const content = document.getElementById("content");
let takeDown = () => {};
let turn = 0;  // of the latest view: a slower one before it must not come after it

function route() {
  const [path, query = ""] = (location.hash.slice(1) || "/schedules").split(/\?(.*)/s);
  for (const [pattern, view, section] of ROUTES) {
    const found = pattern.exec(path);
    if (found) {
      const parts = Object.fromEntries(Object.entries(found.groups ?? {}).map(([name, value]) => [name, decoded(value)]));
      return {view, section, params: {...parts, query: new URLSearchParams(query)}};
    }
  }
  return {view: null, section: null, params: {}};
}

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

async function show({focus = true} = {}) {
  turn += 1;
  const mine = turn;
  const {view, section, params} = route();
  stop();
  header(section);
  document.title = section ? `${t(`nav.${section}`)} – lrserve` : "lrserve";
  if (!view) {
    fill(content, h("div", {class: "state"}, h("h1", {}, t("shell.not_found")), h("p", {}, t("shell.not_found_help"))));
    return;
  }
  const root = h("div", {class: "view"}, loading());
  fill(content, root);
  if (focus) content.focus({preventScroll: true});
  try {
    const module = await view();
    const down = (await module.show(root, params)) ?? (() => {});
    if (mine === turn) takeDown = down;
    else down();
    if (mine === turn && focus) announce(document.title);
  } catch (error) {
    if (mine !== turn || error.name === "AbortError") return;
    fill(root, failure(error, () => show()));
  }
}

function stop() {
  const down = takeDown;
  takeDown = () => {};
  try {
    down();
  } catch (error) {
    reportError(error);
  }
}

// The header is made once for each language: what changes in it is changed in place, so that the focus stays.
let drawn = null;

function header(section) {
  const language = current();
  if (drawn?.language !== language) drawn = {language, ...drawHeader()};
  for (const [name, link] of Object.entries(drawn.links)) {
    if (name === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function drawHeader() {
  const links = Object.fromEntries(NAVIGATION.map((name) => [name, h("a", {href: `#/${name}`}, t(`nav.${name}`))]));
  const status = h("div", {class: "connection", role: "status"});
  const themes = ["auto", "light", "dark"].map((name) => h("option", {value: name}, t(`shell.theme_${name}`)));
  const theme = h(
    "select",
    {"aria-label": t("shell.theme"), value: localStorage.getItem(THEME) ?? "auto", onchange: () => setTheme(theme.value)},
    themes,
  );
  const languages = Object.entries(LANGUAGES).map(([code, name]) => h("option", {value: code, lang: code}, name));
  const language = h(
    "select",
    {"aria-label": t("shell.language"), value: current(), onchange: () => speak(language.value)},
    languages,
  );
  fill(
    document.getElementById("header"),
    h("a", {class: "brand", href: "#/schedules"}, h("img", {src: "/web/icon.svg", alt: "", width: 24, height: 24}), "lrserve"),
    h("nav", {"aria-label": t("nav.label")}, Object.values(links), h("a", {href: "/docs"}, t("nav.docs"))),
    h("div", {class: "tools"}, status, language, theme),
    h("div", {id: "key"}),
  );
  document.getElementById("skip").textContent = t("shell.skip");
  drawConnection(status);
  return {links, status};
}

function drawConnection(status) {
  const {state, workers} = connection;
  const text = t(`connection.${state}`);
  const more = state === "online" && workers !== null ? t("connection.workers", {n: workers}) : "";
  fill(status, h("span", {class: `dot ${state}`, "aria-hidden": "true"}), h("span", {}, text), more && h("span", {class: "muted"}, more));
  status.title = state === "offline" || state === "degraded" ? t(`connection.${state}_help`) : "";
  document.body.dataset.connection = state;
}

function askForKey() {
  const box = document.getElementById("key");
  if (!box || box.childElementCount) return;
  const field = h("input", {type: "password", id: "key-field", autocomplete: "off", required: true, "aria-describedby": "key-help"});
  const form = h(
    "form",
    {
      class: "key",
      onsubmit: (event) => {
        event.preventDefault();
        useKey(field.value.trim());
        fill(box);
        show();
      },
    },
    h("h2", {}, t("shell.key_title")),
    h("label", {for: "key-field"}, t("shell.key_label")),
    field,
    h("button", {class: "primary"}, t("shell.key_use")),
    key() && h("button", {type: "button", onclick: () => { useKey(""); field.value = ""; field.focus(); }}, t("shell.key_forget")),
    h("p", {id: "key-help", class: "muted"}, t("shell.key_help")),
  );
  fill(box, form);
  field.focus();
}

async function speak(language) {
  await choose(language);
  await show({focus: false});
  document.querySelector(`select[aria-label="${CSS.escape(t("shell.language"))}"]`)?.focus();
}

function setTheme(theme) {
  if (theme === "auto") localStorage.removeItem(THEME);
  else localStorage.setItem(THEME, theme);
  applyTheme();
}

function applyTheme() {
  const theme = localStorage.getItem(THEME);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new Event("themechange"));  // charts have colours of their own
}

applyTheme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
connection.addEventListener("change", () => drawn && drawConnection(drawn.status));
connection.addEventListener("key", askForKey);
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();  // the address is the view's
  content.focus();
});
window.addEventListener("hashchange", () => show());
const texts = load();
route().view?.().catch(() => {});  // its modules come while the texts do; what is wrong with them, show() says
await texts;
watch();
await show({focus: false});
