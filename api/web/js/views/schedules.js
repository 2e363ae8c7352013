import {h, fill} from "../dom.js";
import {t} from "../texts.js";

export async function show(root) {
  fill(root, h("h1", {}, t("schedules.title")));
  return () => {};
}
