import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import {
  BackupError,
  type BackupStatus,
  backupStatus,
  backupStatuses,
  cancelBackup,
  enqueueBackup,
  hasEnded,
  listBackups,
  monitoring,
  type PageKey,
  targets,
} from "../src/index.js";
import { eventually, Service } from "./service.js";

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

describe("with a daemon", () => {
  let service: Service;
  before(async () => {
    service = await Service.start();
  });
  after(() => service.stop());

  const ended = (id: string): Promise<BackupStatus> =>
    eventually(`job ${id} has ended`, async () => {
      const status = await backupStatus(service.pool, id);
      return status && hasEnded(status) ? status : undefined;
    });

  test("a backup is enqueued under the caller's id and succeeds", async () => {
    const id = randomUUID();
    const metadata = { user: 7, nested: { snake_case: [1] } };
    const enqueued = await enqueueBackup(service.pool, { target: service.target, id, label: "by hand", metadata });
    assert.deepEqual(enqueued, { id, isNew: true });
    const status = await ended(id);
    assert.equal(status.state, "succeeded", status.error ?? "");
    assert.equal(status.status, "completed");
    assert.equal(status.progress, 100);
    assert.equal(status.label, "by hand");
    assert.deepEqual(status.metadata, metadata);
    assert.deepEqual([status.tablesDone, status.tablesTotal, status.rowsDone], [1, 1, 1000]);
    for (const bytes of [status.bytesDumped, status.bytesStored, status.sizeBytes]) {
      assert.ok(Number.isSafeInteger(bytes) && Number(bytes) > 0, `${bytes}`);
    }
    assert.match(status.sha256 ?? "", /^[0-9a-f]{64}$/);
    for (const time of [status.createdAt, status.runAt, status.startedAt, status.finishedAt, status.lastUpdate]) {
      assert.match(time ?? "", ISO_TIME);
    }
    assert.equal(status.storedIn.length, 1);
    assert.equal(status.storedIn[0]?.sizeBytes, status.sizeBytes);
    assert.match(status.storedIn[0]?.storedAt ?? "", ISO_TIME);
    assert.deepEqual([status.copiesStored, status.copiesTotal, status.warnings], [1, 1, []]);
    const known = await targets(service.pool);
    assert.deepEqual(known, [
      { target: service.target, daemons: 1, lastSuccessId: id, lastSuccessAt: status.finishedAt },
    ]);
  });

  test("a running backup is cancelled", async () => {
    const release = await service.holdDumps();
    try {
      const { id } = await enqueueBackup(service.pool, { target: service.target });
      const running = await eventually("it runs", async () =>
        (await monitoring(service.pool, { targets: [service.target] })).find(
          (one) => one.id === id && one.state === "running",
        ),
      );
      assert.equal(typeof running.workerPid, "number");
      assert.match(running.workerLastSeenAt ?? "", ISO_TIME);
      assert.equal(await cancelBackup(service.pool, id), "cancelling");
      assert.equal((await ended(id)).state, "cancelled");
      assert.equal(await cancelBackup(service.pool, id), "already_cancelled");
    } finally {
      await release();
    }
  });

  test("a failed backup has its error with the hint", async () => {
    const spec = { tables: ["public.absent"] };
    const { id } = await enqueueBackup(service.pool, { target: service.target, spec, maxAttempts: 1 });
    const status = await ended(id);
    assert.equal(status.status, "failed");
    assert.match(status.error ?? "", /absent/);
    assert.ok(status.errorHint && status.errorCode && status.errorStep);
    assert.deepEqual(status.spec, { tables: ["public.absent"] });
  });
});

