import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";
import { type BackupState, type BackupStatus, type JobKind, STATUS_COLUMNS } from "./status.js";
import { isUuid } from "./uuid.js";

/** Where a page ends: the next one begins after this job. */
export interface PageKey {
  createdAt: string;
  id: string;
}

/** Which jobs to list; by default the 50 newest backups. */
export interface ListFilter {
  /** Of these targets only. */
  targets?: readonly string[];
  state?: BackupState;
  label?: string;
  /** Backups by default, or copies; `null` takes both. */
  kind?: JobKind | null;
  /** Copies of this backup only (with `kind: "copy"`). */
  copyOf?: string;
  /** The most rows, 1 to 1000; 50 by default. */
  limit?: number;
  /** Only jobs that are older than this one: `next` of the page before. */
  after?: PageKey;
}

/** One page of jobs, newest first. */
export interface BackupPage {
  backups: BackupStatus[];
  /** Give it as `after` for the next page; `null` if there is none. */
  next: PageKey | null;
}

// Each condition is left out, not made true by NULL, so that the server can plan for the ones that are there.
const CONDITIONS = {
  targets: (n: number) => `target = ANY ($${n}::text[])`,
  state: (n: number) => `state = $${n}::text`,
  label: (n: number) => `label = $${n}::text`,
  kind: (n: number) => `kind = $${n}::text`,
  copyOf: (n: number) => `copy_of = $${n}::uuid`,
};

/** Reads jobs, newest first, one page at a time. Jobs that are enqueued meanwhile neither shift nor repeat rows. */
export function listBackups(db: Queryable, filter: ListFilter = {}): Promise<BackupPage> {
  const limit = Math.min(Math.max(Math.trunc(filter.limit ?? 50), 1), 1000);
  if (filter.copyOf !== undefined && !isUuid(filter.copyOf)) return Promise.resolve({ backups: [], next: null });
  return asBackupErrors(async () => {
    const { text, values } = listStatement(filter, limit + 1);
    const rows = await jsonRows<BackupStatus>(db, text, values);
    const backups = rows.slice(0, limit);
    const last = backups.at(-1);
    const next = rows.length > limit && last ? { createdAt: last.createdAt, id: last.id } : null;
    return { backups, next };
  });
}

function listStatement(filter: ListFilter, limit: number): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const wanted = { ...filter, kind: filter.kind === undefined ? "backup" : filter.kind };
  for (const [name, condition] of Object.entries(CONDITIONS)) {
    const value = wanted[name as keyof typeof CONDITIONS];
    if (value === undefined || value === null) continue;
    conditions.push(condition(values.push(value)));
  }
  if (filter.after) {
    const createdAt = values.push(filter.after.createdAt);
    const id = values.push(filter.after.id);
    conditions.push(`(created_at, id) < ($${createdAt}::timestamptz, $${id}::uuid)`);
  }
  const where = conditions.length > 0 ? `WHERE ${conditions.join(" AND ")}` : "";
  const text = `
SELECT row_to_json(page)::text AS json
FROM (
    SELECT ${STATUS_COLUMNS}
    FROM pgdumpd.backup_status
    ${where}
    -- The id decides between jobs of one instant, so that a page reads the same twice.
    ORDER BY created_at DESC, id DESC
    LIMIT $${values.push(limit)}::bigint
) AS page`;
  return { text, values };
}
