import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import pg from "pg";

/** No condition of these tests takes nearly so long. */
const DEADLINE_MILLISECONDS = 30_000;

/** A database of its own with a queue and a table, a daemon that serves it, and an application's role. */
export class Service {
  /** The database's name, which is also the target's. */
  readonly target: string;
  /** As the owner of the queue. */
  readonly owner: pg.Pool;
  /** As an application: a producer. */
  readonly pool: pg.Pool;
  readonly #folder: string;
  #daemon: ChildProcess | undefined;

  private constructor(name: string, folder: string) {
    this.target = name;
    this.owner = new pg.Pool({ connectionString: url(name, "postgres") });
    this.pool = new pg.Pool({ connectionString: url(name, name) });
    this.#folder = folder;
  }

  /** `name`: of the database, where a random one does not do. */
  static async start({ rows = 1000, daemon = true, name = randomName() } = {}): Promise<Service> {
    const admin = new pg.Client({ connectionString: environment("PGDUMPD_TEST_DATABASE_URL") });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
    await admin.query(`CREATE ROLE ${name} LOGIN`);
    await admin.end();
    const folder = await mkdtemp(join(tmpdir(), "pgdumpd-client-"));
    const service = new Service(name, folder);
    const migrate = ["migrate", "--grant-producer", name];
    await promisify(execFile)(environment("PGDUMPD_BIN"), migrate, { env: service.#environment() });
    await service.owner.query(`CREATE TABLE orders AS SELECT n, md5(n::text) FROM generate_series(1, ${rows}) AS n`);
    await service.owner.query("ANALYZE");
    if (daemon) await service.startDaemon();
    return service;
  }

  /** How an application reaches the queue. */
  get applicationUrl(): string {
    return url(this.target, this.target);
  }

  /** How the owner reaches it. */
  get ownerUrl(): string {
    return url(this.target, "postgres");
  }

  /** Where the daemon stores. */
  get storage(): string {
    return join(this.#folder, "backups");
  }

  #environment(): Record<string, string> {
    return {
      PATH: environment("PATH"),
      DATABASE_URL: this.ownerUrl,
      PGDUMPD_STORAGE: this.storage,
      PGDUMPD_LOG__FILTER: "off",
      PGDUMPD_PG_DUMP__DIRECTORIES: environment("PGDUMPD_TEST_PG_BIN"),
    };
  }

  async startDaemon(settings: Record<string, string> = {}): Promise<void> {
    this.#daemon = spawn(environment("PGDUMPD_BIN"), ["run"], {
      env: { ...this.#environment(), ...settings },
      stdio: ["ignore", "inherit", "inherit"],
    });
    await eventually("a daemon serves the target", async () => {
      if (this.#daemon?.exitCode !== null) throw new Error("the daemon has ended");
      const { rowCount } = await this.owner.query("SELECT FROM pgdumpd.served_targets WHERE target = $1", [
        this.target,
      ]);
      return rowCount === 1 || undefined;
    });
  }

  /** Keeps `pg_dump` waiting, and so the job running, until the returned function is called. */
  async holdDumps(): Promise<() => Promise<void>> {
    const client = await this.owner.connect();
    await client.query("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE");
    return async () => {
      await client.query("ROLLBACK");
      client.release();
    };
  }

  /** Keeps the daemon from doing anything until `continueDaemon`. */
  pauseDaemon(): void {
    this.#daemon?.kill("SIGSTOP");
  }

  continueDaemon(): void {
    this.#daemon?.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await this.pool.end();
    await this.owner.end();
    if (this.#daemon && this.#daemon.exitCode === null) {
      const ended = new Promise((resolve) => this.#daemon?.once("exit", resolve));
      this.#daemon.kill("SIGTERM");
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Waits until `condition` returns something, and returns that. */
export async function eventually<Found>(
  what: string,
  condition: () => Promise<Found | undefined> | Found | undefined,
): Promise<Found> {
  const deadline = Date.now() + DEADLINE_MILLISECONDS;
  for (;;) {
    const found = await condition();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE_MILLISECONDS} ms: ${what}`);
    await sleep(20);
  }
}

function randomName(): string {
  return `app_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
}

function url(database: string, role: string): string {
  const address = new URL(environment("PGDUMPD_TEST_DATABASE_URL"));
  address.username = role;
  address.pathname = database;
  return address.href;
}

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run script/test-typescript`);
  return value;
}
