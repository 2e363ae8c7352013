// A client of the public API. What fails is thrown: Problem, what the API answered; Offline, when it did not.

import {t, translated} from "./texts.js";

const KEY = "lrserve.key";

/** An answer that is an error: RFC 9457, with `errors` as a list of {loc: [..], msg}. What it says is in the language in use. */
export class Problem extends Error {
  constructor(status, body) {
    super(translated(body.detail || body.title || `HTTP ${status}`));
    this.name = "Problem";
    this.status = status;
    this.kind = String(body.type ?? "").split(":").pop();
    this.title = translated(body.title ?? `HTTP ${status}`);
    this.detail = translated(body.detail ?? "");
    this.errors = Array.isArray(body.errors) ? body.errors.map((each) => ({...each, msg: translated(each.msg)})) : [];
  }
}

/** The API cannot be reached. */
export class Offline extends Error {
  constructor() {
    super(t("state.offline"));
    this.name = "Offline";
  }
}

/**
 * What is known of the connection. Events: "change" when `state` changes, "key" when a key is needed.
 * state: "unknown", "online", "degraded" (the job store is away), "offline".
 */
class Connection extends EventTarget {
  state = "unknown";
  workers = null;

  set(state, workers = this.workers) {
    if (state === this.state && workers === this.workers) return;
    this.state = state;
    this.workers = workers;
    this.dispatchEvent(new Event("change"));
  }

  needKey() {
    this.dispatchEvent(new Event("key"));
  }
}

export const connection = new Connection();

/** The key given to this tab, or null. */
export function key() {
  return sessionStorage.getItem(KEY);
}

/** Keeps a key for this tab; an empty one forgets it. */
export function useKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

/**
 * Sends a request and returns the Response of a success.
 *
 * options: method, body (sent as JSON), query (an object; null values are left out), headers, signal, keepalive.
 * An aborted request throws the signal's AbortError.
 */
export async function request(path, {method = "GET", body, query, headers = {}, signal, keepalive} = {}) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const url = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const sent = {...headers};
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (key()) sent.Authorization = `Bearer ${key()}`;
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      keepalive,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.set("offline");
    throw new Offline();
  }
  if (connection.state === "offline") connection.set("online");
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => ({})));
  if (answer.status === 401) connection.needKey();
  throw problem;
}

/** The JSON of a GET. */
export async function get(path, options = {}) {
  return (await request(path, options)).json();
}

/** Posts JSON; the JSON of the answer, or null where it has none. */
export async function post(path, body, options = {}) {
  const answer = await request(path, {...options, method: "POST", body});
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** A file of the API, with the key, as a blob: for pictures and downloads. */
export async function blob(path, options = {}) {
  return (await request(path, options)).blob();
}

/**
 * Follows a stream of server-sent events, from after `lastEventId` (null: from the beginning).
 *
 * fetch rather than EventSource, which cannot send the key. It connects again, with Last-Event-ID, for as long as
 * `onEvent` has seen no event "end"; an answer of 4xx ends it. `onEvent` gets {id, event, data}, data parsed from JSON.
 * `onState` gets "open", "waiting" and, once, "closed" (with the Problem where there is one).
 * Returns a function that stops it.
 */
export function follow(path, lastEventId, onEvent, onState = () => {}) {
  const stopping = new AbortController();
  let last = lastEventId;
  let retry = 1000;

  async function once() {
    const headers = {Accept: "text/event-stream"};
    if (last !== null && last !== undefined) headers["Last-Event-ID"] = String(last);
    const answer = await request(path, {headers, signal: stopping.signal});
    onState("open");
    retry = 1000;
    for await (const event of events(answer.body, (wait) => { retry = wait; })) {
      if (event.id !== null) last = event.id;
      if (event.data === null) continue;
      onEvent(event);
      if (event.event === "end") return true;
    }
    return false;
  }

  async function run() {
    while (!stopping.signal.aborted) {
      try {
        if (await once()) return onState("closed");
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (error instanceof Problem && error.status < 500 && error.status !== 429) return onState("closed", error);
        retry = Math.min(retry * 1.5, 15000);
      }
      if (stopping.signal.aborted) return;
      onState("waiting");
      await new Promise((resolve) => { setTimeout(resolve, retry); });
    }
  }

  run();
  return () => stopping.abort();
}

async function* events(stream, onRetry) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const {value, done} = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        return {done: true};  // the connection broke: what follows is asked for again
      });
      if (done) return;
      rest += value;
      const blocks = rest.split(/\r\n\r\n|\n\n|\r\r/);
      rest = blocks.pop();
      for (const block of blocks) yield parsed(block, onRetry);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block, onRetry) {
  const event = {id: null, event: "message", data: null};
  const data = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const at = line.indexOf(":");
    if (at === 0) continue;  // a comment, which keeps the connection alive
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event.event = value;
    else if (field === "id") event.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  }
  if (data.length) event.data = JSON.parse(data.join("\n"));
  return event;
}

/** Looks every ten seconds whether the service answers, for as long as the page is seen. */
export function watch() {
  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch("/readyz", key() ? {headers: {Authorization: `Bearer ${key()}`}} : {});
      const body = await answer.json();
      if (answer.ok) connection.set("online", body.workers ?? null);
      else connection.set("degraded", null);
    } catch {
      connection.set("offline", null);
    }
  }
  look();
  setInterval(look, 10000);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
}
