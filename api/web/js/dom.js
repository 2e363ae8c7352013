// Elements, made without markup: what comes from the API is text, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate", "open", "hidden", "readOnly"]);

/**
 * An element. `h("button", {class: "primary", onclick: go, "aria-pressed": "true"}, "Go")`
 *
 * Attributes that are null, undefined or false are left out; `style` and `dataset` take objects; `on…` takes a listener.
 * Children are nodes, text, numbers, or lists of them; null and false are left out.
 */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  append(element, children);  // first: a select's value needs its options
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  return element;
}

function set(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (PROPERTIES.has(name) && name in element) element[name] = value ?? (name === "value" ? "" : false);
  else if (value !== null && value !== undefined && value !== false) {
    if ((name === "href" || name === "src") && !/^(#|\/|blob:|data:image\/)/.test(value)) return;  // only what is here
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

const ICONS = {
  eye: ["M2 12s3.5-6.5 10-6.5S22 12 22 12s-3.5 6.5-10 6.5S2 12 2 12Z", "M12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z"],
  hidden: ["M4 4l16 16", "M9.5 5.8A10 10 0 0 1 12 5.5c6.5 0 10 6.5 10 6.5a17 17 0 0 1-3.2 3.9", "M6.3 7.7A16 16 0 0 0 2 12s3.5 6.5 10 6.5a10 10 0 0 0 4-.8"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  up: ["M12 19V5", "M6 11l6-6 6 6"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
};

/** A small picture for a button that has a label: eye, hidden, close, up, down. */
export function icon(name) {
  return svg("svg", {class: "icon", viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true"}, ICONS[name].map((d) => svg("path", {d})));
}

/** Whether the page is as narrow as the style sheets' narrowest. */
export function isNarrow() {
  return matchMedia("(max-width: 640px)").matches;
}

/** Replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Says something to those who do not see the page. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = text; });
}

let ids = 0;

/** An id that no other element has, to tie labels and descriptions. */
export function uid(prefix = "e") {
  ids += 1;
  return `${prefix}-${ids}`;
}
