export type { BackupAnswer, TimeSpan } from "../answer.js";
export type { Allowed, Authorize, Operation, Refused } from "./access.js";
export type { CreateBody } from "./create.js";
export {
  type BackupHandlers,
  type BackupHandlersOptions,
  type CancelAnswer,
  createBackupHandlers,
  type MonitoringAnswer,
} from "./handlers.js";
export type { ListAnswer } from "./list.js";
export type { Problem, ProblemType } from "./problem.js";
