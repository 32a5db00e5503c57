"use client";

import { useCallback, useMemo, useRef, useState } from "react";
import type { BackupAnswer } from "../answer.js";
import type { BackupSpec } from "../enqueue.js";
import type { CancelAnswer, ListAnswer } from "../next/index.js";
import type { BackupState } from "../status.js";
import { BackupRequestError, BackupRequests, type RoutesOptions, randomId } from "./requests.js";

/** What to start a backup of. */
export interface StartRequest {
  /** May be left out by users who may use exactly one. */
  target?: string;
  label?: string;
  spec?: BackupSpec;
}

/** Starts, cancels and lists backups. */
export interface BackupManager {
  /**
   * The backup that was started last, for `useBackup` and `<BackupProgress>`: at once a temporary id (`temp_…`), the
   * real one as soon as the server has answered, and `null` again if it has refused.
   */
  id: string | null;
  /** Follows another one, such as one that runs already when the page is loaded. */
  setId: (id: string | null) => void;
  isStarting: boolean;
  /** Why the last start or cancel was not possible. */
  error: BackupRequestError | null;
  /** Starts a backup. The same request again, before the first is answered, is the same backup. */
  start: (request?: StartRequest) => Promise<BackupAnswer | null>;
  /** Cancels a backup, by default the one that was started last, also if it is not known to the server yet. */
  cancel: (id?: string) => Promise<CancelAnswer | null>;
  /** Reads a page of the history. Throws a `BackupRequestError`. */
  list: (filter?: { target?: string; state?: BackupState; limit?: number; cursor?: string }) => Promise<ListAnswer>;
}

/** Starts, cancels and lists backups by the routes of `@pgdumpd/client/next`. */
export function useBackupManager({ basePath, fetch }: RoutesOptions = {}): BackupManager {
  const [id, setId] = useState<string | null>(null);
  const [isStarting, setIsStarting] = useState(false);
  const [error, setError] = useState<BackupRequestError | null>(null);
  // Kept over the second mount of React's strict mode.
  const starting = useRef(new Map<string, Promise<BackupAnswer | null>>());
  const requests = useMemo(
    () => new BackupRequests({ ...(basePath && { basePath }), ...(fetch && { fetch }) }),
    [basePath, fetch],
  );

  const start = useCallback(
    (request: StartRequest = {}) => {
      const key = JSON.stringify(request);
      const running = starting.current.get(key);
      if (running) return running;
      const chosen = randomId();
      const temporary = `temp_${chosen}`;
      setError(null);
      setIsStarting(true);
      setId(temporary);
      const replaceBy = (next: string | null) => setId((now) => (now === temporary ? next : now));
      const started = requests
        .create({ ...request, id: chosen })
        .then((answer) => {
          replaceBy(answer.id);
          return answer;
        })
        .catch((thrown: unknown) => {
          replaceBy(null);
          setError(requestError(thrown));
          return null;
        })
        .finally(() => {
          starting.current.delete(key);
          setIsStarting(starting.current.size > 0);
        });
      starting.current.set(key, started);
      return started;
    },
    [requests],
  );

  const cancel = useCallback(
    async (wanted: string | null = id) => {
      // Whoever cancels what was not answered yet means the backup that will be.
      const starts = await Promise.all(starting.current.values());
      const real = wanted?.startsWith("temp_") ? starts.find((answer) => wanted === `temp_${answer?.id}`)?.id : wanted;
      if (!real) return null;
      try {
        setError(null);
        return await requests.cancel(real);
      } catch (thrown) {
        setError(requestError(thrown));
        return null;
      }
    },
    [requests, id],
  );

  const list = useCallback<BackupManager["list"]>((filter = {}) => requests.list(filter), [requests]);
  return { id, setId, isStarting, error, start, cancel, list };
}

function requestError(thrown: unknown): BackupRequestError {
  return thrown instanceof BackupRequestError ? thrown : new BackupRequestError(String(thrown), null, thrown);
}
