"use client";

import { useEffect, useRef, useState } from "react";
import type { BackupView } from "./watcher.js";

/** The seconds since an attempt began and until its end, which pass also between two answers. */
export function useSeconds({ backup, receivedAt }: BackupView): { elapsed: number; left: number | null } {
  const isRunning = backup?.state === "running";
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (!isRunning) return;
    setNow(performance.now());
    const timer = setInterval(() => setNow(performance.now()), 1000);
    return () => clearInterval(timer);
  }, [isRunning]);
  const passed = isRunning ? Math.max(0, (now - receivedAt) / 1000) : 0;
  // An answer's whole seconds are rounded down: within one attempt the clock never goes back by that.
  const shown = useRef({ id: "", attempt: 0, elapsed: 0 });
  const { id = "", attempt = 0 } = backup ?? {};
  let elapsed = (backup?.elapsedTime.total ?? 0) + passed;
  if (isRunning) {
    if (shown.current.id === id && shown.current.attempt === attempt)
      elapsed = Math.max(elapsed, shown.current.elapsed);
    shown.current = { id, attempt, elapsed };
  }
  const left = isRunning && backup.timeLeft ? Math.max(0, backup.timeLeft.total - passed) : null;
  return { elapsed, left };
}
