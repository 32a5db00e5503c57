import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { dirname, join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { freePort } from "./free-port.js";
import { fillQueue } from "./page-sample.js";
import { eventually, Service } from "./service.js";

const screenshots = process.env.PGDUMPD_TEST_SCREENSHOTS ?? "";

/** Long enough for a daemon to take it, and unlike each other. */
const TOKENS = { all: "a".repeat(40), reader: "b".repeat(40) };

/** A name that would act if it were ever markup. */
const HOSTILE = "<img src=x onerror=alert(1)>";

let service: Service;
let browser: Browser;
let origin: string;
before(async () => {
  service = await Service.start({ daemon: false, name: "shop" });
  await service.owner.query(`CREATE TABLE "${HOSTILE}\nnext line" AS SELECT 1 AS n`);
  const port = await freePort();
  origin = `http://127.0.0.1:${port}/`;
  await service.startDaemon({ PGDUMPD_HTTP__LISTEN: `127.0.0.1:${port}`, ...(await tokens(dirname(service.storage))) });
  browser = await chromium.launch({
    executablePath: process.env.PGDUMPD_TEST_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  await mkdir(screenshots, { recursive: true });
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

/** The settings of one token for everything, and one that may only look. */
async function tokens(folder: string): Promise<Record<string, string>> {
  const settings: Record<string, string> = {};
  for (const [name, scope] of [
    ["all", "admin"],
    ["reader", "read"],
  ] as const) {
    const file = join(folder, `${name}.token`);
    await writeFile(file, TOKENS[name], { mode: 0o600 });
    const section = `PGDUMPD_HTTP_TOKENS__${name.toUpperCase()}`;
    Object.assign(settings, {
      [`${section}__FILE`]: file,
      [`${section}__SCOPES`]: scope,
      [`${section}__TARGETS`]: "*",
    });
  }
  return settings;
}

let page: Page;
/** What the browser complained of. A test that provokes one takes it out. */
const complaints: string[] = [];
async function open({
  path = "",
  token = TOKENS.all,
  at = origin,
  ...options
}: BrowserContextOptions & { path?: string; token?: string; at?: string } = {}): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 820 }, locale: "en-GB", ...options });
  page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`a dialog opened: ${dialog.message()}`));
  await page.addInitScript(
    ([key, value]) => {
      if (value) sessionStorage.setItem(String(key), value);
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        throw new Error(`violates the policy: ${violatedDirective} ${blockedURI}`);
      });
    },
    [`pgdumpd.token:${new URL(at).pathname}`, token],
  );
  await page.goto(at + path);
}
afterEach(async () => {
  await page.context().close();
  assert.deepEqual(complaints.splice(0), []);
});

