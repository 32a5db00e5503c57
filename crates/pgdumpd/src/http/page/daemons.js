/** The daemons, and what their own checks found. */

import { h } from "./dom.js";
import { age, number } from "./format.js";
import { t, wordOf } from "./language.js";

/** @typedef {import("./types.js").Daemon} Daemon */

/** @param {Daemon[] | undefined} daemons */
export function daemonsView(daemons) {
  const title = h("h1", { tabindex: "-1" }, t("daemons.title"));
  if (!daemons) return [title, h("p", { class: "quiet" }, t("loading"))];
  if (daemons.length === 0) return [title, h("p", {}, t("daemons.none"))];
  return [title, h("ul", { class: "cards" }, ...daemons.map(card))];
}

/** @param {Daemon} daemon */
function card(daemon) {
  const problems = daemon.checks.filter((check) => check.severity !== "ok");
  const count = number(daemon.checks.length);
  return h(
    "li",
    { class: "card", "data-key": daemon.id },
    h(
      "p",
      { class: "head" },
      h("strong", { class: "name" }, daemon.host),
      h("span", { class: `state daemon-${daemon.state}` }, wordOf("daemon", daemon.state)),
      h("span", { class: "quiet" }, t("daemons.version", { version: daemon.version, pid: String(daemon.pid) })),
    ),
    h(
      "p",
      { class: "facts" },
      h("span", {}, t("daemons.jobs", { running: number(daemon.runningJobs), max: number(daemon.maxJobs) })),
      h("span", {}, t("daemons.copies", { running: number(daemon.runningCopies), max: number(daemon.maxCopies) })),
      h("span", {}, t("daemons.seen"), " ", age(daemon.lastSeenAt)),
      h("span", {}, daemon.checkedAt ? [t("daemons.checked"), " ", age(daemon.checkedAt)] : t("daemons.unchecked")),
    ),
    ...problems.map(finding),
    daemon.checks.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, problems.length === 0 ? t("daemons.fine", { count }) : t("daemons.allChecks", { count })),
        ...daemon.checks.map(finding),
      ),
  );
}

/** @param {Daemon["checks"][number]} check */
function finding(check) {
  return h(
    "div",
    { class: `finding ${check.severity}` },
    h(
      "p",
      {},
      h("span", { class: `severity ${check.severity}` }, wordOf("severity", check.severity)),
      " ",
      h("strong", {}, check.subject),
      ": ",
      check.what,
    ),
    check.hint && h("p", { class: "quiet" }, check.hint),
  );
}
