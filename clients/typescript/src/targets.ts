import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";
import { isoTime } from "./status.js";

/** A target that can be asked for, or that has a backup. */
export interface Target {
  target: string;
  /** How many daemons that are alive serve it; with 0, a backup of it waits. */
  daemons: number;
  /** Its newest backup that the session's user may see. */
  lastSuccessId: string | null;
  lastSuccessAt: string | null;
}

const TARGETS = `
SELECT row_to_json(known)::text AS json
FROM (
    SELECT
        target, coalesce(daemons, 0) AS daemons,
        last_success_id AS "lastSuccessId", ${isoTime("last_success_at", "lastSuccessAt")}
    FROM pgdumpd.served_targets FULL JOIN pgdumpd.target_status USING (target)
    WHERE $1::text[] IS NULL OR target = ANY ($1::text[])
    ORDER BY target
) AS known`;

/** Reads the targets that a daemon serves or that have a backup, by name. */
export function targets(db: Queryable, { targets }: { targets?: readonly string[] } = {}): Promise<Target[]> {
  return asBackupErrors(() => jsonRows<Target>(db, TARGETS, [targets ?? null]));
}
