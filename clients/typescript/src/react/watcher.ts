import { type BackupAnswer, waitingAnswer } from "../answer.js";
import type { Problem } from "../next/index.js";
import { isUuid } from "../uuid.js";
import { DEFAULT_BASE_PATH, problemOf, type RoutesOptions } from "./requests.js";

/** What is known of a backup now. */
export interface BackupView {
  /** The last answer; waiting to start, until there is one. `null` only without an id. */
  backup: BackupAnswer | null;
  /** When `backup` was received, as `performance.now()`. */
  receivedAt: number;
  /** The server could not be reached the last time; `backup` is what it answered before. */
  isOffline: boolean;
  /** The server has not known the id for a minute. Until then it may not be there yet. */
  isUnknown: boolean;
  /** What the server refuses, such as a user who has signed out: it is not asked again. */
  problem: Problem | null;
}

/** How to follow a backup. */
export interface FollowOptions extends RoutesOptions {
  /** `poll` by default; `events` opens one connection, and polls if that is refused. */
  follow?: "poll" | "events";
}

const SLOWEST_POLL_MILLISECONDS = 10_000;
const SLOWEST_RETRY_MILLISECONDS = 30_000;
const UNKNOWN_AFTER_MILLISECONDS = 60_000;

export const NO_BACKUP: BackupView = {
  backup: null,
  receivedAt: 0,
  isOffline: false,
  isUnknown: false,
  problem: null,
};

/**
 * Follows one backup while anybody subscribes and the page is visible, until the backup has ended.
 *
 * An id that is not a UUID has no job yet: it waits to start, and nobody is asked.
 */
export class BackupWatcher {
  readonly #id: string;
  readonly #basePath: string;
  readonly #fetch: typeof globalThis.fetch;
  #follow: "poll" | "events";
  readonly #listeners = new Set<() => void>();
  #view: BackupView;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #request: AbortController | undefined;
  #source: EventSource | undefined;
  #etag: string | null = null;
  #unchanged = 0;
  #failures = 0;
  #unknownSince: number | undefined;

  constructor(id: string, { basePath = DEFAULT_BASE_PATH, fetch = globalThis.fetch, follow = "poll" }: FollowOptions) {
    this.#id = id;
    this.#basePath = basePath;
    this.#fetch = (...of) => fetch(...of);
    this.#follow = follow;
    this.#view = { ...NO_BACKUP, backup: waitingAnswer(id) };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) {
      document.addEventListener("visibilitychange", this.#resume);
      this.#resume();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      document.removeEventListener("visibilitychange", this.#resume);
      this.#pause();
    };
  };

  readonly view = (): BackupView => this.#view;

  /** Pauses while the page is hidden, and asks at once when it is visible. */
  readonly #resume = (): void => {
    this.#pause();
    if (document.visibilityState === "hidden" || this.#isOver()) return;
    this.#unchanged = 0;
    this.#failures = 0;
    if (this.#follow === "events" && typeof EventSource !== "undefined") this.#listen();
    else void this.#poll();
  };

  #isOver(): boolean {
    return !isUuid(this.#id) || this.#view.problem !== null || this.#view.backup?.status !== "in_progress";
  }

  #pause(): void {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#source?.close();
    this.#request = undefined;
    this.#source = undefined;
  }

  async #poll(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    const response = await this.#fetch(`${this.#basePath}/status/${this.#id}`, {
      cache: "no-store",
      signal: request.signal,
      headers: this.#etag === null ? {} : { "If-None-Match": this.#etag },
    }).catch(() => null);
    // Paused meanwhile, and perhaps resumed: another poll goes on, and this one says nothing of the connection.
    if (this.#request !== request) return;
    const delay = response === null ? this.#missed() : await this.#take(response).catch(() => this.#missed());
    if (this.#request !== request) return;
    this.#publish();
    if (!this.#isOver()) this.#timer = setTimeout(() => void this.#poll(), delay * (0.9 + Math.random() / 5));
  }

  /** Takes an answer over, and returns how long to wait for the next one. */
  async #take(response: Response): Promise<number> {
    if (response.status >= 500 || response.status === 429) return this.#missed();
    if (response.status === 404) return this.#notThere();
    if (response.status !== 304) {
      if (!response.ok) {
        this.#view = { ...this.#view, isOffline: false, problem: await problemOf(response) };
        return 0;
      }
      this.#accept((await response.json()) as BackupAnswer);
      this.#etag = response.headers.get("ETag");
    }
    this.#unchanged = response.status === 304 ? this.#unchanged + 1 : 0;
    this.#reached();
    const asked = Number(response.headers.get("Retry-After")) || 1;
    return Math.min(asked * 1000 * 1.5 ** this.#unchanged, SLOWEST_POLL_MILLISECONDS);
  }

  #reached(): void {
    this.#failures = 0;
    this.#unknownSince = undefined;
    this.#view = { ...this.#view, isOffline: false, isUnknown: false };
  }

  #missed(): number {
    this.#failures += 1;
    this.#view = { ...this.#view, isOffline: true };
    return Math.min(1000 * 2 ** (this.#failures - 1), SLOWEST_RETRY_MILLISECONDS);
  }

  #notThere(): number {
    this.#unknownSince ??= performance.now();
    const waited = performance.now() - this.#unknownSince;
    this.#view = { ...this.#view, isOffline: false, isUnknown: waited > UNKNOWN_AFTER_MILLISECONDS };
    return Math.min(Math.max(1000, waited / 2), SLOWEST_POLL_MILLISECONDS);
  }

  #accept(answer: BackupAnswer): void {
    const { backup } = this.#view;
    // Overtaken by a later one on the way.
    if (backup?.lastUpdate && answer.lastUpdate && answer.lastUpdate < backup.lastUpdate) return;
    const progress = answer.status === "completed" ? 100 : Math.max(backup?.progress ?? 0, percent(answer.progress));
    this.#view = { ...this.#view, backup: { ...answer, progress }, receivedAt: performance.now() };
  }

  #listen(): void {
    const source = new EventSource(`${this.#basePath}/events/${this.#id}`);
    this.#source = source;
    const take = (event: MessageEvent<string>) => {
      if (this.#source !== source) return;
      this.#accept(JSON.parse(event.data) as BackupAnswer);
      this.#reached();
      if (this.#isOver()) this.#pause();
      this.#publish();
    };
    source.addEventListener("message", take);
    source.addEventListener("end", take);
    source.addEventListener("error", () => {
      if (this.#source !== source) return;
      if (source.readyState === EventSource.CLOSED) {
        // Refused: a poll learns why, and goes on if it can.
        this.#follow = "poll";
        this.#resume();
      } else {
        this.#missed();
        this.#publish();
      }
    });
  }

  #publish(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** A percentage below 100, which is a success alone, whatever was received. */
function percent(received: unknown): number {
  return typeof received === "number" && Number.isFinite(received) ? Math.min(Math.max(received, 0), 99.9) : 0;
}
