"use client";

import { useCallback, useMemo, useSyncExternalStore } from "react";
import { type BackupView, BackupWatcher, type FollowOptions, NO_BACKUP } from "./watcher.js";

/**
 * Follows a backup to its end: polls with back-off, or follows events; pauses while the page is hidden; keeps the last
 * value while the server cannot be reached.
 *
 * Takes no id, a temporary one (anything but a UUID), and a real one. A backup that is not there yet waits to start.
 */
export function useBackup(id: string | null | undefined, options: FollowOptions = {}): BackupView {
  const { basePath, fetch, follow } = options;
  const watcher = useMemo(() => {
    if (!id) return null;
    return new BackupWatcher(id, { ...(basePath && { basePath }), ...(fetch && { fetch }), ...(follow && { follow }) });
  }, [id, basePath, fetch, follow]);
  const subscribe = useCallback((listener: () => void) => watcher?.subscribe(listener) ?? (() => {}), [watcher]);
  const view = () => watcher?.view() ?? NO_BACKUP;
  return useSyncExternalStore(subscribe, view, view);
}
