/** One job: how it is, its attempts, where its backup is, and what is in it. */

import { h } from "./dom.js";
import { age, moment, number, size, span } from "./format.js";
import { jobsTable, secondsOf, stateBadge } from "./history.js";
import { reasonOf, t, wordOf } from "./language.js";
import { href } from "./open.js";
import { bar, cancelButton, facts } from "./overview.js";
import { timeline } from "./timeline.js";

/**
 * @typedef {import("./types.js").Job} Job
 * @typedef {import("./types.js").JobDetails} JobDetails
 * @typedef {import("./types.js").Tables} Tables
 * @typedef {import("./types.js").Rights} Rights
 */

/**
 * @param {JobDetails | "unknown" | undefined} details
 * @param {Tables | "loading" | undefined} tables
 * @param {Rights} rights
 */
export function jobView(details, tables, rights) {
  if (details === undefined)
    return [h("h1", { tabindex: "-1" }, t("history.job")), h("p", { class: "quiet" }, t("loading"))];
  if (details === "unknown") return [h("h1", { tabindex: "-1" }, t("history.job")), h("p", {}, t("job.notFound"))];
  const { job, attempts, storages, copies } = details;
  const title =
    job.kind === "copy"
      ? t("job.copyOf", { target: job.target, storage: job.copyTo ?? "" })
      : t("job.backupOf", { target: job.target });
  const isOpen = job.state === "running" || job.state === "queued";
  return [
    h("h1", { tabindex: "-1" }, title),
    h(
      "p",
      { class: "head" },
      stateBadge(job),
      job.label && h("span", { class: "quiet" }, job.label),
      isOpen && cancelButton(job, rights),
    ),
    job.state === "running"
      ? h(
          "div",
          { class: "card" },
          bar(job),
          h("p", { class: "facts" }, ...facts(job).map((fact) => h("span", {}, fact))),
        )
      : null,
    problem(job),
    factsList(job),
    part("attempts", t("job.attempts"), timeline(job, attempts)),
    warnings(job),
    job.state === "succeeded" || storages.length > 0
      ? part("copies", t("copies.title"), storagesTable(storages))
      : null,
    copies.length > 0 ? part("copy-jobs", t("copies.jobs"), jobsTable(copies)) : null,
    job.state === "succeeded" ? part("tables", t("tables.title"), tablesTable(tables)) : null,
  ];
}

/**
 * @param {string} name
 * @param {string} title
 * @param {...import("./dom.js").Child} children
 */
function part(name, title, ...children) {
  return h(
    "section",
    { "data-key": name, "aria-labelledby": `${name}-title` },
    h("h2", { id: `${name}-title` }, title),
    ...children,
  );
}

/** @param {Job} job */
function problem({ error, state }) {
  if (!error || state === "succeeded") return null;
  return h(
    "div",
    { class: "problem", "data-key": "error" },
    h("p", { class: "error-text" }, error.message),
    error.hint && h("p", {}, error.hint),
    error.code && h("p", { class: "quiet small" }, t("job.step", { step: error.step ?? "–", code: error.code })),
  );
}

/** @param {Job} job */
function factsList(job) {
  const isOpen = job.state === "queued" || job.state === "running";
  /** @type {[string, import("./dom.js").Child | import("./dom.js").Child[]][]} */
  const facts = [
    [t("job.waits"), job.state === "queued" && reasonOf(job.waitsBecause)],
    [t("job.started"), [age(job.createdAt), h("span", { class: "quiet small block" }, moment(job.createdAt))]],
    [
      t("job.finished"),
      job.finishedAt && [age(job.finishedAt), h("span", { class: "quiet small block" }, moment(job.finishedAt))],
    ],
    [t("job.duration"), !isOpen && job.startedAt !== null && span(secondsOf(job))],
    [t("job.size"), job.sizeBytes !== null && size(job.sizeBytes)],
    [t("tables.rows"), job.state === "succeeded" && job.rows.done !== null && number(job.rows.done)],
    [t("job.attempt"), t("job.attemptOf", { attempt: number(job.attempt), max: number(job.maxAttempts) })],
    [
      t("job.ofBackup"),
      job.copyOf && h("a", { href: href({ view: "job", id: job.copyOf }) }, h("code", {}, job.copyOf)),
    ],
    [t("job.host"), job.workerHost],
    [t("job.role"), job.requestedBy],
    [t("job.id"), h("code", {}, job.id)],
    [t("job.sha256"), job.sha256 && h("code", {}, job.sha256)],
  ];
  const shown = facts.filter(([, value]) => value !== null && value !== false);
  return h(
    "dl",
    { class: "details" },
    ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, ...[value].flat()))),
  );
}

