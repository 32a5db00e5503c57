/** Follows one stream at a time, connects again when it breaks, and says how fresh what is shown is. */

import { follow, Refusal } from "./api.js";

/** The daemon says something at least every 15 seconds. */
const SILENCE = 20_000;

const LONGEST_PAUSE = 15_000;

/**
 * @typedef {"connecting" | "live" | "paused" | "stale" | "lost"} Freshness
 */

export class Live {
  /** @type {Freshness} */
  freshness = "connecting";
  /** When something was last heard: milliseconds of this browser's clock. */
  heardAt = 0;
  #path = "";
  #paused = false;
  /** @type {AbortController | undefined} */
  #running;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence;
  #event;
  #changed;
  #refused;

  /**
   * @param {(data: any) => void} event something has happened
   * @param {() => void} changed the freshness is another one
   * @param {(refusal: Refusal) => void} refused the daemon lets this page follow no more
   */
  constructor(event, changed, refused) {
    this.#event = event;
    this.#changed = changed;
    this.#refused = refused;
    // A tab that nobody sees holds no connection: a browser has few of them.
    document.addEventListener("visibilitychange", () => this.#restart());
  }

  get isPaused() {
    return this.#paused;
  }

  /**
   * Follows this from now on.
   * @param {string} path
   */
  start(path) {
    if (path === this.#path && this.#running) return;
    this.#path = path;
    this.#restart();
  }

  stop() {
    this.#path = "";
    this.#restart();
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.#paused = paused;
    this.#restart();
  }

  #restart() {
    this.#running?.abort();
    this.#running = undefined;
    clearTimeout(this.#silence);
    if (this.#paused) return this.#set("paused");
    if (!this.#path || document.hidden) return;
    const running = new AbortController();
    this.#running = running;
    this.#set(this.heardAt ? (this.freshness === "paused" ? "connecting" : this.freshness) : "connecting");
    this.#hear(false);
    void this.#keepFollowing(this.#path, running.signal);
  }

  /**
   * @param {string} path
   * @param {AbortSignal} signal
   */
  async #keepFollowing(path, signal) {
    for (let failures = 0; !signal.aborted; ) {
      try {
        await follow(
          path,
          signal,
          (data) => {
            failures = 0;
            if (!signal.aborted) this.#event(data);
          },
          () => {
            if (!signal.aborted) this.#hear(true);
          },
        );
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refusal && [401, 403, 404].includes(error.status)) return this.#refused(error);
        failures += 1;
        this.#set("lost");
      }
      const pause = failures === 0 ? 250 : Math.min(500 * 2 ** failures, LONGEST_PAUSE);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    }
  }

  /** @param {boolean} really */
  #hear(really) {
    if (really) {
      this.heardAt = Date.now();
      this.#set("live");
    }
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#set("stale"), SILENCE);
  }

  /** @param {Freshness} freshness */
  #set(freshness) {
    // Silence says less than a connection that is known to be lost.
    if (freshness === "stale" && this.freshness === "lost") return;
    if (freshness === this.freshness) return;
    this.freshness = freshness;
    this.#changed();
  }
}