/** A screenshot, and what axe finds wrong. */
async function picture(name: string): Promise<void> {
  await page.screenshot({ path: join(screenshots, `page-${name}.png`), fullPage: true });
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run();
    return violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(({ html }) => html)}`);
  });
  assert.deepEqual(found, []);
}

const heading = (name: string | RegExp) => page.getByRole("heading", { level: 1, name }).waitFor();
const rowOf = (target: string) =>
  page.getByRole("row").filter({ has: page.getByRole("link", { name: target, exact: true }) });
const runningCards = () => page.getByRole("listitem").filter({ has: page.getByRole("progressbar") });
const noticed = (text: string) => page.getByText(text).waitFor();
test("whoever has a token signs in, and is signed in after a reload, until signing out", async () => {
  await open({ token: "" });
  await heading("Sign in");
  await picture("sign-in");
  await page.getByLabel("Token").fill("wrong".repeat(10));
  await page.keyboard.press("Enter");
  await page.getByText("The daemon does not know this token.").waitFor();
  await page.getByLabel("Token").fill(TOKENS.all);
  await page.keyboard.press("Enter");
  await heading("Backups");
  await page.reload();
  await heading("Backups");
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading("Sign in");
  assert.equal(complaints.filter((text) => text.includes("401")).length, complaints.length);
  complaints.splice(0);
});

test("a backup is started, cancelled after a question, and the next one succeeds and shows its tables", async () => {
  const release = await service.holdDumps();
  try {
    await open();
    await rowOf(service.target).getByText("never").waitFor();
    await page.getByRole("button", { name: `Back up now: ${service.target}` }).click();
    await noticed(`A backup of ${service.target} is asked for.`);
    const card = runningCards().filter({ hasText: service.target });
    await card.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByText("What it has dumped so far is deleted.").waitFor();
    await page.getByRole("button", { name: "Keep it" }).click();
    assert.equal(await card.count(), 1);
    await card.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Cancel the backup", exact: true }).click();
    await noticed("is being stopped");
    await page.getByText("Nothing is running.").waitFor();
    await rowOf(service.target).getByText("last one cancelled").waitFor();
  } finally {
    await release();
  }
  await page.getByRole("button", { name: `Back up now: ${service.target}` }).click();
  await rowOf(service.target).getByText("in local").waitFor();
  await page.getByRole("link", { name: `A backup of ${service.target} is asked for.` }).click();
  await heading(`Backup of ${service.target}`);
  await page.getByText("succeeded").first().waitFor();
  await page.getByRole("button", { name: "Show tables" }).click();
  const orders = page.getByRole("row").filter({ hasText: "public.orders" });
  await orders.getByText("1,000", { exact: true }).waitFor();
  await page.getByRole("row").filter({ hasText: "local" }).getByText("stored").waitFor();
});

test("names are text, whatever is in them", async () => {
  const role = await service.owner.connect();
  try {
    await role.query(
      `CREATE ROLE "${HOSTILE}"; SELECT pgdumpd.grant_producer('${HOSTILE}'); SET SESSION AUTHORIZATION "${HOSTILE}"`,
    );
    await role.query(
      "INSERT INTO pgdumpd.backup_jobs (target, spec, run_at) VALUES ($1, $2, now() + interval '1 day')",
      [HOSTILE, JSON.stringify({ label: HOSTILE })],
    );
  } finally {
    await role.query("RESET SESSION AUTHORIZATION");
    role.release();
  }
  await open();
  await page.getByText("no daemon serves target “<img src=x onerror=alert(1)>").waitFor();
  await page.getByRole("link", { name: "<img src=x onerror=alert(1)>" }).click();
  await heading(`Backup of ${HOSTILE}`);
  // The label, and the role that asked.
  assert.equal(await page.getByText(HOSTILE, { exact: true }).count(), 2);
  await page.goto(`${origin}?${new URLSearchParams({ view: "history", target: HOSTILE })}`);
  assert.equal(await page.getByLabel("Target").inputValue(), HOSTILE);
  await page.getByRole("row").filter({ hasText: "queued" }).waitFor();
  const { rows } = await service.owner.query(
    "SELECT id FROM pgdumpd.backup_status WHERE state = 'succeeded' AND target = $1",
    [service.target],
  );
  await page.goto(`${origin}?view=job&id=${rows[0].id}`);
  await page.getByRole("button", { name: "Show tables" }).click();
  await page.getByRole("rowheader", { name: '"<img src=x onerror=alert(1)>' }).waitFor();
  assert.equal(await page.locator("img").count(), 0);
  await service.owner.query("SELECT pgdumpd.cancel_backup(id) FROM pgdumpd.backup_jobs WHERE target = $1", [HOSTILE]);
});

test("a token that may only read is offered nothing else, and no daemons", async () => {
  await open({ token: TOKENS.reader });
  await rowOf(service.target).waitFor();
  await page.getByText("Read only").waitFor();
  assert.equal(await page.getByRole("button", { name: /back up|cancel/i }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Daemons and checks" }).count(), 0);
});

test("updates can be paused, and the page says when the daemon is silent", async () => {
  await open();
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  await page.getByRole("button", { name: "pause updates" }).click();
  await page.getByText("Updates are paused.").waitFor();
  const waiting = await service.owner.query("INSERT INTO pgdumpd.backup_jobs (target) VALUES ('nobody') RETURNING id");
  const link = page.getByRole("link", { name: "nobody" });
  // Two of the daemon's rounds.
  await page.waitForTimeout(2500);
  assert.equal(await link.count(), 0);
  await page.getByRole("button", { name: "resume updates" }).click();
  await link.waitFor();
  service.pauseDaemon();
  try {
    await page.getByText("Not up to date:").waitFor({ timeout: 30_000 });
    await picture("stale");
  } finally {
    service.continueDaemon();
  }
  await page.getByText("Not up to date:").waitFor({ state: "detached" });
  await service.owner.query("SELECT pgdumpd.cancel_backup($1)", [waiting.rows[0].id]);
  await link.waitFor({ state: "detached" });
});

test("a queue of some weeks: bars that move, reasons, filters in the address, and a job's attempts", async () => {
  await fillQueue(service.owner);
  await open();
  await rowOf("billing").getByText("last one failed").waitFor();
  const bar = page.getByRole("progressbar", { name: "Progress of the backup of orders" });
  assert.equal(await bar.getAttribute("value"), "38.4");
  await page.getByText("no daemon serves target “archive-2019”").waitFor();
  await picture("overview-light");
  await service.owner.query(
    "UPDATE pgdumpd.backup_jobs SET progress = 52.5, current_table = 'public.invoices', progress_at = now() WHERE target = 'orders' AND state = 'running'",
  );
  await page.getByText("public.invoices").waitFor();
  assert.equal(await bar.getAttribute("value"), "52.5");
  await runningCards().getByRole("link", { name: "orders" }).click();
  await heading("Backup of orders");
  await service.owner.query(
    "UPDATE pgdumpd.backup_jobs SET progress = 61, progress_at = now() WHERE target = 'orders' AND state = 'running'",
  );
  await page.locator("progress[value='61']").waitFor();
  await page.goBack();

  await page.getByRole("link", { name: "History" }).click();
  await heading("History");
  await page.getByLabel("Target").selectOption("billing");
  await page.getByLabel("State").selectOption("failed");
  await eventually(
    "the filters are in the address",
    () => page.url().includes("target=billing&state=failed") || undefined,
  );
  await page.getByText("connection refused").waitFor();
  assert.equal(await page.getByRole("row").count(), 2);
  await picture("history-filtered");
  await page.goBack();
  assert.equal(await page.getByLabel("State").inputValue(), "");
  assert.equal(await page.getByLabel("Target").inputValue(), "billing");
  await page.locator("tbody").getByText("succeeded").nth(3).waitFor();
  await picture("history");
  await page.goForward();
  await page.reload();
  assert.equal(await page.getByLabel("State").inputValue(), "failed");
  await page.getByRole("link", { name: "billing", exact: true }).click();
  await heading("Backup of billing");
  const attempts = page.getByRole("listitem").filter({ hasText: "Attempt" });
  await attempts.nth(2).waitFor();
  assert.match(
    (await attempts.nth(1).textContent()) ?? "",
    /lost: its daemon sent no more heartbeats\s*waited 5 min 0 s, then ran 9 min 0 s/,
  );
  await picture("job-failed");
  // What has ended is not asked for again and again.
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.waitForTimeout(1500);
  assert.deepEqual(asked, []);
  await page.getByRole("link", { name: "Daemons and checks" }).click();
  await page.getByText("the database has grown by 40 %").first().waitFor();
  await picture("daemons");
});

test("the keyboard alone is enough", async () => {
  await open();
  await rowOf("billing").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  /** Goes on until something with this name has the focus. */
  const reach = async (name: string) => {
    for (let steps = 0; steps < 60; steps++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const { activeElement } = document;
        return activeElement?.getAttribute("aria-label") ?? activeElement?.textContent;
      });
      if (focused === name) return;
    }
    assert.fail(`${name} cannot be reached`);
  };
  await reach("Cancel the backup of orders");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(
    await page.evaluate(() => document.activeElement?.getAttribute("aria-label")),
    "Cancel the backup of orders",
    "the focus is where it was, also while updates come",
  );
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await noticed("The backup of orders is being stopped.");
});

test("on a phone, in the dark and in Portuguese", async () => {
  await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark", reducedMotion: "reduce", locale: "pt-BR" });
  await rowOf("billing").getByText("o último falhou").waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "pt-BR");
  await picture("overview-phone-dark-portuguese");
  const isTooWide = () =>
    page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(await isTooWide(), false);
  await page.getByRole("link", { name: "Histórico" }).click();
  await page.locator("tbody").getByText("concluído").first().waitFor();
  assert.equal(await isTooWide(), false);
  await picture("history-phone-dark-portuguese");
  await page.getByRole("row").filter({ hasText: "concluído" }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Tentativas" }).waitFor();
  assert.equal(await isTooWide(), false);
  await picture("job-phone-dark-portuguese");
  await page.getByLabel("Idioma").selectOption("en");
  await page.getByRole("heading", { name: "Attempts" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Attempts" }).waitFor();
});

test("in the dark", async () => {
  await open({ colorScheme: "dark" });
  await rowOf("billing").waitFor();
  await picture("overview-dark");
});

test("without tokens nobody signs in, nor out", async () => {
  const untokened = await Service.start({ daemon: false });
  try {
    const port = await freePort();
    await untokened.startDaemon({ PGDUMPD_HTTP__LISTEN: `127.0.0.1:${port}` });
    await open({ token: "", at: `http://127.0.0.1:${port}/` });
    await rowOf(untokened.target).getByRole("button").waitFor();
    assert.equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
    await page.getByRole("link", { name: "Daemons and checks" }).click();
    await page.getByText("alive", { exact: true }).waitFor();
    await page.close();
  } finally {
    await untokened.stop();
  }
});

