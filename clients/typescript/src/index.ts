export { type Cancelled, cancelBackup } from "./cancel.js";
export { type BackupRequest, type BackupSpec, type Enqueued, enqueueBackup } from "./enqueue.js";
export { BackupError, type BackupErrorKind } from "./error.js";
export { type BackupPage, type ListFilter, listBackups, type PageKey } from "./list.js";
export { type MonitoredBackup, monitoring } from "./monitoring.js";
export type { Queryable } from "./queryable.js";
export {
  type BackupOutcome,
  type BackupState,
  type BackupStatus,
  backupStatus,
  backupStatuses,
  hasEnded,
  type JobKind,
  type StoredIn,
} from "./status.js";
export { type Target, targets } from "./targets.js";
