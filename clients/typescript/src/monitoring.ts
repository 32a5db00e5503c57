import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";
import { isoTime, type JobKind } from "./status.js";

/** A row of `pgdumpd.backup_monitoring`: a job that is queued or running. Times and numbers as in `BackupStatus`. */
export interface MonitoredBackup {
  id: string;
  target: string;
  kind: JobKind;
  copyOf: string | null;
  copyTo: string | null;
  state: "queued" | "running";
  phase: string | null;
  progress: number;
  copies: string;
  queuePosition: number | null;
  waitsBecause: string | null;
  requestedBy: string;
  lastUpdate: string;
  metadata: Record<string, unknown>;
  /** Running since, or waiting since. */
  since: string;
  workerId: string | null;
  workerHost: string | null;
  workerPid: number | null;
  workerLastSeenAt: string | null;
  /** If it is in the past, the job's daemon sends no heartbeats, and another one will take the job over. */
  leaseExpiresAt: string | null;
  unserved: boolean;
}

const MONITORING = `
SELECT row_to_json(monitored)::text AS json
FROM (
    SELECT
        id, target, kind, copy_of AS "copyOf", copy_to AS "copyTo", state, phase, progress, copies,
        queue_position AS "queuePosition", waits_because AS "waitsBecause", requested_by AS "requestedBy",
        ${isoTime("last_update", "lastUpdate")}, metadata, ${isoTime("since", "since")},
        worker_id AS "workerId", worker_host AS "workerHost", worker_pid AS "workerPid",
        ${isoTime("worker_last_seen_at", "workerLastSeenAt")}, ${isoTime("lease_expires_at", "leaseExpiresAt")}, unserved
    FROM pgdumpd.backup_monitoring
    WHERE $1::text[] IS NULL OR target = ANY ($1::text[])
    -- What runs, then what waits longest. The name alone would mean the text in the list above.
    ORDER BY backup_monitoring.state DESC, backup_monitoring.since, id
    LIMIT $2::bigint
) AS monitored`;

/** Reads the jobs that are queued or running: first what runs, then what has waited longest; at most `limit`, 1000 by default. */
export function monitoring(
  db: Queryable,
  { targets, limit = 1000 }: { targets?: readonly string[]; limit?: number } = {},
): Promise<MonitoredBackup[]> {
  return asBackupErrors(() => jsonRows<MonitoredBackup>(db, MONITORING, [targets ?? null, limit]));
}