/** @param {Job} job */
function warnings(job) {
  if (job.warningsTotal === 0) return null;
  const more = job.warningsTotal - job.warnings.length;
  return part(
    "warnings",
    t("job.warnings"),
    h(
      "ul",
      {},
      ...job.warnings.map((warning) => h("li", {}, warning)),
      more > 0 && h("li", { class: "quiet" }, t("job.moreWarnings", { count: number(more) })),
    ),
  );
}

/** @param {JobDetails["storages"]} storages */
function storagesTable(storages) {
  if (storages.length === 0) return h("p", { class: "quiet" }, t("copies.none"));
  const heads = [t("copies.storage"), t("copies.state"), t("copies.stored"), t("copies.proved"), t("job.size")];
  const row = (/** @type {JobDetails["storages"][number]} */ copy) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, copy.storage),
      h("td", { "data-label": t("copies.state") }, wordOf("copy", copy.state)),
      h("td", { "data-label": t("copies.stored") }, age(copy.storedAt)),
      h(
        "td",
        { "data-label": t("copies.proved") },
        copy.lastProvedAt ? age(copy.lastProvedAt) : h("span", { class: "quiet" }, t("copies.notProved")),
      ),
      h("td", { "data-label": t("job.size"), class: "figure" }, size(copy.sizeBytes)),
    );
  return h(
    "table",
    { class: "stacked" },
    h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...storages.map(row)),
  );
}

/** @param {Tables | "loading" | undefined} tables */
function tablesTable(tables) {
  if (tables === undefined)
    return h("p", {}, h("button", { type: "button", "data-action": "tables" }, t("tables.show")));
  if (tables === "loading") return h("p", { class: "quiet" }, t("loading"));
  if (tables.unknown) {
    return h(
      "div",
      {},
      h("p", {}, t(`tables.${tables.unknown}`)),
      tables.reason && h("p", { class: "error-text" }, tables.reason),
    );
  }
  if (tables.total === 0) return h("p", { class: "quiet" }, t("tables.none"));
  const heads = [t("tables.name"), t("tables.rows"), t("tables.raw"), t("tables.stored")];
  const row = (/** @type {Tables["tables"][number]} */ table) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("code", {}, table.name)),
      h("td", { class: "figure", "data-label": t("tables.rows") }, table.rows === null ? "–" : number(table.rows)),
      h("td", { class: "figure", "data-label": t("tables.raw") }, size(table.rawBytes)),
      h("td", { class: "figure", "data-label": t("tables.stored") }, size(table.storedBytes)),
    );
  const count =
    tables.tables.length < tables.total
      ? t("tables.largest", { count: number(tables.tables.length), total: number(tables.total) })
      : t("tables.total", { count: number(tables.total) });
  return h(
    "div",
    {},
    h("p", { class: "quiet small" }, count),
    h(
      "table",
      { class: "stacked contents" },
      h(
        "thead",
        {},
        h("tr", {}, ...heads.map((head, at) => h("th", { scope: "col", class: at > 0 && "figure" }, head))),
      ),
      h("tbody", {}, ...tables.tables.map(row)),
    ),
  );
}
