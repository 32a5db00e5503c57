import { asBackupErrors } from "./error.js";
import { jsonRows, type Queryable } from "./queryable.js";
import { isUuid } from "./uuid.js";

/**
 * What a cancel did. `cancelled`: it was queued, and has now ended. `cancelling`: it is running, and its daemon stops
 * it. `already_…`: it had ended before. `not_found`: no such job, or another role's.
 */
export type Cancelled =
  | "cancelled"
  | "cancelling"
  | "already_succeeded"
  | "already_failed"
  | "already_cancelled"
  | "not_found";

const CANCEL = `SELECT to_json(pgdumpd.cancel_backup($1::uuid))::text AS json`;

/**
 * Cancels a job. An id that is not a UUID is `not_found`.
 *
 * @throws {BackupError} of kind `busy` if another transaction cancels the same job and has not ended within 2 s.
 */
export async function cancelBackup(db: Queryable, id: string): Promise<Cancelled> {
  if (!isUuid(id)) return "not_found";
  const [cancelled] = await asBackupErrors(() => jsonRows<Cancelled>(db, CANCEL, [id]));
  return cancelled ?? "not_found";
}
