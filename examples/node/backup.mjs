#!/usr/bin/env node
// Asks pgdumpd for a backup, follows it to its end, and exits with 0, 1 (failed) or 3 (cancelled).

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";

const POLL_MILLISECONDS = 500;
const EXIT_CODES = { succeeded: 0, failed: 1, cancelled: 3 };
const USAGE = `usage: backup.mjs [--label TEXT] [--key IDEMPOTENCY_KEY] [--cancel] TARGET
DATABASE_URL names the database that holds the queue.`;

async function main() {
  const { target, label, key, cancelIt } = readArguments();
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
  await client.connect();
  try {
    const job = await enqueue(client, target, label, key);
    if (cancelIt) {
      await follow(client, job, ["running", ...Object.keys(EXIT_CODES)]);
      console.log("cancel:", await cancel(client, job));
    }
    const status = await follow(client, job, Object.keys(EXIT_CODES));
    if (status.state === "succeeded") {
      console.log(`${status.size_bytes} bytes, sha256 ${status.sha256}`);
    }
    if (status.error) {
      console.error(`${status.error_step}: ${status.error}\n${status.error_hint ?? ""}`.trimEnd());
    }
    return EXIT_CODES[status.state];
  } finally {
    await client.end();
  }
}

function readArguments() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: { label: { type: "string" }, key: { type: "string" }, cancel: { type: "boolean" } },
    });
  } catch (error) {
    stopWithUsage(error.message);
  }
  const { values, positionals } = parsed;
  if (positionals.length !== 1) stopWithUsage("one target is needed");
  if (!process.env.DATABASE_URL) stopWithUsage("DATABASE_URL is not set");
  return { target: positionals[0], label: values.label, key: values.key, cancelIt: values.cancel };
}

function stopWithUsage(problem) {
  console.error(`${problem}\n${USAGE}`);
  process.exit(2);
}

/** Enqueues in a transaction: what the application writes in it and the request stand or fall together. */
async function enqueue(client, target, label, key) {
  const spec = label === undefined ? {} : { label };
  await client.query("BEGIN");
  try {
    const { rows } = await client.query(
      `SELECT job_id, is_new
       FROM pgdumpd.enqueue_backup(target => $1, spec => $2, idempotency_key => $3)`,
      [target, spec, key ?? null],
    );
    await client.query("COMMIT");
    console.log("job", rows[0].job_id, rows[0].is_new ? "" : "(asked for before)");
    return rows[0].job_id;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

/** Prints a line for each change until the job is in one of these states. */
async function follow(client, job, until) {
  let printed;
  for (;;) {
    const { rows } = await client.query("SELECT * FROM pgdumpd.backup_status WHERE id = $1", [job]);
    if (rows.length === 0) throw new Error(`job ${job} is gone`);
    const status = rows[0];
    const percent = status.progress.toFixed(1).padStart(5);
    const line = `${percent} %  ${status.state.padEnd(9)}  ${status.message ?? status.waits_because ?? ""}`.trimEnd();
    if (line !== printed) console.log(line);
    printed = line;
    if (until.includes(status.state)) return status;
    await sleep(POLL_MILLISECONDS);
  }
}

/** Says what became of the job: cancelled, cancelling, or already_ and its end. */
async function cancel(client, job) {
  const { rows } = await client.query("SELECT pgdumpd.cancel_backup($1) AS became", [job]);
  return rows[0].became;
}

try {
  process.exitCode = await main();
} catch (error) {
  // The server's own words, with its hint: an unknown key of the spec, a missing grant.
  console.error(`${error.message}\n${error.hint ?? ""}`.trimEnd());
  process.exitCode = 1;
}
