import { createHash } from "node:crypto";
import { answerOf, type BackupAnswer, timelessText, waitingAnswer } from "../answer.js";
import { type Cancelled, cancelBackup } from "../cancel.js";
import { type MonitoredBackup, monitoring } from "../monitoring.js";
import type { Queryable } from "../queryable.js";
import { type BackupStatus, backupStatus } from "../status.js";
import { type Target, targets } from "../targets.js";
import { isUuid } from "../uuid.js";
import { type Allowed, type Authorize, allowed, mayUse, type Operation } from "./access.js";
import { create } from "./create.js";
import { isAtEnd, statusEvents, waitingEvents } from "./events.js";
import { StatusFeed } from "./feed.js";
import { list } from "./list.js";
import { ProblemError, problemOf } from "./problem.js";

/** What {@link createBackupHandlers} needs. */
export interface BackupHandlersOptions {
  /** A pool of `pg`, whose role is a producer of the queue. */
  pool: Queryable;
  /** The application's own: who asks, and what that user may do. */
  authorize: Authorize;
  /** How often the queue is read while anybody listens to events; 1000 by default. */
  pollMilliseconds?: number;
  /** How many event streams this process keeps open; 1000 by default. */
  maxEventStreams?: number;
  /** Gets what a request failed with, if it was not the asker's doing; writes to the console by default. */
  onError?: (error: unknown) => void;
}

/** What `POST …/cancel/[id]` answers: the backup, and what the cancel did. */
export interface CancelAnswer extends BackupAnswer {
  cancel: "cancelled" | "stopping" | "ended_before";
}

/** What `GET …/monitoring` answers: what is queued or running, and the targets to choose from. */
export interface MonitoringAnswer {
  success: true;
  backups: Omit<MonitoredBackup, "metadata" | "requestedBy">[];
  targets: Target[];
}

type Handler<Params> = (request: Request, context: { params: Promise<Params> }) => Promise<Response>;

/** The handlers of the routes below `/api/backup`. */
export interface BackupHandlers {
  /** `POST create` */
  create: Handler<object>;
  /** `GET status/[id]` */
  status: Handler<{ id: string }>;
  /** `POST cancel/[id]` */
  cancel: Handler<{ id: string }>;
  /** `GET monitoring` */
  monitoring: Handler<object>;
  /** `GET` of the folder itself: the history */
  list: Handler<object>;
  /** `GET events/[id]` */
  events: Handler<{ id: string }>;
  /** All of the GETs above, for one file `[[...path]]/route.ts`. */
  GET: Handler<{ path?: string[] }>;
  /** All of the POSTs above, for the same file. */
  POST: Handler<{ path?: string[] }>;
}

/** A job that waits changes little; one that runs is worth a question each second. */
function retryAfter({ state, waitsBecause }: BackupAnswer): Record<string, string> {
  if (state === "running") return { "Retry-After": "1" };
  return state === "queued" ? { "Retry-After": waitsBecause === null ? "1" : "3" } : {};
}

/** Makes the handlers of the routes below `/api/backup` for Next.js 15 or newer, or whatever else calls handlers so. */
export function createBackupHandlers(options: BackupHandlersOptions): BackupHandlers {
  const handlers = new Handlers(options);
  const routes: Omit<BackupHandlers, "GET" | "POST"> = {
    create: (request) => handlers.answer(request, "create", (identity) => handlers.create(request, identity)),
    status: async (request, { params }) => {
      const { id } = await params;
      return handlers.answer(request, "read", (identity) => handlers.status(request, identity, id));
    },
    cancel: async (request, { params }) => {
      const { id } = await params;
      return handlers.answer(request, "cancel", (identity) => handlers.cancel(identity, id));
    },
    monitoring: (request) => handlers.answer(request, "monitor", (identity) => handlers.monitoring(identity)),
    list: (request) =>
      handlers.answer(request, "read", async (identity) => json(await list(options.pool, request, identity))),
    events: async (request, { params }) => {
      const { id } = await params;
      return handlers.answer(request, "read", (identity) => handlers.events(request, identity, id));
    },
  };
  return { ...routes, ...catchAll(routes, handlers) };
}

/** One handler for each method, which reads the rest of the path itself. */
function catchAll(
  routes: Omit<BackupHandlers, "GET" | "POST">,
  handlers: Handlers,
): Pick<BackupHandlers, "GET" | "POST"> {
  const dispatch =
    (method: "GET" | "POST"): Handler<{ path?: string[] }> =>
    async (request, { params }) => {
      const [name = "", id, ...rest] = (await params).path ?? [];
      const context = { params: Promise.resolve({ id: id ?? "" }) };
      const route = rest.length === 0 ? `${method} ${name}${id === undefined ? "" : "/[id]"}` : "";
      switch (route) {
        case "GET ":
          return routes.list(request, context);
        case "GET monitoring":
          return routes.monitoring(request, context);
        case "GET status/[id]":
          return routes.status(request, context);
        case "GET events/[id]":
          return routes.events(request, context);
        case "POST create":
          return routes.create(request, context);
        case "POST cancel/[id]":
          return routes.cancel(request, context);
        default:
          return handlers.answer(request, "read", () => {
            throw new ProblemError("unknown-route", "there is no such route");
          });
      }
    };
  return { GET: dispatch("GET"), POST: dispatch("POST") };
}

