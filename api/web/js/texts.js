// All words of the page come from texts/LANGUAGE.json. Keys are paths: t("nav.jobs").
//
// Texts of the API are English. What they are in another language is in texts/catalogue/LANGUAGE.json, by the English text:
// one that is not there, or that has been changed since, is shown as it is. {1}, {2}, … stand for numbers and names.

export const LANGUAGES = {en: "English", zh: "中文"};

let texts = {};
let catalogue = {};
let patterns = [];  // of the keys with values in them: [expression, translation]
let language = "en";

async function read(name) {
  return (await fetch(`/web/texts/${name}`)).json();
}

const VALUE = /\{\d\}/;

function expression(text) {
  return new RegExp(`^${text.split(VALUE).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("(.+?)")}$`);
}

/** Loads a language; by default the one chosen last, or the browser's, or English. */
export async function load(wanted = localStorage.getItem("lrserve.language")) {
  const own = (navigator.languages ?? [navigator.language]).map((each) => each.slice(0, 2)).find((each) => each in LANGUAGES);
  language = wanted in LANGUAGES ? wanted : own ?? "en";
  [texts, catalogue] = await Promise.all([read(`${language}.json`), language === "en" ? {} : read(`catalogue/${language}.json`)]);
  patterns = Object.entries(catalogue).filter(([text]) => VALUE.test(text)).map(([text, other]) => [expression(text), other]);
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

/** A text of the API in the language in use, or as it is. */
export function translated(text) {
  if (Object.hasOwn(catalogue, text)) return catalogue[text];
  for (const [pattern, other] of patterns) {
    const [, ...values] = pattern.exec(text) ?? [];
    if (values.length) return other.replace(/\{(\d)\}/g, (all, i) => values[i - 1]);
  }
  return text;
}
