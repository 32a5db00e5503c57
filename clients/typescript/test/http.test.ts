import assert from "node:assert/strict";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { cancelBackup, enqueueBackup } from "../src/index.js";
import { createBackupHandlers } from "../src/next/index.js";
import { eventually, Service } from "./service.js";

/** What was answered, by either. */
interface Answered {
  status: number;
  type: string | null;
  retryAfter: string | null;
  hasTag: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was answered
  body: any;
}

describe("the daemon's routes over HTTP", () => {
  let service: Service;
  let socket: string;
  before(async () => {
    service = await Service.start({ daemon: false });
    socket = join(dirname(service.storage), "http.sock");
    await service.startDaemon({ PGDUMPD_HTTP__LISTEN: `unix:${socket}` });
    await eventually("it listens", () => ofDaemon("GET", "").catch(() => undefined));
  });
  after(() => service.stop());

  function ofDaemon(method: "GET" | "POST", path: string, body?: string): Promise<Answered> {
    return new Promise((resolve, reject) => {
      const target = `/api/backup${path === "" || path.startsWith("?") ? path : `/${path}`}`;
      const sent = request({ socketPath: socket, path: target, method, headers: { Host: "localhost" } }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers["content-type"] ?? null,
            retryAfter: response.headers["retry-after"] ?? null,
            hasTag: response.headers.etag !== undefined,
            body: JSON.parse(text),
          }),
        );
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }

  async function ofHandlers(method: "GET" | "POST", path: string, body?: string): Promise<Answered> {
    const handlers = createBackupHandlers({ pool: service.pool, authorize: () => ({ allowed: true }) });
    const [name = ""] = path.split("?");
    const url = `https://app.example/api/backup/${path}`;
    const context = { params: Promise.resolve({ path: name.split("/").filter(Boolean) }) };
    const asked = new Request(url, { method, ...(body !== undefined && { body }) });
    const response = await handlers[method](asked, context);
    return {
      status: response.status,
      type: response.headers.get("Content-Type"),
      retryAfter: response.headers.get("Retry-After"),
      hasTag: response.headers.has("ETag"),
      body: await response.json(),
    };
  }

  /** Without what passes by itself between two questions. */
  function timeless(answered: Answered): Answered {
    return JSON.parse(JSON.stringify(answered), (key, value) =>
      key === "elapsedTime" || key === "timeLeft" ? null : value,
    );
  }

  /** Asks both, until nothing has happened between the two questions. */
  async function sameOf(path: string): Promise<Answered> {
    let last: unknown[] = [];
    try {
      return await eventually(path, async () => {
        const pair = [await ofHandlers("GET", path), await ofDaemon("GET", path)].map(timeless);
        last = pair;
        assert.deepEqual(pair[1], pair[0]);
        return pair[0];
      });
    } catch (error) {
      // Whatever differs for good is shown.
      assert.deepEqual(last[1], last[0]);
      throw error;
    }
  }

  async function ended(id: string): Promise<void> {
    await eventually("it has ended", async () => {
      const { body } = await ofDaemon("GET", `status/${id}`);
      return body.status === "in_progress" ? undefined : true;
    });
  }

  test("answer each state of a backup as the handlers do, value by value", async () => {
    const { pool, target } = service;
    assert.equal((await sameOf("status/temp_1764538096123")).body.state, "queued");

    const waits = await enqueueBackup(pool, { target: "nowhere", label: 'ü \u2028 "', spec: { tables: ["a.b"] } });
    assert.equal((await sameOf(`status/${waits.id}`)).body.message, 'no daemon serves target "nowhere"');

    const release = await service.holdDumps();
    const runs = await enqueueBackup(pool, { target });
    await eventually("it runs", async () => {
      const { body } = await ofDaemon("GET", `status/${runs.id}`);
      return body.state === "running" || undefined;
    });
    assert.equal((await sameOf(`status/${runs.id}`)).retryAfter, "1");
    assert.equal((await sameOf("monitoring")).body.backups.length, 2);
    await release();
    await ended(runs.id);
    assert.equal((await sameOf(`status/${runs.id}`)).body.result.storages.length, 1);

    const fails = await enqueueBackup(pool, { target, spec: { schemas: ["not_there"] } });
    await ended(fails.id);
    assert.equal((await sameOf(`status/${fails.id}`)).body.error.code, "nothing_matched");

    await cancelBackup(pool, waits.id);
    assert.equal((await sameOf(`status/${waits.id}`)).body.status, "cancelled");
    assert.equal((await sameOf("")).body.backups.length, 3);
    assert.equal((await sameOf("?state=failed&limit=2")).body.backups.length, 1);
    assert.equal((await sameOf("monitoring")).body.backups.length, 0);
  });

  test("answer each problem as the handlers do", async () => {
    const unknown = "00000000-0000-4000-8000-000000000000";
    for (const [method, path, body] of [
      ["GET", `status/${unknown}`],
      ["GET", `events/${unknown}`],
      ["POST", `cancel/${unknown}`, ""],
      ["POST", "cancel/temp_1", ""],
      ["GET", "nothing/of/this"],
      ["GET", "?limit=0"],
      ["GET", "?state=gone"],
      ["GET", "?cursor=x"],
      ["POST", "create", "{"],
      ["POST", "create", "[]"],
      ["POST", "create", '{"user": 7}'],
      ["POST", "create", '{"target": 7}'],
      ["POST", "create", "{}"],
      ["POST", "create", '{"target": "shop", "id": "7"}'],
      ["POST", "create", '{"target": "shop", "spec": {"owner": ["a"]}}'],
      ["POST", "create", JSON.stringify({ target: "x".repeat(70_000) })],
    ] as const) {
      const shape = ({ status, type, retryAfter, body }: Answered) => [
        status,
        type,
        retryAfter,
        body.success,
        body.type,
        body.title,
        body.status,
      ];
      const [handlers, daemon] = [await ofHandlers(method, path, body), await ofDaemon(method, path, body)];
      assert.deepEqual(shape(daemon), shape(handlers), `${method} ${path} ${JSON.stringify(daemon.body)}`);
      assert.ok(daemon.status >= 400);
    }
  });
});
