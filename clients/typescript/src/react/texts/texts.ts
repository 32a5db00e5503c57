/** The words of `<BackupProgress>`. */
export interface BackupTexts {
  /** The name of the bar; the target is `null` until it is known. */
  title: (target: string | null) => string;
  /** One for each state, and for a cancel that was requested. These are read out when they change. */
  states: Record<"queued" | "running" | "stopping" | "succeeded" | "failed" | "cancelled", string>;
  /** One for each phase of `docs/SQL.md`; an unknown one is shown as it is. */
  phases: Record<string, string>;
  place: (position: string) => string;
  table: string;
  rows: string;
  rowsOf: (done: string, expected: string) => string;
  elapsed: string;
  timeLeft: string;
  size: string;
  warnings: string;
  attempt: (attempt: number, most: number) => string;
  lastAttempt: string;
  cancel: string;
  offline: string;
  unknown: string;
}
