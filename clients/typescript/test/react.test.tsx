import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ReactNode, StrictMode, useEffect } from "react";
import type { Root } from "react-dom/client";
import { cancelBackup, enqueueBackup } from "../src/index.js";
import { type Allowed, createBackupHandlers, type Refused } from "../src/next/index.js";
import type { BackupManager, BackupView } from "../src/react/index.js";
import { installDom, setVisible } from "./dom.js";
import { Server } from "./server.js";
import { eventually, Service } from "./service.js";

installDom();
const { createRoot } = await import("react-dom/client");
const { BackupProgress, useBackup, useBackupManager } = await import("../src/react/index.js");

let service: Service;
let server: Server;
let basePath: string;
let decision: Allowed | Refused = { allowed: true };
before(async () => {
  service = await Service.start();
  server = await Server.start(
    createBackupHandlers({ pool: service.pool, authorize: () => decision, pollMilliseconds: 50 }),
  );
  basePath = `${server.origin}/api/backup`;
});
after(async () => {
  await server.stop();
  await service.stop();
});

let root: Root;
let container: HTMLElement;
const complaints: unknown[][] = [];
console.error = (...of) => complaints.push(of);

function render(node: ReactNode): void {
  container = document.createElement("div");
  document.body.append(container);
  root = createRoot(container);
  root.render(<StrictMode>{node}</StrictMode>);
}

function cleanUp(): void {
  root.unmount();
  setVisible(true);
  decision = { allowed: true };
  server.isCut = false;
  assert.deepEqual(complaints.splice(0), []);
}

const find = (selector: string): HTMLElement | null => container.querySelector(selector);
const text = (selector: string): string => find(selector)?.textContent ?? "";
const attribute = (selector: string, name: string): string | null => find(selector)?.getAttribute(name) ?? null;
const shows = (selector: string, wanted: RegExp) =>
  eventually(`${selector} shows ${wanted}`, () => wanted.test(text(selector)) || undefined).catch((error: Error) => {
    throw new Error(`${error.message}: ${container.innerHTML} ${manager?.error ?? ""}`);
  });
const asked = (path: string) => server.answered.filter((one) => one.path === path);
/** How many requests there were, once what a page has given up has arrived and is answered too. */
const questionsSoFar = async (path?: string) => {
  await sleep(100);
  await eventually("everything is answered", () => server.unanswered === 0 || undefined);
  return path === undefined ? server.answered.length : asked(path).length;
};

let manager: BackupManager | undefined;
let started: ReturnType<BackupManager["start"]>;
/** A page with one backup at a time. */
function Page({ startsAtOnce = false }): ReactNode {
  const own = useBackupManager({ basePath });
  // An effect: what React renders first in strict mode is thrown away.
  useEffect(() => {
    manager = own;
  });
  const { start } = own;
  useEffect(() => {
    if (startsAtOnce) void start({ target: service.target });
  }, [startsAtOnce, start]);
  return (
    <>
      <button
        className="start"
        type="button"
        onClick={() => {
          started = own.start({ target: service.target });
        }}
      />
      <BackupProgress id={own.id} basePath={basePath} onCancel={own.cancel} />
    </>
  );
}

/** Renders it, and waits until it can be used. */
async function renderPage(): Promise<void> {
  manager = undefined;
  render(<Page />);
  await eventually("the page is there", () => (find(".start") ? manager : undefined));
}

/** The page's manager, of its last rendering. */
function current(): BackupManager {
  assert.ok(manager);
  return manager;
}

const views: BackupView[] = [];
function Watch(props: { id: string; follow?: "poll" | "events" }): ReactNode {
  const view = useBackup(props.id, { basePath, ...(props.follow && { follow: props.follow }) });
  if (views.at(-1) !== view) views.push(view);
  return null;
}