describe("without a daemon", () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ daemon: false });
  });
  after(() => service.stop());

  const refused = async (work: Promise<unknown>): Promise<BackupError> => {
    const error = await work.then(
      () => assert.fail("not refused"),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof BackupError, String(error));
    return error;
  };

  test("an id that is unknown, temporary or empty is a value, never an exception", async () => {
    for (const id of [randomUUID(), "temp_123", "", "'; --", `${randomUUID()}0`, "\0"]) {
      assert.equal(await backupStatus(service.pool, id), null, id);
      assert.equal(await cancelBackup(service.pool, id), "not_found", id);
    }
    assert.deepEqual(await backupStatuses(service.pool, ["temp_123"]), []);
  });

  test("a job that nobody serves waits, and says why", async () => {
    const { id } = await enqueueBackup(service.pool, { target: "waits", runAt: new Date(0x1_0000_0000 * 1000) });
    const later = await backupStatus(service.pool, id);
    assert.equal(later?.runAt, "2106-02-07T06:28:16.000000Z");
    assert.equal(await cancelBackup(service.pool, id), "cancelled");
    const due = await enqueueBackup(service.pool, { target: "waits", priority: 1, timeoutSeconds: 90 });
    const status = await backupStatus(service.pool, due.id);
    assert.deepEqual([status?.state, status?.unserved, status?.priority], ["queued", true, 1]);
    assert.match(status?.waitsBecause ?? "", /no daemon serves target "waits"/);
    assert.equal(status?.queuePosition, 1);
    assert.deepEqual([status?.progress, status?.elapsedSeconds, status?.rowsDone], [0, null, null]);
    const { rows } = await service.owner.query("SELECT timeout::text FROM pgdumpd.backup_jobs WHERE id = $1", [due.id]);
    assert.deepEqual(rows, [{ timeout: "00:01:30" }]);
  });

  test("the same id or key again is the same job", async () => {
    const request = { target: "same", id: randomUUID() };
    assert.deepEqual(await enqueueBackup(service.pool, request), { id: request.id, isNew: true });
    assert.deepEqual(await enqueueBackup(service.pool, request), { id: request.id, isNew: false });
    const first = await enqueueBackup(service.pool, { target: "same", idempotencyKey: "nightly" });
    const again = await enqueueBackup(service.pool, { target: "same", idempotencyKey: "nightly" });
    assert.deepEqual(again, { id: first.id, isNew: false });
  });

  test("a backup is part of the caller's transaction", async () => {
    const client = await service.pool.connect();
    try {
      await client.query("BEGIN");
      const { id } = await enqueueBackup(client, { target: "transaction" });
      assert.equal((await backupStatus(client, id))?.state, "queued");
      await client.query("ROLLBACK");
      assert.equal(await backupStatus(client, id), null);
    } finally {
      client.release();
    }
  });

  test("pages show every job once, also jobs of one instant, while others are enqueued", async () => {
    const target = "pages";
    const ids = new Set<string>();
    const client = await service.pool.connect();
    try {
      // One transaction: one created_at for all.
      await client.query("BEGIN");
      for (let n = 0; n < 7; n++) ids.add((await enqueueBackup(client, { target, label: `${n}` })).id);
      await client.query("COMMIT");
    } finally {
      client.release();
    }
    // Two jobs within one millisecond: a page's key has to be as exact as the column.
    ids.add((await enqueueBackup(service.pool, { target })).id);
    ids.add((await enqueueBackup(service.pool, { target })).id);
    await service.owner.query(
      "UPDATE pgdumpd.backup_jobs SET created_at = date_trunc('hour', created_at) + CASE WHEN spec ? 'label' THEN '1 us'::interval ELSE '2 us' END WHERE target = $1",
      [target],
    );
    const seen: string[] = [];
    let after: PageKey | null = null;
    do {
      const page: Awaited<ReturnType<typeof listBackups>> = await listBackups(service.pool, {
        targets: [target],
        limit: 2,
        ...(after && { after }),
      });
      assert.ok(page.backups.length <= 2);
      seen.push(...page.backups.map(({ id }) => id));
      after = page.next;
      await enqueueBackup(service.pool, { target });
    } while (after);
    assert.equal(seen.length, 9);
    assert.deepEqual(new Set(seen), ids);
  });

  test("a list has filters, and takes a hostile limit", async () => {
    const wanted = await enqueueBackup(service.pool, { target: "filters", label: "x" });
    await enqueueBackup(service.pool, { target: "filters" });
    await cancelBackup(service.pool, wanted.id);
    const list = async (filter: Parameters<typeof listBackups>[1]) =>
      (await listBackups(service.pool, { targets: ["filters"], ...filter })).backups.map(({ id }) => id);
    assert.deepEqual(await list({ label: "x" }), [wanted.id]);
    assert.deepEqual(await list({ state: "cancelled" }), [wanted.id]);
    assert.deepEqual(await list({ kind: "copy" }), []);
    assert.equal((await list({ kind: null, limit: -5 })).length, 1);
    assert.deepEqual(await list({ copyOf: "temp_1" }), []);
    assert.deepEqual(await list({ targets: [] }), []);
  });

  test("an error has its kind, SQLSTATE, message and hint", async () => {
    const malformed = await refused(enqueueBackup(service.pool, { target: "x", priority: 9 }));
    assert.deepEqual(
      [malformed.kind, malformed.sqlstate, malformed.message, malformed.hint],
      ["invalid", "23514", "priority 9 is out of range", "Priorities are 1 (first) to 5 (last); 3 is the default."],
    );
    const unknown = await refused(enqueueBackup(service.pool, { target: "x", spec: { tabels: ["x"] } as object }));
    assert.match(unknown.message, /tabels/);
    const { id } = await enqueueBackup(service.pool, { target: "x" });
    const taken = await refused(enqueueBackup(service.pool, { target: "y", id }));
    assert.deepEqual([taken.kind, taken.sqlstate], ["id_taken", "23505"]);
    await service.owner.query("INSERT INTO pgdumpd.quotas (requested_by, queued_jobs) VALUES ($1, 0)", [
      service.target,
    ]);
    const quota = await refused(enqueueBackup(service.pool, { target: "x" }));
    assert.deepEqual([quota.kind, quota.sqlstate], ["quota", "53400"]);
    await service.owner.query("DELETE FROM pgdumpd.quotas WHERE requested_by = $1", [service.target]);
  });

  test("a database without a queue, a role without rights, and no server are told apart", async () => {
    const stranger = new pg.Client({ connectionString: process.env.PGDUMPD_TEST_DATABASE_URL });
    await stranger.connect();
    try {
      const nowhere = await refused(backupStatus(stranger, randomUUID()));
      assert.equal(nowhere.kind, "not_migrated");
      assert.match(nowhere.hint ?? "", /pgdumpd migrate/);
    } finally {
      await stranger.end();
    }
    await service.owner.query(`SELECT pgdumpd.revoke_role('${service.target}')`);
    assert.equal((await refused(targets(service.pool))).kind, "denied");
    await service.owner.query(`SELECT pgdumpd.grant_producer('${service.target}')`);
    const gone = new pg.Pool({ host: "/nonexistent" });
    const lost = await refused(monitoring(gone));
    assert.deepEqual([lost.kind, lost.sqlstate], ["unavailable", undefined]);
    assert.notEqual(lost.message, "");
    await gone.end();
  });

  test("an application's own type parsers and time zone change nothing", async () => {
    const { id } = await enqueueBackup(service.pool, { target: "parsers" });
    const expected = await backupStatus(service.pool, id);
    const types = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;
    const client = new pg.Client({ connectionString: service.applicationUrl, types });
    await client.connect();
    try {
      await client.query("SET TIME ZONE 'Asia/Kathmandu'; SET DateStyle = 'SQL, DMY'");
      assert.deepEqual(await backupStatus(client, id), expected);
    } finally {
      await client.end();
    }
  });
});
