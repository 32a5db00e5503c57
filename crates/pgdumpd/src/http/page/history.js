/** The history: all jobs, newest first, with filters that are in the address. */

import { h } from "./dom.js";
import { age, number, size, span } from "./format.js";
import { t, wordOf } from "./language.js";
import { href } from "./open.js";
import { jobLink } from "./overview.js";
import { spark } from "./spark.js";

/**
 * @typedef {import("./types.js").Job} Job
 * @typedef {import("./types.js").Jobs} Jobs
 * @typedef {import("./types.js").Target} Target
 * @typedef {import("./open.js").Place} Place
 */

const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];
const KINDS = ["backup", "copy"];

/**
 * The path of a page of the history.
 * @param {Place} place
 */
export function historyPath(place) {
  const query = new URLSearchParams({ limit: "50" });
  for (const name of /** @type {const} */ (["target", "state", "kind", "cursor"])) {
    if (place[name]) query.set(name, place[name]);
  }
  return `jobs?${query}`;
}

/**
 * @param {Place} place
 * @param {Jobs | undefined} page
 * @param {Target[]} targets
 */
export function historyView(place, page, targets) {
  return [
    h("h1", { tabindex: "-1" }, t("history.title")),
    filters(place, targets),
    trend(targets.find((target) => target.target === place.target)),
    page ? jobsTable(page.jobs) : h("p", { class: "quiet" }, t("loading")),
    page && pages(place, page),
  ];
}

/**
 * @param {Place} place
 * @param {Target[]} targets
 */
function filters(place, targets) {
  const names = targets.map((target) => target.target);
  if (place.target && !names.includes(place.target)) names.push(place.target);
  const isFiltered = place.target || place.state || place.kind;
  return h(
    "form",
    { class: "filters", "data-action": "filter", "aria-label": t("history.filters") },
    choice("target", t("history.target"), place.target, names, (name) => name),
    choice("state", t("history.state"), place.state, STATES, (state) => wordOf("state", state)),
    choice("kind", t("history.kind"), place.kind, KINDS, (kind) => wordOf("kind", kind)),
    isFiltered ? h("a", { href: href({ view: "history" }) }, t("history.clear")) : null,
  );
}

/**
 * @param {string} name
 * @param {string} label
 * @param {string} chosen
 * @param {string[]} values
 * @param {(value: string) => string} shown
 */
function choice(name, label, chosen, values, shown) {
  const option = (/** @type {string} */ value, /** @type {string} */ text) =>
    h("option", { value, selected: value === chosen }, text);
  return h(
    "label",
    {},
    h("span", {}, label),
    h("select", { name }, option("", t("history.all")), ...values.map((value) => option(value, shown(value)))),
  );
}

/** @param {Target | undefined} target */
function trend(target) {
  if (!target || target.recent.length < 2) return null;
  const { recent } = target;
  const figure = (/** @type {string} */ title, /** @type {Node | null} */ drawing) =>
    drawing && h("figure", {}, h("figcaption", { class: "quiet small" }, title), drawing);
  return h(
    "div",
    { class: "trend", role: "group", "aria-label": t("history.trend", { count: number(recent.length) }) },
    figure(
      t("job.duration"),
      spark(
        "duration",
        recent.map((point) => point.seconds),
        span,
      ),
    ),
    figure(
      t("job.size"),
      spark(
        "size",
        recent.map((point) => point.sizeBytes),
        size,
      ),
    ),
  );
}

/** @param {Job[]} jobs */
export function jobsTable(jobs) {
  if (jobs.length === 0) return h("p", { class: "quiet" }, t("history.none"));
  const heads = [
    t("job.state"),
    t("history.job"),
    t("job.started"),
    t("job.duration"),
    t("job.size"),
    t("history.copies"),
  ];
  return h(
    "table",
    { class: "stacked jobs" },
    h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...jobs.map(row)),
  );
}

/** @param {Job} job */
function row(job) {
  const { copies } = job;
  return h(
    "tr",
    { "data-key": job.id },
    h("td", { "data-label": t("job.state") }, stateBadge(job)),
    h(
      "th",
      { scope: "row" },
      jobLink(job),
      job.label && h("span", { class: "quiet small block" }, job.label),
      job.error && job.state !== "succeeded" && h("span", { class: "error-text small block" }, job.error.message),
    ),
    h("td", { "data-label": t("job.started") }, age(job.createdAt)),
    h("td", { "data-label": t("job.duration"), class: "figure" }, span(secondsOf(job))),
    h("td", { "data-label": t("job.size"), class: "figure" }, size(job.sizeBytes)),
    h(
      "td",
      { "data-label": t("history.copies"), class: "figure" },
      job.kind === "backup" && copies.total > 0 ? `${number(copies.stored)}/${number(copies.total)}` : "–",
    ),
  );
}

/** @param {Job} job */
export function secondsOf({ startedAt, finishedAt }) {
  return startedAt && finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000 : null;
}

/** @param {Job} job */
export function stateBadge({ state }) {
  return h("span", { class: `state ${state}` }, wordOf("state", state));
}

/**
 * @param {Place} place
 * @param {Jobs} page
 */
function pages(place, { next }) {
  if (!place.cursor && !next) return null;
  return h(
    "nav",
    { class: "pages", "aria-label": t("history.pages") },
    place.cursor && h("a", { href: href({ ...place, cursor: "" }) }, t("history.newest")),
    next && h("a", { href: href({ ...place, cursor: next }) }, t("history.older")),
  );
}
