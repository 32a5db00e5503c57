import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { backupStatus, enqueueBackup } from "../src/index.js";
import {
  type Allowed,
  type BackupAnswer,
  createBackupHandlers,
  type Problem,
  type Refused,
} from "../src/next/index.js";
import { eventually, Service } from "./service.js";

const BASE = "https://app.example/api/backup";

/** Calls the handlers as Next.js does. */
function application(service: Service, decide: () => Allowed | Refused | never, pool: pg.Pool = service.pool) {
  const errors: unknown[] = [];
  const handlers = createBackupHandlers({
    pool,
    authorize: decide,
    pollMilliseconds: 50,
    onError: (error) => errors.push(error),
  });
  const context = <Params>(params: Params) => ({ params: Promise.resolve(params) });
  const get = (path: string, headers: Record<string, string> = {}) => {
    const [name = ""] = path.split("?");
    return handlers.GET(
      new Request(`${BASE}/${path}`, { headers }),
      context({ path: name.split("/").filter(Boolean) }),
    );
  };
  const post = (path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
    const request = new Request(`${BASE}/${path}`, { method: "POST", body: text, headers });
    return handlers.POST(request, context({ path: path.split("/") }));
  };
  return { handlers, get, post, errors };
}

const TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function traceOf({ owner }: Service, id: string): Promise<unknown> {
  const { rows } = await owner.query("SELECT trace_parent FROM pgdumpd.backup_jobs WHERE id = $1", [id]);
  return rows[0].trace_parent;
}

async function answerOf<Answer = BackupAnswer>(response: Response, status: number): Promise<Answer> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  return JSON.parse(text);
}

async function problemOf(response: Response, status: number, type: string): Promise<Problem> {
  assert.equal(response.headers.get("Content-Type"), "application/problem+json");
  const problem = await answerOf<Problem>(response, status);
  assert.deepEqual(
    [problem.success, problem.status, problem.type],
    [false, status, `urn:pgdumpd:problem:${type}`],
    JSON.stringify(problem),
  );
  assert.ok(problem.title && problem.detail);
  return problem;
}

describe("with a daemon", () => {
  let service: Service;
  before(async () => {
    service = await Service.start();
  });
  after(() => service.stop());

  test("create answers at once with a real id, and its status is there from the first moment to the end", async () => {
    const app = application(service, () => ({ allowed: true, metadata: { user: 7 } }));
    const body = { target: service.target, label: "by hand" };
    const created = await app.post("create", body, { traceparent: TRACE_PARENT });
    const { id, ...rest } = await answerOf(created, 202);
    assert.deepEqual(await traceOf(service, id), TRACE_PARENT);
    assert.equal(created.headers.get("Location"), `/api/backup/status/${id}`);
    assert.equal(created.headers.get("Retry-After"), "1");
    assert.deepEqual([rest.success, rest.status, rest.progress], [true, "in_progress", 0]);
    let last: BackupAnswer | undefined;
    const end = await eventually("it has ended", async () => {
      const answer = await answerOf(await app.get(`status/${id}`), 200);
      assert.ok(answer.progress >= (last?.progress ?? 0), `${answer.progress} after ${last?.progress}`);
      assert.notEqual(answer.message, "");
      last = answer;
      return answer.status === "in_progress" ? undefined : answer;
    });
    assert.deepEqual([end.status, end.progress, end.label], ["completed", 100, "by hand"]);
    assert.deepEqual(end.tables, { done: 1, total: 1 });
    assert.deepEqual(end.copies, { stored: 1, total: 1 });
    assert.match(end.elapsedTime.formatted, /^\d+:\d\d$/);
    assert.match(end.result?.sha256 ?? "", /^[0-9a-f]{64}$/);
    assert.equal(end.error, null);
    assert.deepEqual((await backupStatus(service.pool, id))?.metadata, { user: 7 });
    const { backups } = await answerOf<{ backups: BackupAnswer[] }>(await app.get("?limit=1"), 200);
    assert.deepEqual(backups, [end]);
  });

  test("a failed backup has its error and hint", async () => {
    const app = application(service, () => ({ allowed: true }));
    const spec = { tables: ["public.absent"] };
    // A trace that is none stops nobody.
    const unreadable = { traceparent: TRACE_PARENT.toUpperCase() };
    const { id } = await answerOf(await app.post("create", { target: service.target, spec }, unreadable), 202);
    assert.equal(await traceOf(service, id), null);
    const end = await eventually("it has ended", async () => {
      const answer = await answerOf(await app.get(`status/${id}`), 200);
      return answer.status === "failed" ? answer : undefined;
    });
    assert.match(end.error?.message ?? "", /absent/);
    assert.ok(end.error?.hint);
    assert.equal(end.result, null);
  });

  test("a running backup is stopping, and then has ended before", async () => {
    const release = await service.holdDumps();
    try {
      const app = application(service, () => ({ allowed: true }));
      const { id } = await answerOf(await app.post("create", { target: service.target }), 202);
      await eventually("it runs", async () => {
        const { backups } = await answerOf<{ backups: { id: string; state: string }[] }>(
          await app.get("monitoring"),
          200,
        );
        return backups.find((one) => one.id === id && one.state === "running");
      });
      const cancelled = await answerOf<BackupAnswer & { cancel: string }>(await app.post(`cancel/${id}`), 200);
      assert.deepEqual([cancelled.cancel, cancelled.cancelRequested], ["stopping", true]);
      await eventually("it is cancelled", async () => {
        const answer = await answerOf(await app.get(`status/${id}`), 200);
        return answer.status === "cancelled" || undefined;
      });
      const again = await answerOf<{ cancel: string }>(await app.post(`cancel/${id}`), 200);
      assert.equal(again.cancel, "ended_before");
    } finally {
      await release();
    }
  });
});

