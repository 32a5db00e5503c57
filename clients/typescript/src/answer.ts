import type { BackupOutcome, BackupState, BackupStatus } from "./status.js";

/** A span of time in whole seconds, and as `0:05` or `1:02:03`. */
export interface TimeSpan {
  total: number;
  formatted: string;
}

/** One backup as the route handlers answer it. Times and numbers as in `BackupStatus`. */
export interface BackupAnswer {
  success: true;
  id: string;
  status: BackupOutcome;
  /** Percent, 0 to 100, with one decimal; 100 is success. */
  progress: number;
  /** One line of text for people; English. */
  message: string;
  /** Of the running attempt so far, or of an ended job. */
  elapsedTime: TimeSpan;
  /** When the job last changed; `null` for an id that has no job yet. */
  lastUpdate: string | null;
  target: string | null;
  label: string | null;
  state: BackupState;
  phase: string | null;
  currentTable: string | null;
  tables: { done: number | null; total: number | null };
  rows: { done: number | null; expected: number | null };
  bytes: { dumped: number | null; stored: number | null };
  estimatedEnd: string | null;
  /** Until `estimatedEnd`, by the database's clock. */
  timeLeft: TimeSpan | null;
  attempt: number;
  maxAttempts: number;
  /** 1 is next; 20 means 20 or more; `null` if it is not queued or not due. */
  queuePosition: number | null;
  waitsBecause: string | null;
  cancelRequested: boolean;
  copies: { stored: number; total: number };
  warnings: string[];
  createdAt: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  /** After a success: what was stored. */
  result: { sizeBytes: number | null; sha256: string | null; storages: string[] } | null;
  /** Why it failed, or why its last attempt failed while it waits for the next one. */
  error: { code: string | null; step: string | null; message: string; hint: string | null } | null;
}

const MESSAGES: Record<BackupState, string> = {
  queued: "Waiting to start",
  running: "Running",
  succeeded: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** Seconds as `m:ss` or `h:mm:ss`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const twoDigits = (part: number) => String(part).padStart(2, "0");
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`;
}

/** The answer for a job. */
export function answerOf(status: BackupStatus): BackupAnswer {
  const { state, error } = status;
  const message = state === "queued" ? (status.waitsBecause ?? MESSAGES.queued) : (status.message ?? MESSAGES[state]);
  return {
    success: true,
    id: status.id,
    status: status.status,
    // Rounded down: 100 is success and nothing else.
    progress: Math.floor(status.progress * 10) / 10,
    message,
    elapsedTime: timeSpan(status.elapsedSeconds ?? 0),
    lastUpdate: status.lastUpdate,
    target: status.target,
    label: status.label,
    state,
    phase: status.phase,
    currentTable: status.currentTable,
    tables: { done: status.tablesDone, total: status.tablesTotal },
    rows: { done: status.rowsDone, expected: status.rowsExpected },
    bytes: { dumped: status.bytesDumped, stored: status.bytesStored },
    estimatedEnd: status.estimatedEnd,
    timeLeft: status.secondsLeft === null ? null : timeSpan(status.secondsLeft),
    attempt: status.attempt,
    maxAttempts: status.maxAttempts,
    queuePosition: status.queuePosition,
    waitsBecause: status.waitsBecause,
    cancelRequested: status.cancelRequestedAt !== null,
    copies: { stored: status.copiesStored, total: status.copiesTotal },
    warnings: status.warnings,
    createdAt: status.createdAt,
    startedAt: status.startedAt,
    finishedAt: status.finishedAt,
    result:
      state === "succeeded"
        ? {
            sizeBytes: status.sizeBytes,
            sha256: status.sha256,
            storages: status.storedIn.map(({ storage }) => storage),
          }
        : null,
    error:
      error === null
        ? null
        : { code: status.errorCode, step: status.errorStep, message: error, hint: status.errorHint },
  };
}

/** The answer for an id that has no job yet, such as one that a page has invented while it waits for the real one. */
export function waitingAnswer(id: string): BackupAnswer {
  return {
    success: true,
    id,
    status: "in_progress",
    progress: 0,
    message: MESSAGES.queued,
    elapsedTime: timeSpan(0),
    lastUpdate: null,
    target: null,
    label: null,
    state: "queued",
    phase: null,
    currentTable: null,
    tables: { done: null, total: null },
    rows: { done: null, expected: null },
    bytes: { dumped: null, stored: null },
    estimatedEnd: null,
    timeLeft: null,
    attempt: 0,
    maxAttempts: 0,
    queuePosition: null,
    waitsBecause: null,
    cancelRequested: false,
    copies: { stored: 0, total: 0 },
    warnings: [],
    createdAt: null,
    startedAt: null,
    finishedAt: null,
    result: null,
    error: null,
  };
}

/** An answer without what changes by itself as time passes: equal for as long as nothing has happened. */
export function timelessText(answer: BackupAnswer): string {
  return JSON.stringify({ ...answer, elapsedTime: null, timeLeft: null });
}

function timeSpan(seconds: number): TimeSpan {
  return { total: Math.floor(seconds), formatted: formatSeconds(seconds) };
}
