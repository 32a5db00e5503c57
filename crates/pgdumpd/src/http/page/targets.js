/** The targets: when each was last backed up, how large that is, and when it is next. */

import { h } from "./dom.js";
import { age, size, span } from "./format.js";
import { t } from "./language.js";
import { href } from "./open.js";
import { spark } from "./spark.js";

/**
 * @typedef {import("./types.js").Target} Target
 * @typedef {import("./types.js").Rights} Rights
 */

/**
 * @param {Target[]} targets
 * @param {Rights} rights
 */
export function targetsTable(targets, rights) {
  if (targets.length === 0) return h("p", { class: "quiet" }, t("overview.noTargets"));
  const heads = [t("target"), t("target.lastGood"), t("target.size"), t("target.duration"), t("target.nextRun")];
  return h(
    "table",
    { class: "stacked targets" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...heads.map((head) => h("th", { scope: "col" }, head)),
        rights.enqueue && h("th", { scope: "col" }, h("span", { class: "hidden-text" }, t("target.actions"))),
      ),
    ),
    h("tbody", {}, ...targets.map((target) => row(target, rights))),
  );
}

/**
 * @param {Target} target
 * @param {Rights} rights
 */
function row(target, rights) {
  const { recent, lastGood } = target;
  const last = recent.at(-1);
  const sizes = recent.map((point) => point.sizeBytes);
  const seconds = recent.map((point) => point.seconds);
  return h(
    "tr",
    { "data-key": target.target, "data-target": target.target },
    h(
      "th",
      { scope: "row" },
      h("a", { href: href({ view: "history", target: target.target }), class: "name" }, target.target),
      trouble(target),
    ),
    h("td", { "data-label": t("target.lastGood") }, h("div", {}, lastGoodOf(target))),
    h(
      "td",
      { "data-label": t("target.size") },
      h(
        "div",
        { class: "value" },
        h("span", {}, lastGood ? size(lastGood.sizeBytes) : "–"),
        spark("size", sizes, size),
      ),
    ),
    h(
      "td",
      { "data-label": t("target.duration") },
      h("div", { class: "value" }, h("span", {}, last ? span(last.seconds) : "–"), spark("duration", seconds, span)),
    ),
    h(
      "td",
      { "data-label": t("target.nextRun") },
      h(
        "div",
        { title: target.schedules.join("\n") || false },
        target.nextRunAt ? age(target.nextRunAt) : h("span", { class: "quiet" }, t("target.noSchedule")),
      ),
    ),
    rights.enqueue &&
      h(
        "td",
        { class: "action" },
        h(
          "button",
          {
            type: "button",
            "data-action": "back-up",
            "data-target": target.target,
            "aria-label": t("target.backUpOf", { target: target.target }),
          },
          t("target.backUp"),
        ),
      ),
  );
}

/** @param {Target} target */
function lastGoodOf({ lastGood }) {
  if (!lastGood) return h("strong", { class: "bad" }, t("target.never"));
  const where = [
    lastGood.isPartial && t("target.partial"),
    t("target.storages", { names: lastGood.storages.join(", ") }),
  ];
  return [
    h(
      "a",
      { href: href({ view: "job", id: lastGood.id }) },
      lastGood.finishedAt ? age(lastGood.finishedAt) : lastGood.id,
    ),
    h("span", { class: "quiet small block" }, where.filter(Boolean).join(", ")),
  ];
}

/**
 * What a person should know before anything else.
 * @param {Target} target
 */
function trouble({ lastEnded, daemons }) {
  const hasFailed = lastEnded && lastEnded.state !== "succeeded";
  return [
    hasFailed
      ? h(
          "a",
          {
            class: `note ${lastEnded.state === "failed" ? "bad" : "quiet"}`,
            href: href({ view: "job", id: lastEnded.id }),
          },
          lastEnded.state === "failed" ? t("target.failed") : t("target.cancelled"),
        )
      : null,
    daemons === 0 ? h("span", { class: "note bad" }, t("target.unserved")) : null,
  ];
}
