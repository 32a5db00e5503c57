/** A job's attempts on one scale of time: how long each waited and how long it ran. */

import { h, svg } from "./dom.js";
import { moment, now, number, span } from "./format.js";
import { t, wordOf } from "./language.js";

/**
 * @typedef {import("./types.js").Attempt} Attempt
 * @typedef {import("./types.js").Job} Job
 */

const WIDTH = 1000;

/**
 * @param {Job} job
 * @param {Attempt[]} attempts
 */
export function timeline(job, attempts) {
  if (attempts.length === 0) return h("p", { class: "quiet" }, t("job.noAttempts"));
  const begin = Date.parse(job.createdAt);
  const end = Math.max(job.finishedAt ? Date.parse(job.finishedAt) : now(), begin + 1);
  const x = (/** @type {number} */ time) => Math.round(((time - begin) / (end - begin)) * WIDTH);
  let before = begin;
  const rows = attempts.map((attempt, at) => {
    const started = Date.parse(attempt.startedAt);
    const ended = attempt.endedAt ? Date.parse(attempt.endedAt) : end;
    const row = attemptRow(attempt, { before, started, ended }, x, at);
    before = ended;
    return row;
  });
  return h("div", { class: "timeline" }, legend(), h("ol", {}, ...rows));
}

function legend() {
  const item = (/** @type {string} */ name, /** @type {string} */ text) =>
    h("span", {}, h("i", { class: `sample ${name}` }), text);
  return h("p", { class: "legend quiet" }, item("wait", t("job.waiting")), item("run", t("job.runningTime")));
}

/**
 * @param {Attempt} attempt
 * @param {{ before: number, started: number, ended: number }} times
 * @param {(time: number) => number} x
 * @param {number} at
 */
function attemptRow(attempt, { before, started, ended }, x, at) {
  const waited = t("job.waited", { time: span((started - before) / 1000) });
  const ran = t("job.ran", { time: span((ended - started) / 1000) });
  const least = 4;
  const runWidth = Math.max(least, x(ended) - x(started));
  const bar = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} 12`, preserveAspectRatio: "none", "aria-hidden": "true", class: `bar ${attempt.outcome}` },
    svg("rect", { class: "track", x: 0, y: 5, width: WIDTH, height: 2 }),
    svg("rect", { class: "wait", x: x(before), y: 3, width: Math.max(0, x(started) - x(before)), height: 6 }),
    svg("rect", { class: "run", x: Math.min(x(started), WIDTH - runWidth), y: 0, width: runWidth, height: 12 }),
  );
  return h(
    "li",
    { "data-key": `${attempt.startedAt}-${at}` },
    h(
      "p",
      { class: "head" },
      h("strong", {}, `${t("job.attempt")} ${number(attempt.attempt)}`),
      h("span", { class: `outcome ${attempt.outcome}` }, wordOf("outcome", attempt.outcome)),
      h("span", { class: "quiet" }, t("job.timeline", { waited, ran })),
    ),
    bar,
    h(
      "p",
      { class: "quiet small" },
      moment(attempt.startedAt),
      attempt.endedAt ? [" – ", moment(attempt.endedAt)] : null,
      attempt.host ? ` · ${attempt.host}` : null,
    ),
    attempt.error ? h("p", { class: "error-text" }, attempt.error) : null,
  );
}
