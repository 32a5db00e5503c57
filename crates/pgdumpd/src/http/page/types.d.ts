/** What the routes answer, as the OpenAPI document describes it. Only for the check of types: a browser loads none of it. */

export interface Rights {
  token: string | null;
  read: boolean;
  enqueue: boolean;
  cancel: boolean;
  admin: boolean;
  targets: string[] | null;
  version: string;
}

export interface Point {
  id: string;
  finishedAt: string;
  seconds: number | null;
  sizeBytes: number | null;
}

export interface Target {
  target: string;
  daemons: number;
  schedules: string[];
  nextRunAt: string | null;
  lastGood: {
    id: string;
    finishedAt: string | null;
    sizeBytes: number | null;
    isPartial: boolean;
    storages: string[];
  } | null;
  lastEnded: { id: string; state: string; finishedAt: string | null } | null;
  recent: Point[];
}

export interface QueuedJob {
  id: string;
  kind: "backup" | "copy";
  target: string;
  copyTo: string | null;
  queuePosition: number | null;
  waitsBecause: string | null;
  since: string;
  unserved: boolean;
}

export interface Job {
  id: string;
  kind: "backup" | "copy";
  target: string;
  copyOf: string | null;
  copyTo: string | null;
  label: string | null;
  isPartial: boolean;
  state: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  phase: string | null;
  progress: number;
  currentTable: string | null;
  tables: { done: number | null; total: number | null };
  rows: { done: number | null; expected: number | null };
  bytes: { dumped: number | null; stored: number | null };
  estimatedEnd: string | null;
  attempt: number;
  maxAttempts: number;
  queuePosition: number | null;
  waitsBecause: string | null;
  cancelRequestedAt: string | null;
  copies: { stored: number; total: number };
  warnings: string[];
  warningsTotal: number;
  sizeBytes: number | null;
  sha256: string | null;
  createdAt: string;
  runAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  error: { code: string | null; step: string | null; message: string; hint: string | null } | null;
  requestedBy: string | null;
  workerHost: string | null;
}

export interface Overview {
  now: string;
  targets: Target[];
  running: Job[];
  queued: QueuedJob[];
  runningTotal: number;
  queuedTotal: number;
}

export interface Attempt {
  attempt: number;
  startedAt: string;
  endedAt: string | null;
  outcome: string;
  requeuedFor: string | null;
  errorStep: string | null;
  errorCode: string | null;
  error: string | null;
  host: string | null;
}

export interface JobDetails {
  job: Job;
  attempts: Attempt[];
  storages: {
    storage: string;
    state: string;
    sizeBytes: number;
    storedAt: string;
    lastProvedAt: string | null;
    deletedAt: string | null;
  }[];
  copies: Job[];
}

export interface Tables {
  storage: string | null;
  tables: { name: string; rows: number | null; rawBytes: number; storedBytes: number }[];
  total: number;
  unknown: "not_stored" | "sealed" | "no_index" | "unreadable" | null;
  reason: string | null;
}

export interface Jobs {
  jobs: Job[];
  next: string | null;
}

export interface Daemon {
  id: string;
  host: string;
  pid: number;
  version: string;
  state: string;
  runningJobs: number;
  maxJobs: number;
  runningCopies: number;
  maxCopies: number;
  targets: string[];
  storages: string[];
  startedAt: string;
  lastSeenAt: string;
  checkedAt: string | null;
  checks: { subject: string; severity: string; code: string; what: string; hint: string | null }[];
}
