import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";

/** What a backup contains, if not everything: arrays of `pg_dump`'s patterns. */
export interface BackupSpec {
  schemas?: string[];
  excludeSchemas?: string[];
  tables?: string[];
  excludeTables?: string[];
  excludeTableData?: string[];
}

/** What to enqueue. */
export interface BackupRequest {
  /** The target's name in the daemon's configuration. */
  target: string;
  /** The job's id, a UUID; random by default. To repeat a request whose answer was lost, give the same id. */
  id?: string;
  /** A text for people, at most 200 bytes. */
  label?: string;
  spec?: BackupSpec;
  /** 1 (first) to 5 (last); 3 by default. */
  priority?: number;
  /** When it is due; now by default. */
  runAt?: Date | string;
  /** At most one job of a role and target has it; 1 to 200 bytes. */
  idempotencyKey?: string;
  /** 1 to 100; 3 by default. */
  maxAttempts?: number;
  /** Of one attempt; 1 second to 30 days. */
  timeoutSeconds?: number;
  /** Your own object of at most 16 kB, such as `{ user: 7 }`; the queue keeps it. */
  metadata?: Record<string, unknown>;
  /** The request's W3C trace context: what a `traceparent` header holds. Every log line of the job has it. */
  traceParent?: string;
}

/** The job that a request has now. */
export interface Enqueued {
  id: string;
  /** False if the id, or the idempotency key, belongs to an earlier job of yours: `id` is then that job's. */
  isNew: boolean;
}

const ENQUEUE = `
SELECT row_to_json(enqueued)::text AS json
FROM (
    SELECT job_id AS "id", is_new AS "isNew"
    FROM pgdumpd.enqueue_backup(
        target => $1::text,
        spec => $2::jsonb,
        priority => $3::integer,
        run_at => $4::timestamptz,
        idempotency_key => $5::text,
        max_attempts => $6::integer,
        timeout => make_interval(secs => $7::double precision),
        id => $8::uuid,
        metadata => $9::jsonb,
        trace_parent => $10::text)
) AS enqueued`;

/**
 * Enqueues a backup. On a client inside a transaction, the backup is taken if and only if the transaction commits.
 *
 * @throws {BackupError} of kind `invalid`, `id_taken`, `quota`, or one that concerns the database.
 */
export function enqueueBackup(db: Queryable, request: BackupRequest): Promise<Enqueued> {
  return asBackupErrors(async () => {
    const [enqueued] = await jsonRows<Enqueued>(db, ENQUEUE, [
      request.target,
      JSON.stringify(specJson(request)),
      request.priority ?? null,
      request.runAt instanceof Date ? request.runAt.toISOString() : (request.runAt ?? null),
      request.idempotencyKey ?? null,
      request.maxAttempts ?? null,
      request.timeoutSeconds ?? null,
      request.id ?? globalThis.crypto.randomUUID(),
      JSON.stringify(request.metadata ?? {}),
      request.traceParent ?? null,
    ]);
    if (enqueued === undefined) throw new TypeError("enqueue_backup returned no row");
    return enqueued;
  });
}

/** The request's spec as the queue keeps it: its keys are snake_case, and the label is one of them. */
export function specJson({ spec = {}, label }: Pick<BackupRequest, "spec" | "label">): Record<string, unknown> {
  const snakeCase = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const entries = Object.entries(spec).map(([key, value]) => [snakeCase(key), value]);
  return { ...Object.fromEntries(entries), ...(label !== undefined && { label }) };
}
