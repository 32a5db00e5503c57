import type { BackupAnswer } from "../answer.js";
import type { CancelAnswer, ListAnswer, Problem } from "../next/index.js";

/** Where the routes are, and how they are asked. */
export interface RoutesOptions {
  /** The folder of the routes; `/api/backup` by default. */
  basePath?: string;
  /** Asks instead of the global `fetch`, for headers of your own. Keep it the same from render to render. */
  fetch?: typeof globalThis.fetch;
}

export const DEFAULT_BASE_PATH = "/api/backup";

/** A request that was refused or could not be made. */
export class BackupRequestError extends Error {
  override readonly name = "BackupRequestError";
  /** What the server answered; `null` if it did not. */
  readonly problem: Problem | null;
  /** Advice for people. */
  readonly hint: string | null;

  constructor(message: string, problem: Problem | null, cause?: unknown) {
    super(message, { cause });
    this.problem = problem;
    this.hint = problem?.hint ?? null;
  }
}

/** The text of an error answer as a problem, also if a proxy made it. */
export async function problemOf(response: Response): Promise<Problem> {
  const problem = (await response.json().catch(() => null)) as Problem | null;
  if (typeof problem?.type === "string" && typeof problem.detail === "string") return problem;
  const detail = `the server answered ${response.status}`;
  return { success: false, type: "urn:pgdumpd:problem:internal", title: detail, status: response.status, detail };
}

/** The requests of a page that are not about following. */
export class BackupRequests {
  readonly #basePath: string;
  readonly #fetch: typeof globalThis.fetch;

  constructor({ basePath = DEFAULT_BASE_PATH, fetch = globalThis.fetch }: RoutesOptions) {
    this.#basePath = basePath;
    // Called as a method of anything else, the browser's own refuses to work.
    this.#fetch = (...of) => fetch(...of);
  }

  /** Starts a backup under an id of the page's choice. A lost answer is asked for again: with the id, it is the same backup. */
  async create(body: { target?: string; label?: string; spec?: object; id: string }): Promise<BackupAnswer> {
    const request = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    for (const pause of [500, 2000]) {
      try {
        return await this.#json(`${this.#basePath}/create`, request);
      } catch (error) {
        if (!(error instanceof BackupRequestError) || error.problem !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    return this.#json(`${this.#basePath}/create`, request);
  }

  cancel(id: string): Promise<CancelAnswer> {
    return this.#json(`${this.#basePath}/cancel/${encodeURIComponent(id)}`, { method: "POST" });
  }

  list(parameters: Record<string, string | number | undefined>): Promise<ListAnswer> {
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.#json(`${this.#basePath}${query.size > 0 ? `?${query}` : ""}`, {});
  }

  async #json<Answer>(path: string, request: RequestInit): Promise<Answer> {
    let response: Response;
    try {
      response = await this.#fetch(path, { cache: "no-store", ...request });
    } catch (error) {
      throw new BackupRequestError("the server cannot be reached", null, error);
    }
    if (response.ok) return (await response.json()) as Answer;
    const problem = await problemOf(response);
    throw new BackupRequestError(problem.detail, problem);
  }
}

/** A random UUID, also on a page without TLS, where `crypto.randomUUID` does not exist. */
export function randomId(): string {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