class Handlers {
  readonly #db: Queryable;
  readonly #authorize: Authorize;
  readonly #report: (error: unknown) => void;
  readonly #feed: StatusFeed;
  readonly #maxEventStreams: number;
  #eventStreams = 0;

  constructor({ pool, authorize, pollMilliseconds = 1000, maxEventStreams = 1000, onError }: BackupHandlersOptions) {
    this.#db = pool;
    this.#authorize = authorize;
    // biome-ignore lint/suspicious/noConsole: where a server's mistakes go by default
    this.#report = onError ?? ((error) => console.error("pgdumpd:", error));
    this.#maxEventStreams = maxEventStreams;
    this.#feed = new StatusFeed(pool, pollMilliseconds, this.#report);
  }

  /** Runs a step for whoever is allowed to, and turns what it throws into a problem. */
  async answer(
    request: Request,
    operation: Operation,
    step: (identity: Allowed) => Promise<Response>,
  ): Promise<Response> {
    try {
      return await step(await allowed(this.#authorize, request, operation));
    } catch (error) {
      // What Next.js throws itself, such as a redirect to the page where one signs in.
      if (String((error as { digest?: unknown } | null)?.digest ?? "").startsWith("NEXT_")) throw error;
      return problemOf(error, this.#report);
    }
  }

  async create(request: Request, identity: Allowed): Promise<Response> {
    const answer = await create(this.#db, request, identity);
    const path = new URL(request.url).pathname.replace(/\/create\/?$/, "");
    return json(answer, { status: 202, headers: { Location: `${path}/status/${answer.id}`, "Retry-After": "1" } });
  }

  async status(request: Request, identity: Allowed, id: string): Promise<Response> {
    const answer = isUuid(id) ? answerOf(await this.#visible(identity, id)) : waitingAnswer(id);
    const etag = `W/"${createHash("sha256").update(timelessText(answer)).digest("base64url").slice(0, 22)}"`;
    const headers = { ETag: etag, ...retryAfter(answer) };
    const known = request.headers.get("If-None-Match")?.split(",") ?? [];
    return known.some((tag) => tag.trim() === etag)
      ? new Response(null, { status: 304, headers })
      : json(answer, { headers });
  }

  async cancel(identity: Allowed, id: string): Promise<Response> {
    if (!isUuid(id)) {
      throw new ProblemError(
        "no-job-yet",
        `${JSON.stringify(id)} is not the id of a backup`,
        "Cancel the id that the answer to create has.",
      );
    }
    const before = await this.#visible(identity, id);
    const cancelled = await cancelBackup(this.#db, id);
    const after = (await backupStatus(this.#db, id)) ?? before;
    const answer: CancelAnswer = { ...answerOf(after), cancel: CANCEL_WORDS[cancelled] };
    return json(answer, { headers: retryAfter(answer) });
  }

  async monitoring({ targets: only }: Allowed): Promise<Response> {
    const filter = only === undefined ? {} : { targets: only };
    const running = await monitoring(this.#db, filter);
    const answer: MonitoringAnswer = {
      success: true,
      backups: running.map(({ metadata: _, requestedBy: __, ...shown }) => shown),
      targets: await targets(this.#db, filter),
    };
    return json(answer);
  }

  async events(request: Request, identity: Allowed, id: string): Promise<Response> {
    if (!isUuid(id)) return waitingEvents(id);
    if (this.#eventStreams >= this.#maxEventStreams) {
      throw new ProblemError("too-many-streams", "this server has no event stream left", "Poll the status instead.");
    }
    this.#eventStreams += 1;
    const onClose = () => {
      this.#eventStreams -= 1;
    };
    try {
      const status = await this.#visible(identity, id);
      const lastEventId = Number(request.headers.get("Last-Event-ID") ?? 0) || 0;
      if (isAtEnd(status, lastEventId)) {
        onClose();
        return new Response(null, { status: 204 });
      }
      return statusEvents(this.#feed, status, { lastEventId, signal: request.signal, onClose });
    } catch (error) {
      onClose();
      throw error;
    }
  }

  /** A job that this identity may see; otherwise it is as if there were none. */
  async #visible(identity: Allowed, id: string): Promise<BackupStatus> {
    const status = await backupStatus(this.#db, id);
    if (status !== null && mayUse(identity, status.target)) return status;
    throw new ProblemError("unknown-backup", `there is no backup ${id}`);
  }
}

const CANCEL_WORDS: Record<Cancelled, CancelAnswer["cancel"]> = {
  cancelled: "cancelled",
  cancelling: "stopping",
  already_succeeded: "ended_before",
  already_failed: "ended_before",
  already_cancelled: "ended_before",
  // Its row was deleted a moment ago.
  not_found: "ended_before",
};

function json(
  body: unknown,
  { status = 200, headers = {} }: { status?: number; headers?: HeadersInit } = {},
): Response {
  return Response.json(body, { status, headers: { "Cache-Control": "private, no-cache", ...headers } });
}
