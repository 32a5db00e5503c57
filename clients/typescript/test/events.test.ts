import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { backupStatus, cancelBackup, enqueueBackup, hasEnded, type Queryable } from "../src/index.js";
import { type BackupAnswer, createBackupHandlers } from "../src/next/index.js";
import { Server } from "./server.js";
import { eventually, Service } from "./service.js";

let service: Service;
let server: Server;
let queries = 0;
before(async () => {
  service = await Service.start({ daemon: false });
  await service.startDaemon({ PGDUMPD_DAEMON__MAX_JOBS: "4" });
  const pool: Queryable = {
    query(text, values) {
      queries += 1;
      return service.pool.query(text, values);
    },
  };
  const authorize = () => ({ allowed: true }) as const;
  server = await Server.start(createBackupHandlers({ pool, authorize, pollMilliseconds: 50, maxEventStreams: 220 }));
});
after(async () => {
  await server.stop();
  await service.stop();
});

/** Follows a backup as a browser does. */
class Follower {
  readonly events: { id: number; type: string; answer: BackupAnswer }[] = [];
  readonly source: EventSource;

  constructor(id: string) {
    this.source = new EventSource(`${server.origin}/api/backup/events/${id}`);
    for (const type of ["message", "end"]) {
      this.source.addEventListener(type, (event) => {
        const { lastEventId, data } = event as MessageEvent<string>;
        this.events.push({ id: Number(lastEventId), type, answer: JSON.parse(data) });
      });
    }
  }

  /** A browser that is not told to stop reconnects, and is refused with 204. */
  async closed(): Promise<void> {
    await eventually("the stream is closed for good", () => this.source.readyState === EventSource.CLOSED || undefined);
  }

  check(): void {
    const ids = this.events.map(({ id }) => id);
    assert.ok(
      ids.every((id, n) => n === 0 || id > Number(ids[n - 1])),
      `${ids}`,
    );
    const percentages = this.events.map(({ answer }) => answer.progress);
    assert.ok(
      percentages.every((percent, n) => n === 0 || percent >= Number(percentages[n - 1])),
      `${percentages}`,
    );
    assert.deepEqual(
      this.events.filter(({ type }) => type === "end").map(({ answer }) => answer),
      [this.events.at(-1)?.answer],
    );
  }
}

test("events tell of a backup from its start to its end, over a cut connection, and then no more", async () => {
  const release = await service.holdDumps();
  const { id } = await enqueueBackup(service.pool, { target: service.target });
  const follower = new Follower(id);
  await eventually(
    "it is seen running",
    () => follower.events.some(({ answer }) => answer.state === "running") || undefined,
  );
  const before = follower.events.length;
  server.cut();
  await eventually("the state again after the cut", () => follower.events.length > before || undefined);
  await release();
  await follower.closed();
  follower.check();
  assert.equal(follower.events.at(-1)?.answer.status, "completed");
  assert.deepEqual(server.answered.at(-1), { method: "GET", path: `events/${id}`, status: 204 });
});

test("a backup that has ended is told once to whoever comes late", async () => {
  const { id } = await enqueueBackup(service.pool, { target: "late", runAt: "2100-01-01" });
  await cancelBackup(service.pool, id);
  const text = await (await fetch(`${server.origin}/api/backup/events/${id}`)).text();
  const [, eventId] =
    /^retry: 1000\nid: (\d+)\nevent: end\ndata: .*"status":"cancelled".*\n\n$/.exec(text) ?? assert.fail(text);
  const again = await fetch(`${server.origin}/api/backup/events/${id}`, {
    headers: { "Last-Event-ID": eventId ?? "" },
  });
  assert.equal(again.status, 204);
});

test("two hundred followers cost one statement for each reading, and closed ones cost nothing", async () => {
  const ids = await Promise.all(
    Array.from({ length: 20 }, () => enqueueBackup(service.pool, { target: "many", runAt: "2100-01-01" })),
  );
  const followers = ids.flatMap(({ id }) => Array.from({ length: 10 }, () => new Follower(id)));
  await eventually("all have the first state", () => followers.every(({ events }) => events.length > 0) || undefined);
  const started = { queries, at: Date.now() };
  for (const { id } of ids)
    await service.owner.query("UPDATE pgdumpd.backup_jobs SET priority = 2 WHERE id = $1", [id]);
  await Promise.all(ids.map(({ id }) => cancelBackup(service.pool, id)));
  await eventually(
    "all have the end",
    () => followers.every(({ events }) => events.at(-1)?.type === "end") || undefined,
  );
  const readings = (Date.now() - started.at) / 50;
  assert.ok(
    queries - started.queries <= readings + 1,
    `${queries - started.queries} statements in ${readings} readings`,
  );
  for (const follower of followers) follower.source.close();
  for (const follower of followers) follower.check();
  const still = queries;
  await sleep(500);
  assert.equal(queries, still, "nobody listens");
});

test("a stream too many is refused, and a place is free when its reader has gone", async () => {
  const { id } = await enqueueBackup(service.pool, { target: "full", runAt: "2100-01-01" });
  const followers = Array.from({ length: 220 }, () => new Follower(id));
  await eventually("all have the first state", () => followers.every(({ events }) => events.length > 0) || undefined);
  const refused = await fetch(`${server.origin}/api/backup/events/${id}`);
  assert.deepEqual([refused.status, refused.headers.get("Retry-After")], [503, "30"]);
  for (const follower of followers) follower.source.close();
  await eventually("a place is free", async () => {
    const gone = new AbortController();
    const { status } = await fetch(`${server.origin}/api/backup/events/${id}`, { signal: gone.signal });
    gone.abort();
    return status === 200 || undefined;
  });
});

test("a page that polls from before its backup exists sees no 404 and no percentage that goes back", async () => {
  const jobs = Number(process.env.PGDUMPD_TEST_PAGES ?? 8);
  const pollers = 20;
  const get = async (id: string) => {
    const response = await fetch(`${server.origin}/api/backup/status/${id}`);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as BackupAnswer;
  };
  const page = async (n: number) => {
    let id = `temp_${n}`;
    let isStopped = false;
    const poll = async () => {
      let last = 0;
      while (!isStopped) {
        const answer = await get(id);
        assert.ok(answer.progress >= last, `${answer.progress} after ${last}`);
        last = answer.progress;
        if (answer.status !== "in_progress") return answer.status;
      }
      return "stopped";
    };
    const polls = Array.from({ length: pollers }, poll);
    const body = JSON.stringify({ target: service.target, spec: { tables: ["public.orders"] } });
    const created = await fetch(`${server.origin}/api/backup/create`, { method: "POST", body });
    assert.equal(created.status, 202);
    id = ((await created.json()) as BackupAnswer).id;
    try {
      assert.deepEqual(await Promise.all(polls), Array(pollers).fill("completed"));
    } finally {
      isStopped = true;
    }
    const status = await backupStatus(service.pool, id);
    assert.ok(status && hasEnded(status));
  };
  await Promise.all(Array.from({ length: jobs }, (_, n) => page(n)));
  assert.deepEqual(
    server.answered.filter(({ status }) => status === 404),
    [],
  );
});