describe("useBackupManager", () => {
  afterEach(cleanUp);
  const jobs = async () => {
    const { rows } = await service.owner.query("SELECT count(*)::integer AS jobs FROM pgdumpd.backup_jobs");
    return rows[0].jobs as number;
  };

  test("a backup that is cancelled before the server has answered is the one that is cancelled", async () => {
    const release = await service.holdDumps();
    try {
      await renderPage();
      find(".start")?.click();
      await shows('[role="status"]', /^Waiting to start$/);
      find(".pgdumpd-cancel")?.click();
      await shows('[role="status"]', /^Cancelled$/);
      assert.equal(current().id, (await started)?.id);
    } finally {
      await release();
    }
  });

  test("an effect that starts a backup in strict mode starts one, and it is shown to its end", async () => {
    const jobsBefore = await jobs();
    render(<Page startsAtOnce />);
    await shows('[role="status"]', /^Completed$/);
    assert.equal(await jobs(), jobsBefore + 1);
    assert.equal(attribute('[role="progressbar"]', "aria-valuenow"), "100");
    assert.match(text("dl"), /Rows1,000.*Elapsed\d+:\d\d.*Size/);
    const { backups } = await current().list({ limit: 1 });
    assert.equal(backups[0]?.id, current().id);
    assert.deepEqual(
      server.answered.filter(({ status }) => status === 404),
      [],
    );
  });

  test("a lost answer to a start is asked for again, and is one backup", async () => {
    const jobsBefore = await jobs();
    await renderPage();
    server.isCut = true;
    find(".start")?.click();
    await eventually("it is starting", () => current().isStarting || undefined);
    assert.match(current().id ?? "", /^temp_/);
    server.isCut = false;
    assert.equal((await started)?.target, service.target);
    assert.equal(await jobs(), jobsBefore + 1);
    await shows('[role="status"]', /^Completed$/);
  });

  test("a start that is refused is an error with its hint, and shows no backup", async () => {
    await renderPage();
    decision = { allowed: false, detail: "only admins", hint: "Ask Ann." };
    find(".start")?.click();
    assert.equal(await started, null);
    await eventually("the error is there", () => current().error ?? undefined);
    assert.deepEqual(
      [current().id, current().error?.message, current().error?.hint, current().error?.problem?.status],
      [null, "only admins", "Ask Ann.", 403],
    );
    await assert.rejects(current().list(), { name: "BackupRequestError", hint: "Ask Ann." });
  });
});

describe("BackupProgress", () => {
  afterEach(cleanUp);
  test("nothing, a temporary id and one that is not there yet are never an error", async () => {
    render(<BackupProgress id={null} basePath={basePath} />);
    await sleep(0);
    assert.equal(container.innerHTML, "");
    root.unmount();
    const before = await questionsSoFar();
    render(<BackupProgress id="temp_1732" basePath={basePath} />);
    await shows('[role="status"]', /^Waiting to start$/);
    assert.equal(attribute('[role="progressbar"]', "aria-valuenow"), null);
    assert.equal(attribute('[role="progressbar"]', "aria-valuetext"), "Waiting to start");
    assert.equal(server.answered.length, before, "nobody is asked about a temporary id");
    root.unmount();
    const id = randomUUID();
    render(<BackupProgress id={id} basePath={basePath} />);
    // Strict mode asks twice at once; the third time, it has taken an answer.
    await eventually("it was asked for", () => asked(`status/${id}`)[2]);
    await shows('[role="status"]', /^Waiting to start$/);
    assert.equal(find(".pgdumpd-error"), null);
    await enqueueBackup(service.pool, { target: service.target, id });
    await shows('[role="status"]', /^Completed$/);
  });

  test("a running backup shows table, time and a button that cancels it once; only states are announced", async () => {
    const release = await service.holdDumps();
    try {
      const { id } = await enqueueBackup(service.pool, { target: service.target });
      render(<BackupProgress id={id} basePath={basePath} />);
      await shows('[role="status"]', /^Running$/);
      // So that it does not write the truth over this.
      service.pauseDaemon();
      await service.owner.query(
        "UPDATE pgdumpd.backup_jobs SET progress = 41.78, current_table = 'public.orders', rows_done = 1234, rows_expected = 5000, estimated_end = now() + '90 s', progress_at = now() WHERE id = $1",
        [id],
      );
      await shows("dl", /Tablepublic.orders.*Rows1,234 of about 5,000.*Elapsed0:\d\d.*Time left1:[23]\d/);
      assert.equal(attribute('[role="progressbar"]', "aria-valuenow"), "41");
      assert.equal(attribute('[role="progressbar"]', "aria-valuetext"), "41%, public.orders");
      assert.equal(text('[role="status"]'), "Running");
      const elapsed = text("dl");
      await eventually("the clock goes on between two answers", () => text("dl") !== elapsed || undefined);
      find(".pgdumpd-cancel")?.click();
      find(".pgdumpd-cancel")?.click();
      await shows('[role="status"]', /^Stopping$/);
      service.continueDaemon();
      await shows('[role="status"]', /^Cancelled$/);
      assert.equal(find(".pgdumpd-cancel"), null);
      assert.equal(asked(`cancel/${id}`).length, 1);
    } finally {
      service.continueDaemon();
      await release();
    }
  });

  test("a failed backup shows error and hint, in Portuguese with the texts of the page", async () => {
    const spec = { tables: ["public.absent"] };
    const { id } = await enqueueBackup(service.pool, { target: service.target, spec, maxAttempts: 1 });
    render(
      <BackupProgress id={id} basePath={basePath} locale="pt-BR" texts={{ title: (target) => `Cópia de ${target}` }} />,
    );
    await shows('[role="status"]', /^Falhou$/);
    assert.match(text(".pgdumpd-error"), /absent/);
    assert.match(text(".pgdumpd-hint"), /filters match nothing/);
    assert.equal(text(".pgdumpd-title"), `Cópia de ${service.target}`);
    assert.match(text("dl"), /Tempo decorrido/);
  });
});

