import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { freePort } from "./free-port.js";
import { eventually, Service } from "./service.js";

/** A copy of `examples/nextjs` with this package in it, and where its screenshots go: script/test-typescript sets both. */
const application = process.env.PGDUMPD_TEST_APPLICATION ?? "";
const screenshots = process.env.PGDUMPD_TEST_SCREENSHOTS ?? "";

let service: Service;
let next: ChildProcess;
let browser: Browser;
let origin: string;
let output = "";
before(async () => {
  service = await Service.start({ daemon: false });
  await service.startDaemon({ PGDUMPD_DAEMON__HEARTBEAT: "250ms" });
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  next = spawn(
    process.execPath,
    ["node_modules/next/dist/bin/next", "dev", "--hostname", "127.0.0.1", "--port", `${port}`],
    {
      cwd: application,
      env: { ...process.env, DATABASE_URL: service.applicationUrl, NEXT_TELEMETRY_DISABLED: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own: it starts a process that a signal to it does not end.
      detached: true,
    },
  );
  for (const stream of [next.stdout, next.stderr]) stream?.on("data", (data) => (output += data));
  browser = await chromium.launch({
    executablePath: process.env.PGDUMPD_TEST_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  await mkdir(screenshots, { recursive: true });
  await eventually("the application answers", async () => {
    if (next.exitCode !== null) throw new Error(output);
    const answer = await fetch(origin).catch(() => undefined);
    if (answer && answer.status !== 200) throw new Error(output);
    return answer;
  });
});
after(async () => {
  await browser?.close();
  if (next?.pid) process.kill(-next.pid, "SIGKILL");
  await service?.stop();
});

let page: Page;
const complaints: string[] = [];
async function open(options: BrowserContextOptions = {}, path = "/"): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 900, height: 700 }, ...options });
  page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("response", (response) => {
    if (response.status() === 404) complaints.push(`404 ${response.url()}`);
  });
  // The history is asked for as soon as React is at work.
  const listed = page.waitForResponse((response) => response.url().includes("/api/backup?"), { timeout: 60_000 });
  await page.goto(origin + path);
  await listed;
}
afterEach(async () => {
  await page.context().close();
  assert.deepEqual(complaints.splice(0), []);
});

const bar = () => page.getByRole("progressbar");
const percent = async () => Number(await bar().getAttribute("aria-valuenow"));
const shows = (state: string) => page.getByRole("status").filter({ hasText: state }).waitFor({ timeout: 30_000 });
/** A screenshot, and what axe finds wrong for people who use a screen reader, or see little contrast. */
async function picture(name: string): Promise<void> {
  await page.screenshot({ path: join(screenshots, `${name}.png`) });
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run("main");
    return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(({ html }) => html)}`);
  });
  assert.deepEqual(found, []);
}
const jobs = async () => (await service.owner.query("SELECT id FROM pgdumpd.backup_jobs")).rowCount ?? 0;

test("a button starts one backup; the bar rises over a reload and names its table, until it is completed", async () => {
  const release = await service.holdDumps();
  try {
    await open();
    await page.getByRole("button", { name: "Back up now" }).click();
    await shows("Running");
    service.pauseDaemon();
    const first = await showProgress("public.customers");
    assert.equal(await bar().getAttribute("aria-valuetext"), `${first}%, public.customers`);
    const second = await showProgress("public.orders");
    await picture("light");
    await page.reload();
    await shows("Running");
    assert.equal(await percent(), second);
    await showProgress("public.orders");
    await page.getByText("public.orders").waitFor();
  } finally {
    service.continueDaemon();
    await release();
  }
  await shows("Completed");
  assert.equal(await percent(), 100);
  assert.equal(await jobs(), 1);
  await page.getByText(`${service.target}: completed`).waitFor();
  await picture("completed");
});

test("a backup is cancelled, on a phone in the dark and in Portuguese", async () => {
  const release = await service.holdDumps();
  try {
    await open(
      { viewport: { width: 360, height: 740 }, colorScheme: "dark", reducedMotion: "reduce" },
      "/?locale=pt-BR",
    );
    await page.getByRole("button", { name: "Fazer backup agora" }).click();
    await shows("Em andamento");
    service.pauseDaemon();
    await showProgress("public.orders");
    await picture("phone-dark-portuguese");
    const isTooWide = await page.evaluate(
      () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
    );
    assert.equal(isTooWide, false);
    await page.getByRole("button", { name: "Cancelar" }).click();
    await shows("Cancelando");
    service.continueDaemon();
    await shows("Cancelado");
  } finally {
    service.continueDaemon();
    await release();
  }
});

test("a backup that fails shows its error and the hint", async () => {
  const { rows } = await service.pool.query(
    "SELECT job_id FROM pgdumpd.enqueue_backup($1, spec => '{\"tables\": [\"public.absent\"]}', max_attempts => 1, run_at => now() + '1 day')",
    [service.target],
  );
  await open({ colorScheme: "dark" });
  await shows("Waiting to start");
  await picture("dark-waiting");
  await service.owner.query("UPDATE pgdumpd.backup_jobs SET run_at = now() WHERE id = $1", [rows[0].job_id]);
  // It asks seldom by now.
  await page.reload();
  await shows("Failed");
  await page.getByText('no matching tables were found for pattern "public.absent"').waitFor();
  await page.getByText("The job's filters match nothing in this database.").waitFor();
  await picture("dark-failed");
});

/**
 * Writes into the running job what its daemon, which is paused, would write: a quarter of the way from where the bar is
 * to its end, which a slow machine's daemon may have moved already. Returns what the bar then shows.
 */
async function showProgress(table: string): Promise<number> {
  const { rows } = await service.owner.query<{ progress: number }>(
    `UPDATE pgdumpd.backup_jobs SET progress = progress + (100 - progress) / 4, phase = 'data', current_table = $1, rows_done = 21000,
         rows_expected = 61000, estimated_end = now() + '75 s', progress_at = now() WHERE state = 'running' RETURNING progress`,
    [table],
  );
  const [job] = rows;
  assert.ok(job && rows.length === 1);
  const shown = Math.floor(job.progress);
  await eventually(`the bar shows ${shown}`, async () => (await percent()) === shown || undefined);
  return shown;
}
