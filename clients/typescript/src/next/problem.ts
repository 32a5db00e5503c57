import { BackupError, type BackupErrorKind } from "../error.js";

/** The last part of a problem's `type`, after `urn:pgdumpd:problem:`. */
export type ProblemType =
  | "unauthenticated"
  | "forbidden"
  | "cross-site"
  | "unknown-backup"
  | "unknown-route"
  | "no-job-yet"
  | "malformed-request"
  | "invalid-request"
  | "idempotency-mismatch"
  | "too-large"
  | "quota"
  | "busy"
  | "too-many-streams"
  | "unavailable"
  | "internal";

/** What an error answer holds: RFC 9457, and `hint`. */
export interface Problem {
  success: false;
  type: `urn:pgdumpd:problem:${ProblemType}`;
  title: string;
  status: number;
  detail: string;
  hint?: string;
}

const PROBLEMS: Record<ProblemType, { status: number; title: string; retryAfter?: number }> = {
  unauthenticated: { status: 401, title: "Not signed in" },
  forbidden: { status: 403, title: "Not allowed" },
  "cross-site": { status: 403, title: "The request comes from another site" },
  "unknown-backup": { status: 404, title: "No such backup" },
  "unknown-route": { status: 404, title: "No such route" },
  "no-job-yet": { status: 409, title: "The id is a temporary one" },
  "malformed-request": { status: 400, title: "The request cannot be read" },
  "invalid-request": { status: 422, title: "The request is invalid" },
  "idempotency-mismatch": { status: 422, title: "The id or key belongs to another request" },
  "too-large": { status: 413, title: "The request is too large" },
  quota: { status: 429, title: "Too many backups are queued or kept", retryAfter: 60 },
  busy: { status: 503, title: "The backup is being cancelled by another request", retryAfter: 2 },
  "too-many-streams": { status: 503, title: "Too many event streams are open", retryAfter: 30 },
  unavailable: { status: 503, title: "The queue cannot be reached", retryAfter: 5 },
  internal: { status: 500, title: "The server made a mistake" },
};

/** Thrown by a handler's step, and answered as a problem. */
export class ProblemError extends Error {
  readonly problem: ProblemType;
  readonly hint: string | undefined;

  constructor(problem: ProblemType, detail: string, hint?: string) {
    super(detail);
    this.problem = problem;
    this.hint = hint;
  }
}

export function problemResponse(type: ProblemType, detail: string, hint?: string): Response {
  const { status, title, retryAfter } = PROBLEMS[type];
  const problem: Problem = {
    success: false,
    type: `urn:pgdumpd:problem:${type}`,
    title,
    status,
    detail,
    ...(hint !== undefined && { hint }),
  };
  return Response.json(problem, {
    status,
    headers: {
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      ...(retryAfter !== undefined && { "Retry-After": String(retryAfter) }),
    },
  });
}

/** The answer to what a step has thrown. What is not the asker's doing is reported, and its text is not answered. */
export function problemOf(error: unknown, report: (error: unknown) => void): Response {
  if (error instanceof ProblemError) return problemResponse(error.problem, error.message, error.hint);
  const type = error instanceof BackupError ? OF_KINDS[error.kind] : undefined;
  if (error instanceof BackupError && type !== undefined) return problemResponse(type, error.message, error.hint);
  report(error);
  return error instanceof BackupError && error.kind === "unavailable"
    ? problemResponse("unavailable", "the queue cannot be reached", "Ask again later.")
    : problemResponse("internal", "the request failed", "The server's log has the cause.");
}

const OF_KINDS: Partial<Record<BackupErrorKind, ProblemType>> = {
  invalid: "invalid-request",
  id_taken: "idempotency-mismatch",
  quota: "quota",
  busy: "busy",
};
