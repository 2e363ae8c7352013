// All words of the page come from texts/LANGUAGE.json. Keys are paths: t("nav.jobs").

export const LANGUAGES = {en: "English", zh: "中文"};

let texts = {};
let language = "en";

/** Loads a language; by default the one chosen last, or the browser's, or English. */
export async function load(wanted = localStorage.getItem("lrserve.language")) {
  const own = (navigator.languages ?? [navigator.language]).map((each) => each.slice(0, 2)).find((each) => each in LANGUAGES);
  language = wanted in LANGUAGES ? wanted : own ?? "en";
  const answer = await fetch(`/web/texts/${language}.json`);
  texts = await answer.json();
  document.documentElement.lang = language === "zh" ? "zh-Hans" : language;
}

/** Chooses a language for this browser. */
export async function choose(wanted) {
  localStorage.setItem("lrserve.language", wanted);
  await load(wanted);
}

/** The language in use, for Intl. */
export function current() {
  return language;
}

/** The text of a key, with {names} replaced by values. A key that is missing shows itself. */
export function t(key, values = {}) {
  const found = key.split(".").reduce((level, part) => level?.[part], texts);
  if (typeof found !== "string") return key;
  return found.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/** The text of a key if there is one, else the other text: for names that the API may add to. */
export function tOr(key, other) {
  const found = t(key);
  return found === key ? other : found;
}
