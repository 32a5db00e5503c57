import type { Queryable } from "../queryable.js";
import { type BackupStatus, backupStatuses, hasEnded } from "../status.js";

/** Gets each reading of a job; `null` if the job is not there any more. */
export type Listener = (status: BackupStatus | null) => void;

/** What one statement reads: a bound on its time, not on the number of jobs. */
const IDS_A_STATEMENT = 1000;
/** While the queue cannot be read, the interval grows to this many times itself. */
const MOST_BACK_OFF = 10;

/**
 * One poll of the queue for all listeners of a process, however many: a job that many follow is read once, and many
 * jobs with one statement.
 */
export class StatusFeed {
  readonly #db: Queryable;
  readonly #intervalMilliseconds: number;
  readonly #report: (error: unknown) => void;
  readonly #listeners = new Map<string, Set<Listener>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isReading = false;
  #failures = 0;

  constructor(db: Queryable, intervalMilliseconds: number, report: (error: unknown) => void) {
    this.#db = db;
    this.#intervalMilliseconds = intervalMilliseconds;
    this.#report = report;
  }

  /** Calls `listener` with each reading of a job, until the returned function is called or the job has ended. */
  follow(id: string, listener: Listener): () => void {
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(listener));
    this.#schedule();
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(id) === listeners) this.#listeners.delete(id);
      if (this.#listeners.size === 0) this.#cancel();
    };
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isReading || this.#listeners.size === 0) return;
    const factor = Math.min(2 ** this.#failures, MOST_BACK_OFF);
    this.#timer = setTimeout(() => void this.#read(), this.#intervalMilliseconds * factor);
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #read(): Promise<void> {
    this.#timer = undefined;
    this.#isReading = true;
    const ids = [...this.#listeners.keys()];
    try {
      for (let from = 0; from < ids.length; from += IDS_A_STATEMENT) {
        const some = ids.slice(from, from + IDS_A_STATEMENT);
        const statuses = new Map((await backupStatuses(this.#db, some)).map((status) => [status.id, status]));
        for (const id of some) this.#pass(id, statuses.get(id) ?? null);
      }
      this.#failures = 0;
    } catch (error) {
      // A listener keeps what it has, and hears of the job again when the queue answers.
      if (this.#failures === 0) this.#report(error);
      this.#failures += 1;
    }
    this.#isReading = false;
    this.#schedule();
  }

  #pass(id: string, status: BackupStatus | null): void {
    const listeners = [...(this.#listeners.get(id) ?? [])];
    if (status === null || hasEnded(status)) this.#listeners.delete(id);
    for (const listener of listeners) listener(status);
  }
}