describe("without a daemon", () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ daemon: false });
  });
  after(() => service.stop());

  const open = (identity: Partial<Allowed> = {}) => application(service, () => ({ allowed: true, ...identity }));

  test("a temporary id waits to start, for status and events; it cannot be cancelled", async () => {
    const app = open();
    for (const id of ["temp_1732", "temp_", "x".repeat(300)]) {
      const answer = await answerOf(await app.get(`status/${id}`), 200);
      assert.deepEqual(
        [answer.id, answer.status, answer.progress, answer.message],
        [id, "in_progress", 0, "Waiting to start"],
      );
    }
    const events = await (await app.get("events/temp_1")).text();
    assert.match(events, /^retry: 1000\ndata: \{"success":true,"id":"temp_1".*\}\n\n$/);
    const problem = await problemOf(await app.post("cancel/temp_1"), 409, "no-job-yet");
    assert.ok(problem.hint);
  });

  test("a status that has not changed costs 304", async () => {
    const app = open();
    const { id } = await answerOf(await app.post("create", { target: "etag" }), 202);
    const first = await app.get(`status/${id}`);
    const etag = first.headers.get("ETag") ?? "";
    assert.match(etag, /^W\/"[\w-]+"$/);
    assert.equal(first.headers.get("Retry-After"), "3");
    const second = await app.get(`status/${id}`, { "If-None-Match": `"other", ${etag}` });
    assert.deepEqual([second.status, await second.text(), second.headers.get("ETag")], [304, "", etag]);
    await service.owner.query("UPDATE pgdumpd.backup_jobs SET run_at = now() + '1 hour' WHERE id = $1", [id]);
    const changed = await app.get(`status/${id}`, { "If-None-Match": etag });
    assert.equal(changed.status, 200);
  });

  test("the same Idempotency-Key is the same backup, another body with it is refused, another user's is another", async () => {
    const app = open({ user: "ann" });
    const key = { "Idempotency-Key": "click 1" };
    const first = await answerOf(await app.post("create", { target: "keys", label: "a" }, key), 202);
    const again = await answerOf(await app.post("create", { target: "keys", label: "a" }, key), 202);
    assert.equal(again.id, first.id);
    await problemOf(await app.post("create", { target: "keys", label: "b" }, key), 422, "idempotency-mismatch");
    await problemOf(await app.post("create", { target: "others", label: "a" }, key), 422, "idempotency-mismatch");
    const another = await answerOf(
      await open({ user: "bob" }).post("create", { target: "keys", label: "a" }, key),
      202,
    );
    assert.notEqual(another.id, first.id);
    await problemOf(await app.post("create", { target: "keys", id: first.id }, key), 422, "invalid-request");
    await problemOf(
      await app.post("create", { target: "keys" }, { "Idempotency-Key": "k".repeat(256) }),
      422,
      "invalid-request",
    );
  });

  test("an id that the page chose is kept, and is safe to send again", async () => {
    const app = open();
    const id = randomUUID();
    const created = await answerOf(await app.post("create", { target: "chosen", id: id.toUpperCase() }), 202);
    assert.equal(created.id, id);
    assert.equal((await answerOf(await app.post("create", { target: "chosen", id }), 202)).id, id);
    await problemOf(await app.post("create", { target: "chosen", id, label: "x" }), 422, "idempotency-mismatch");
    await problemOf(await app.post("create", { target: "chosen", id: "temp_1" }), 422, "invalid-request");
  });

  test("who may use one target neither starts, sees, lists, follows nor cancels another's backups", async () => {
    const { id: secret } = await enqueueBackup(service.pool, { target: "secret" });
    const app = open({ targets: ["mine"] });
    const mine = await answerOf(await app.post("create"), 202);
    assert.equal(mine.target, "mine");
    await problemOf(await app.post("create", { target: "secret" }), 403, "forbidden");
    // Its id does not lead to it, either.
    await problemOf(await app.post("create", { target: "mine", id: secret }), 422, "idempotency-mismatch");
    for (const route of ["status", "events"]) {
      await problemOf(await app.get(`${route}/${secret}`), 404, "unknown-backup");
    }
    await problemOf(await app.post(`cancel/${secret}`), 404, "unknown-backup");
    assert.equal((await backupStatus(service.pool, secret))?.state, "queued");
    for (const path of ["", "?target=secret&target=mine", "monitoring"]) {
      const { backups } = await answerOf<{ backups: BackupAnswer[] }>(await app.get(path), 200);
      assert.deepEqual(new Set(backups.map(({ target }) => target)), new Set(["mine"]), path);
    }
    const none = await answerOf<{ backups: BackupAnswer[] }>(await app.get("?target=secret"), 200);
    assert.deepEqual(none.backups, []);
  });

  test("a refusal is 401 or 403 on every route, and a page of another site changes nothing", async () => {
    const refusals: [Refused, number, string][] = [
      [{ allowed: false, status: 401 }, 401, "unauthenticated"],
      [{ allowed: false, detail: "only admins", hint: "Ask Ann." }, 403, "forbidden"],
    ];
    for (const [refusal, status, type] of refusals) {
      const app = application(service, () => refusal);
      const id = randomUUID();
      for (const path of ["", "monitoring", `status/${id}`, `status/temp_1`, `events/${id}`, "nowhere"]) {
        const problem = await problemOf(await app.get(path), status, type);
        if (refusal.hint) assert.deepEqual([problem.detail, problem.hint], ["only admins", "Ask Ann."]);
      }
      for (const path of ["create", `cancel/${id}`]) await problemOf(await app.post(path), status, type);
    }
    const app = open();
    await problemOf(await app.post("create", { target: "x" }, { "Sec-Fetch-Site": "cross-site" }), 403, "cross-site");
    await answerOf(await app.post("create", { target: "x" }, { "Sec-Fetch-Site": "same-origin" }), 202);
  });

  test("what cannot be read or is invalid is a problem that names it", async () => {
    const app = open();
    const id = randomUUID();
    await problemOf(await app.get(`status/${id}`), 404, "unknown-backup");
    await problemOf(await app.get("status/a/b"), 404, "unknown-route");
    await problemOf(await app.get("create"), 404, "unknown-route");
    await problemOf(await app.post("create", "{"), 400, "malformed-request");
    await problemOf(await app.post("create", "[]"), 400, "malformed-request");
    await problemOf(await app.post("create", {}), 422, "invalid-request");
    await problemOf(await app.post("create", `{"target": "${"x".repeat(70_000)}"}`), 413, "too-large");
    const unknown = await problemOf(await app.post("create", { target: "x", labl: "x" }), 422, "invalid-request");
    assert.match(unknown.detail, /labl/);
    await problemOf(await app.post("create", { target: 7 }), 422, "invalid-request");
    const spec = await problemOf(
      await app.post("create", { target: "x", spec: { tabels: [] } }),
      422,
      "invalid-request",
    );
    assert.match(spec.detail, /tabels/);
    await problemOf(await app.post("create", { target: "\0" }), 422, "invalid-request");
    for (const query of ["state=done", "limit=0", "limit=x", "cursor=x", "cursor=MjAyNg"]) {
      await problemOf(await app.get(`?${query}`), 400, "malformed-request");
    }
    await service.owner.query("INSERT INTO pgdumpd.quotas (requested_by, queued_jobs) VALUES ($1, 0)", [
      service.target,
    ]);
    const quota = await app.post("create", { target: "x" });
    assert.equal(quota.headers.get("Retry-After"), "60");
    await problemOf(quota, 429, "quota");
    await service.owner.query("DELETE FROM pgdumpd.quotas");
    assert.deepEqual(app.errors, []);
  });

  test("a server that is lost, and an authorize that throws, are reported and not shown", async () => {
    const lost = new pg.Pool({ host: "/nonexistent/secret" });
    const app = application(service, () => ({ allowed: true }), lost);
    const problem = await problemOf(await app.get(`status/${randomUUID()}`), 503, "unavailable");
    assert.doesNotMatch(JSON.stringify(problem), /secret/);
    assert.equal(app.errors.length, 1);
    await lost.end();
    const broken = application(service, () => {
      throw new Error("secret");
    });
    assert.doesNotMatch(JSON.stringify(await problemOf(await broken.get(""), 500, "internal")), /secret/);
    assert.equal(broken.errors.length, 1);
    const redirect = Object.assign(new Error("redirect"), { digest: "NEXT_REDIRECT;replace;/login;307;" });
    const redirecting = application(service, () => {
      throw redirect;
    });
    await assert.rejects(redirecting.get(""), redirect);
  });

  test("the history has pages", async () => {
    const app = open({ targets: ["history"] });
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.unshift((await answerOf(await app.post("create"), 202)).id);
    const seen: string[] = [];
    let query: string | null = "limit=2";
    while (query !== null) {
      const page: { backups: BackupAnswer[]; next: string | null } = await answerOf(await app.get(`?${query}`), 200);
      seen.push(...page.backups.map(({ id }) => id));
      query = page.next && `limit=2&cursor=${page.next}`;
    }
    assert.deepEqual(seen, ids);
  });
});
