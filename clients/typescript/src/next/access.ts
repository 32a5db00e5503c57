import { ProblemError } from "./problem.js";

/** What a request is about to do. */
export type Operation = "create" | "read" | "cancel" | "monitor";

/** Whoever asks, and is allowed to. */
export interface Allowed {
  allowed: true;
  /** Who it is: idempotency keys of two users never meet. */
  user?: string;
  /** Kept with each backup that is created, such as `{ user: 7 }`. */
  metadata?: Record<string, unknown>;
  /** The only targets whose backups may be created, seen and cancelled; without it, all of the pool's role. */
  targets?: readonly string[];
}

/** Whoever asks, and is not allowed to. */
export interface Refused {
  allowed: false;
  /** 401 if nobody is signed in, otherwise 403. */
  status?: 401 | 403;
  detail?: string;
  hint?: string;
}

/** The application's own: reads its session, and decides. */
export type Authorize = (request: Request, operation: Operation) => Promise<Allowed | Refused> | Allowed | Refused;

/** Asks the application; a refusal is thrown. */
export async function allowed(authorize: Authorize, request: Request, operation: Operation): Promise<Allowed> {
  // A browser says so itself; a session's cookie alone must not start or cancel anything for another site.
  if (request.method !== "GET" && request.headers.get("Sec-Fetch-Site") === "cross-site") {
    throw new ProblemError("cross-site", "a page of another site may not do this");
  }
  const decision = await authorize(request, operation);
  if (decision.allowed) return decision;
  const { status = 403, detail, hint } = decision;
  throw status === 401
    ? new ProblemError("unauthenticated", detail ?? "sign in first", hint)
    : new ProblemError("forbidden", detail ?? "you may not do this", hint);
}

/** Whether an identity may see, start and cancel backups of a target. */
export function mayUse(identity: Allowed, target: string): boolean {
  return identity.targets === undefined || identity.targets.includes(target);
}
