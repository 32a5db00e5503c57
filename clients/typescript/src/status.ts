import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";
import { isUuid } from "./uuid.js";

/** What an application usually wants to know: whether it goes on, and how it ended. */
export type BackupOutcome = "in_progress" | "completed" | "failed" | "cancelled";
/** A job's state in the queue. */
export type BackupState = "queued" | "running" | "succeeded" | "failed" | "cancelled";
export type JobKind = "backup" | "copy";

/** Where a backup is. */
export interface StoredIn {
  storage: string;
  objectKey: string;
  sizeBytes: number;
  storedAt: string;
  lastProvedAt: string | null;
}

/**
 * A row of `pgdumpd.backup_status`.
 *
 * Times are ISO 8601 in UTC with microseconds, such as `2026-11-23T03:30:00.123456Z`: `new Date` reads them, and as
 * texts they sort. Columns of the type bigint are numbers: counts of rows and bytes are far below 2^53.
 */
export interface BackupStatus {
  id: string;
  target: string;
  label: string | null;
  kind: JobKind;
  copyOf: string | null;
  copyTo: string | null;
  status: BackupOutcome;
  state: BackupState;
  attempt: number;
  maxAttempts: number;
  rescues: number;
  priority: number;
  phase: string | null;
  /** Percent, 0 to 100; never falls within an attempt; 100 is success. */
  progress: number;
  message: string | null;
  currentTable: string | null;
  tablesDone: number | null;
  tablesTotal: number | null;
  rowsDone: number | null;
  rowsExpected: number | null;
  bytesDumped: number | null;
  bytesStored: number | null;
  estimatedEnd: string | null;
  /** Until `estimatedEnd`, by the database's clock, and never below 0. */
  secondsLeft: number | null;
  queuePosition: number | null;
  waitsBecause: string | null;
  elapsedSeconds: number | null;
  elapsed: string | null;
  lastUpdate: string;
  cancelRequestedAt: string | null;
  cancelRequestedBy: string | null;
  copiesStored: number;
  copiesTotal: number;
  copies: string;
  storedIn: StoredIn[];
  warnings: string[];
  warningsTotal: number;
  errorStep: string | null;
  errorCode: string | null;
  error: string | null;
  errorHint: string | null;
  sizeBytes: number | null;
  sha256: string | null;
  requestedBy: string;
  idempotencyKey: string | null;
  createdAt: string;
  runAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  workerId: string | null;
  workerHost: string | null;
  leaseExpiresAt: string | null;
  /** As it was asked for, with the keys of the queue (snake_case). */
  spec: Record<string, unknown>;
  metadata: Record<string, unknown>;
  /** Queued, and no daemon that is alive can do it: `waitsBecause` says why. */
  unserved: boolean;
}

/** A column of the type timestamptz as an ISO text: JSON's own would depend on the session's time zone. */
export function isoTime(column: string, name: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "${name}"`;
}

const STORED_IN = `(
        SELECT coalesce(json_agg(json_build_object(
                   'storage', s.storage, 'objectKey', s.object_key, 'sizeBytes', s.size_bytes,
                   'storedAt', to_char(s.stored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                   'lastProvedAt', to_char(s.last_proved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))), '[]')
        FROM jsonb_to_recordset(stored_in)
            AS s (storage text, object_key text, size_bytes bigint, stored_at timestamptz, last_proved_at timestamptz)
    ) AS "storedIn"`;

/** The columns of {@link BackupStatus}. */
export const STATUS_COLUMNS = `
    id, target, label, kind, copy_of AS "copyOf", copy_to AS "copyTo", status, state,
    attempt, max_attempts AS "maxAttempts", rescues, priority, phase, progress, message,
    current_table AS "currentTable", tables_done AS "tablesDone", tables_total AS "tablesTotal",
    rows_done AS "rowsDone", rows_expected AS "rowsExpected",
    bytes_dumped AS "bytesDumped", bytes_stored AS "bytesStored",
    ${isoTime("estimated_end", "estimatedEnd")},
    CASE WHEN finished_at IS NULL AND estimated_end IS NOT NULL THEN greatest(0, extract(epoch FROM estimated_end - statement_timestamp())) END AS "secondsLeft",
    queue_position AS "queuePosition", waits_because AS "waitsBecause",
    elapsed_seconds AS "elapsedSeconds", elapsed, ${isoTime("last_update", "lastUpdate")},
    ${isoTime("cancel_requested_at", "cancelRequestedAt")}, cancel_requested_by AS "cancelRequestedBy",
    copies_stored AS "copiesStored", copies_total AS "copiesTotal", copies, ${STORED_IN},
    warnings, warnings_total AS "warningsTotal",
    error_step AS "errorStep", error_code AS "errorCode", error, error_hint AS "errorHint",
    size_bytes AS "sizeBytes", sha256, requested_by AS "requestedBy", idempotency_key AS "idempotencyKey",
    ${isoTime("created_at", "createdAt")}, ${isoTime("run_at", "runAt")},
    ${isoTime("started_at", "startedAt")}, ${isoTime("finished_at", "finishedAt")},
    worker_id AS "workerId", worker_host AS "workerHost", ${isoTime("lease_expires_at", "leaseExpiresAt")},
    spec, metadata, unserved`;

const STATUSES = `
SELECT row_to_json(found)::text AS json
FROM (SELECT ${STATUS_COLUMNS} FROM pgdumpd.backup_status WHERE id = ANY ($1::uuid[])) AS found`;

/**
 * Reads one job. `null` if there is no such job, if it is another role's, and if the id is not a UUID (such as a
 * temporary one that a page has invented).
 */
export async function backupStatus(db: Queryable, id: string): Promise<BackupStatus | null> {
  const [status] = await backupStatuses(db, [id]);
  return status ?? null;
}

/** Reads many jobs with one statement: those of the ids that exist, in any order. */
export function backupStatuses(db: Queryable, ids: readonly string[]): Promise<BackupStatus[]> {
  const uuids = ids.filter(isUuid);
  if (uuids.length === 0) return Promise.resolve([]);
  return asBackupErrors(() => jsonRows<BackupStatus>(db, STATUSES, [uuids]));
}

/** Whether a job has ended: it will not change any more. */
export function hasEnded({ state }: Pick<BackupStatus, "state">): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}
