/** What a caller can do about an error; see {@link BackupError.kind}. */
export type BackupErrorKind =
  /** A value is out of range, or the spec is malformed: correct the request. */
  | "invalid"
  /** The id belongs to another job: choose another one. */
  | "id_taken"
  /** The role has as many backups queued, or kept, as it may have: wait, or raise its quota. */
  | "quota"
  /** Another transaction cancels the same job: cancel again later. */
  | "busy"
  /** The role lacks a right: `pgdumpd migrate --grant-producer ROLE`. */
  | "denied"
  /** The database has no queue, or one of an older version: `pgdumpd migrate`. */
  | "not_migrated"
  /** The server or the connection was lost: ask again. An enqueue with the same id is safe to repeat. */
  | "unavailable"
  /** Anything else. */
  | "unexpected";

/** An error of the queue: what the server said, what it advised, and what kind of error it is. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  /** What a caller can do about it. */
  readonly kind: BackupErrorKind;
  /** The SQLSTATE, such as `23514`; `undefined` if the server did not answer. */
  readonly sqlstate: string | undefined;
  /** Advice for people, in full sentences. */
  readonly hint: string | undefined;

  constructor(
    kind: BackupErrorKind,
    message: string,
    more: { sqlstate?: string; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.kind = kind;
    this.sqlstate = more.sqlstate;
    this.hint = more.hint ?? HINTS[kind];
  }
}

const HINTS: Partial<Record<BackupErrorKind, string>> = {
  denied: "Run `pgdumpd migrate --grant-producer ROLE` for the role that the application connects as.",
  not_migrated: "Run `pgdumpd migrate` against this database.",
};

const KINDS: Record<string, BackupErrorKind> = {
  "23514": "invalid",
  "23502": "invalid",
  "22P02": "invalid",
  "22007": "invalid",
  "22008": "invalid",
  "22P05": "invalid",
  "22021": "invalid",
  "23505": "id_taken",
  "53400": "quota",
  "55P03": "busy",
  "42501": "denied",
  "3F000": "not_migrated",
  "42P01": "not_migrated",
  "42883": "not_migrated",
  "42703": "not_migrated",
};

/** The classes of SQLSTATE after which asking again may help: connection, resources, restart, serialization. */
const TRANSIENT = ["08", "53", "57P", "40"];

/** Runs `work`, and turns what it throws into a {@link BackupError}. */
export async function asBackupErrors<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw backupError(error);
  }
}

function backupError(error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  const { message, code, hint } = error as { message?: string; code?: unknown; hint?: unknown };
  const sqlstate = typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
  return new BackupError(kindOf(sqlstate, error), message || String(code ?? error), {
    ...(sqlstate !== undefined && { sqlstate }),
    ...(typeof hint === "string" && { hint }),
    cause: error,
  });
}

function kindOf(sqlstate: string | undefined, error: unknown): BackupErrorKind {
  // A mistake in the call, such as a value that JSON cannot express, and not of the connection.
  if (sqlstate === undefined) return error instanceof TypeError ? "unexpected" : "unavailable";
  return KINDS[sqlstate] ?? (TRANSIENT.some((start) => sqlstate.startsWith(start)) ? "unavailable" : "unexpected");
}