test("under a prefix of a proxy, whose connections break", async () => {
  const proxy = await ReverseProxy.start(new URL(origin), "/db/backups/");
  try {
    await open({ at: proxy.address });
    await rowOf("billing").waitFor();
    await page.getByRole("button", { name: /^Live/ }).waitFor();
    await page.getByRole("link", { name: "History" }).click();
    await heading("History");
    await page.reload();
    await page.locator("tbody").getByText("succeeded").first().waitFor();
    assert.ok(page.url().startsWith(`${proxy.address}?`), page.url());
    proxy.refuse(true);
    await page.getByText("The connection to the daemon is lost.").waitFor();
    complaints.splice(0);
    proxy.refuse(false);
    await page.getByText("The connection to the daemon is lost.").waitFor({ state: "detached" });
    const failures = complaints.splice(0).filter((text) => !text.includes("net::ERR_"));
    assert.deepEqual(failures, []);
  } finally {
    await page.close();
    proxy.stop();
  }
});

/** A reverse proxy that serves the daemon below a path, and can break its connections. */
class ReverseProxy {
  readonly #server: Server;
  readonly #prefix: string;
  #refuses = false;

  private constructor(upstream: URL, prefix: string) {
    this.#prefix = prefix;
    this.#server = createServer((incoming, answer) => {
      const path = incoming.url ?? "";
      if (this.#refuses || !path.startsWith(prefix)) {
        incoming.socket.destroy();
        return;
      }
      const options = {
        host: upstream.hostname,
        port: upstream.port,
        path: path.slice(prefix.length - 1),
        method: incoming.method,
        headers: incoming.headers,
      };
      const passed = request(options, (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      });
      passed.on("error", () => answer.destroy());
      answer.on("close", () => passed.destroy());
      incoming.pipe(passed);
    });
  }

  static async start(upstream: URL, prefix: string): Promise<ReverseProxy> {
    const proxy = new ReverseProxy(upstream, prefix);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get address(): string {
    const address = this.#server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    return `http://127.0.0.1:${port}${this.#prefix}`;
  }

  refuse(refuses: boolean): void {
    this.#refuses = refuses;
    if (refuses) this.#server.closeAllConnections();
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
