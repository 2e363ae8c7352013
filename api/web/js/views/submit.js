// A new job: a form, or JSON, with what the service says of it as it is typed.

import {Problem, post} from "../api.js";
import {fill, h} from "../dom.js";
import {address, kinds as listedKinds} from "../kinds.js";
import {kinds} from "../spec.js";
import {t} from "../texts.js";
import {Editor} from "./submit/editor.js";
import {Plan} from "./submit/plan.js";
import {start} from "./submit/start.js";

const WAIT = 200; // ms without a key before the service is asked

export async function show(root, params) {
  const [known, begin] = await Promise.all([kinds(), start(params.query, listedKinds())]);
  const view = new SubmitView(known, begin);
  view.open(root, begin.from);
  return () => view.close();
}

class SubmitView {
  constructor(known, begin) {
    this.known = known;
    this.timer = null;
    this.asking = null; // the dry run that is under way
    this.sent = null; // the Idempotency-Key of this request
    this.plan = new Plan(() => this.editor.request);
    this.editor = new Editor(known, begin, {
      change: () => this.ask(),
      another: () => this.another(),
      unreadable: () => this.plan.refuse([t("submit.not_json")]),
    });
  }

  open(root, from) {
    const onsubmit = (event) => {
      event.preventDefault();
      this.submit();
    };
    const page = h(
      "form", {class: "columns submit", novalidate: true, onsubmit}, this.editor.element, this.plan.element,
    );
    fill(root, h("h1", {}, t("submit.title")), from && h("p", {class: "note"}, from), page);
    this.editor.draw(false);
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.plan.close();
  }

  another() {
    this.plan.name(this.editor.kind);
    this.ask(0);
  }

  ask(wait = WAIT) {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.sent = null;
    this.timer = setTimeout(() => this.dryRun(), wait);
  }

  post(body, options) {
    return post(this.known.kinds[this.editor.kind].submit, body, options);
  }

  async dryRun() {
    const body = this.editor.request;
    if (body === null) {
      this.plan.refuse([t("submit.not_json")]);
      return;
    }
    if (!this.editor.valid) return;
    this.asking = new AbortController();
    try {
      const answer = await this.post(body, {query: {dry_run: true}, signal: this.asking.signal});
      this.editor.clear();
      this.plan.refuse([]);
      await this.plan.show(answer);
    } catch (error) {
      if (error.name !== "AbortError") this.refused(error);
    }
  }

  refused(error) {
    const named = error instanceof Problem && error.errors.length;
    this.plan.refuse(named ? this.editor.errors(error.errors) : [error.message]);
  }

  async submit() {
    const body = this.editor.request;
    if (body === null || !this.editor.valid) return;
    this.plan.button.disabled = true;
    this.sent ??= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // a second click makes no second job
    try {
      location.hash = address(await this.post(body, {headers: {"Idempotency-Key": this.sent}}));
    } catch (error) {
      this.refused(error);
      this.plan.button.disabled = false;
      this.plan.messages.querySelector("[role=alert]")?.scrollIntoView({block: "nearest"});
    }
  }
}