describe("useBackup", () => {
  afterEach(cleanUp);
  const now = () => views.at(-1) as BackupView;
  const later = (target: string) => enqueueBackup(service.pool, { target, runAt: "2100-01-01" });

  for (const follow of ["poll", "events"] as const) {
    test(`stops at the end (${follow})`, async () => {
      views.length = 0;
      const { id } = await later("stops");
      render(<Watch id={id} follow={follow} />);
      await eventually("it is known", () => now()?.backup?.target ?? undefined);
      await cancelBackup(service.pool, id);
      await eventually("its end is known", () => now().backup?.status === "cancelled" || undefined);
      const path = `${follow === "poll" ? "status" : "events"}/${id}`;
      const questions = await questionsSoFar(path);
      assert.ok(questions > 0);
      await sleep(2500);
      assert.equal(asked(path).length, questions);
    });

    test(`keeps the last value on a network fault, and goes on after it (${follow})`, async () => {
      views.length = 0;
      const { id } = await later("fault");
      render(<Watch id={id} follow={follow} />);
      await eventually("it is known", () => now()?.backup?.target ?? undefined);
      const known = now().backup;
      server.isCut = true;
      server.cut();
      await eventually("the fault is known", () => now().isOffline || undefined);
      assert.equal(now().backup, known);
      await cancelBackup(service.pool, id);
      server.isCut = false;
      await eventually("its end is known", () => now().backup?.status === "cancelled" || undefined);
      assert.equal(now().isOffline, false);
    });

    test(`asks nothing while the page is hidden, and at once when it is shown (${follow})`, async () => {
      views.length = 0;
      const { id } = await later("hidden");
      render(<Watch id={id} follow={follow} />);
      await eventually("it is known", () => now()?.backup?.target ?? undefined);
      setVisible(false);
      const questions = await questionsSoFar();
      await cancelBackup(service.pool, id);
      await sleep(2500);
      assert.equal(server.answered.length, questions);
      assert.equal(now().backup?.status, "in_progress");
      const shown = performance.now();
      setVisible(true);
      await eventually("its end is known", () => now().backup?.status === "cancelled" || undefined);
      assert.ok(performance.now() - shown < 2500, "at once");
    });
  }

  test("polls more and more slowly while nothing happens, and the queue cannot be reached", async () => {
    const { BackupWatcher } = await import("../src/react/watcher.js");
    for (const status of [304, 503]) {
      const times: number[] = [];
      const fetch = async () => {
        times.push(performance.now());
        return new Response(null, { status, headers: { "Retry-After": "0.5" } });
      };
      const stop = new BackupWatcher(randomUUID(), { fetch }).subscribe(() => {});
      await eventually("it was asked", () => times.length >= 3 || undefined);
      stop();
      const [first = 0, second = 0] = times.slice(1).map((time, n) => time - Number(times[n]));
      assert.ok(second > first * 1.15, `${times}`);
    }
  });

  test("a percentage never goes back, and is never one that is not a number", async () => {
    views.length = 0;
    const answers = [12.5, null, 60, 3, "NaN", 250, -5, 61].map((progress, n) => ({
      ...{ success: true, status: "in_progress", state: "running", elapsedTime: { total: n, formatted: "" } },
      ...{ progress, rows: {}, warnings: [], lastUpdate: `2026-01-01T00:00:0${n}.000000Z` },
    }));
    const { BackupWatcher } = await import("../src/react/watcher.js");
    const shown: (number | undefined)[] = [];
    const fetch = async () => {
      const next = answers.shift();
      return next ? Response.json(next, { headers: { "Retry-After": "0.01" } }) : new Response(null, { status: 403 });
    };
    const watcher = new BackupWatcher(randomUUID(), { fetch });
    const stop = watcher.subscribe(() => shown.push(watcher.view().backup?.progress));
    await eventually("all were taken", () => watcher.view().problem ?? undefined);
    stop();
    assert.deepEqual(shown, [12.5, 12.5, 60, 60, 60, 99.9, 99.9, 99.9, 99.9]);
  });

  test("a user who has signed out is told, and no longer asked for", async () => {
    views.length = 0;
    const { id } = await later("out");
    render(<Watch id={id} />);
    await eventually("it is known", () => now()?.backup?.target ?? undefined);
    decision = { allowed: false, status: 401, hint: "Sign in." };
    await eventually("the problem is known", () => now().problem ?? undefined);
    assert.deepEqual([now().problem?.status, now().problem?.hint, now().backup?.target], [401, "Sign in.", "out"]);
    const questions = await questionsSoFar(`status/${id}`);
    await sleep(2500);
    assert.equal(asked(`status/${id}`).length, questions);
  });
});
