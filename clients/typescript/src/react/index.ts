"use client";

export type { BackupAnswer, TimeSpan } from "../answer.js";
export type { CancelAnswer, ListAnswer, Problem } from "../next/index.js";
export { BackupProgress, type BackupProgressProps } from "./backup-progress.js";
export { BackupRequestError, type RoutesOptions } from "./requests.js";
export { en } from "./texts/en.js";
export { ptBr } from "./texts/pt-br.js";
export type { BackupTexts } from "./texts/texts.js";
export { useBackup } from "./use-backup.js";
export { type BackupManager, type StartRequest, useBackupManager } from "./use-backup-manager.js";
export type { BackupView, FollowOptions } from "./watcher.js";
