/** The first view: the targets, what runs and what waits. */

import { h } from "./dom.js";
import { age, now, number, percent, span } from "./format.js";
import { reasonOf, t, wordOf } from "./language.js";
import { href } from "./open.js";
import { targetsTable } from "./targets.js";

/**
 * @typedef {import("./types.js").Job} Job
 * @typedef {import("./types.js").QueuedJob} QueuedJob
 * @typedef {import("./types.js").Overview} Overview
 * @typedef {import("./types.js").Rights} Rights
 */

/**
 * @param {Overview | undefined} overview
 * @param {Rights} rights
 */
export function overviewView(overview, rights) {
  const title = h("h1", { tabindex: "-1" }, t("overview.title"));
  if (!overview) return [title, h("p", { class: "quiet" }, t("loading"))];
  return [
    title,
    targetsTable(overview.targets, rights),
    section(
      "running",
      t("overview.running"),
      overview.runningTotal,
      overview.running.length > 0
        ? h("ul", { class: "cards" }, ...overview.running.map((job) => runningJob(job, rights)))
        : h("p", { class: "quiet" }, t("overview.nothingRuns")),
    ),
    section("queued", t("overview.queued"), overview.queuedTotal, queuedJobs(overview, rights)),
  ];
}

/**
 * @param {string} name
 * @param {string} title
 * @param {number} count
 * @param {...import("./dom.js").Child} children
 */
function section(name, title, count, ...children) {
  return h(
    "section",
    { "data-key": name, "aria-labelledby": `${name}-title` },
    h("h2", { id: `${name}-title` }, title, count > 0 && h("span", { class: "count" }, number(count))),
    ...children,
  );
}

/**
 * A job that runs, with its bar.
 * @param {Job} job
 * @param {Rights} rights
 */
function runningJob(job, rights) {
  return h(
    "li",
    { "data-key": job.id, class: "card" },
    h("p", { class: "head" }, jobLink(job), job.label && h("span", { class: "quiet" }, job.label)),
    bar(job),
    h("p", { class: "facts" }, ...facts(job).map((fact) => h("span", {}, fact))),
    cancelButton(job, rights),
  );
}

/** @param {Job} job */
export function bar(job) {
  return h(
    "div",
    { class: "bar-line" },
    h("progress", {
      max: 100,
      value: job.progress,
      "aria-label": t("job.progress", { target: job.target }),
    }),
    h("strong", { class: "percent" }, `${percent(job.progress)} %`),
  );
}

/**
 * What a job that runs is doing.
 * @param {Job} job
 */
export function facts(job) {
  const { rows, tables } = job;
  const done = rows.done ?? 0;
  const left = job.estimatedEnd ? (Date.parse(job.estimatedEnd) - now()) / 1000 : null;
  return [
    wordOf("phase", job.phase),
    job.currentTable && h("code", {}, job.currentTable),
    rows.expected
      ? t("job.rows", { done: number(done), expected: number(rows.expected) })
      : done > 0 && t("job.rowsDone", { done: number(done) }),
    tables.total ? t("job.tables", { done: number(tables.done ?? 0), total: number(tables.total) }) : null,
    left === null ? t("job.noTimeLeft") : t("job.timeLeft", { time: span(left) }),
  ].filter((fact) => fact !== null && fact !== false && fact !== "");
}

/**
 * @param {Job | QueuedJob} job
 * @param {Rights} rights
 */
export function cancelButton(job, rights) {
  if (!rights.cancel) return null;
  const isRequested = "cancelRequestedAt" in job && job.cancelRequestedAt !== null;
  return h(
    "button",
    {
      type: "button",
      class: "plain",
      "data-action": "cancel",
      "data-id": job.id,
      "aria-label": isRequested ? false : t("job.cancelOf", { target: job.target }),
      disabled: isRequested,
    },
    isRequested ? t("job.cancelling") : t("job.cancel"),
  );
}

/** @param {Job | QueuedJob} job */
export function jobLink(job) {
  const suffix = job.kind === "copy" ? ` · ${t("job.copyTo", { storage: job.copyTo ?? "" })}` : "";
  return h("a", { href: href({ view: "job", id: job.id }), class: "name" }, job.target + suffix);
}

/**
 * @param {Overview} overview
 * @param {Rights} rights
 */
function queuedJobs({ queued, queuedTotal }, rights) {
  if (queued.length === 0) return h("p", { class: "quiet" }, t("overview.nothingWaits"));
  const more = queuedTotal - queued.length;
  return h(
    "div",
    {},
    h("ul", { class: "lines" }, ...queued.map((job) => queuedJob(job, rights))),
    more > 0 &&
      h(
        "p",
        {},
        h("a", { href: href({ view: "history", state: "queued" }) }, t("overview.moreWait", { count: number(more) })),
      ),
  );
}

/**
 * @param {QueuedJob} job
 * @param {Rights} rights
 */
function queuedJob(job, rights) {
  return h(
    "li",
    { "data-key": job.id },
    h(
      "span",
      { class: "grow" },
      jobLink(job),
      " ",
      h("span", { class: job.unserved ? "bad" : "quiet" }, reasonOf(job.waitsBecause)),
    ),
    h("span", { class: "quiet" }, age(job.since)),
    cancelButton(job, rights),
  );
}
