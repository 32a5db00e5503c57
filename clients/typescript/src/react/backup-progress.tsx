"use client";

import { type ReactNode, useId, useMemo, useRef, useState } from "react";
import { type BackupAnswer, formatSeconds } from "../answer.js";
import { BackupRequests } from "./requests.js";
import { en } from "./texts/en.js";
import { ptBr } from "./texts/pt-br.js";
import type { BackupTexts } from "./texts/texts.js";
import { useBackup } from "./use-backup.js";
import { useSeconds } from "./use-seconds.js";
import type { BackupView, FollowOptions } from "./watcher.js";

/** What `<BackupProgress>` takes. */
export interface BackupProgressProps extends FollowOptions {
  /** A real id, a temporary one, or none: without one, nothing is shown. */
  id: string | null | undefined;
  /** For texts and numbers; `en` by default. */
  locale?: "en" | "pt-BR";
  /** Words of your own instead of some of the locale's. */
  texts?: Partial<BackupTexts>;
  /** Cancels instead of the route: for `cancel` of `useBackupManager`, which also takes temporary ids. */
  onCancel?: (id: string) => unknown;
  className?: string;
}

/** One backup as people watch it: a bar, what it is doing, how long it takes, and a button that cancels it. */
export function BackupProgress({
  id,
  locale = "en",
  texts,
  onCancel,
  className,
  ...options
}: BackupProgressProps): ReactNode {
  const view = useBackup(id, options);
  const words = useMemo(() => ({ ...(locale === "pt-BR" ? ptBr : en), ...texts }), [locale, texts]);
  if (view.backup === null) return null;
  return <Progress {...{ ...options, view, backup: view.backup, locale, words, onCancel, className }} />;
}

interface ProgressProps extends FollowOptions {
  view: BackupView;
  backup: BackupAnswer;
  locale: string;
  words: BackupTexts;
  onCancel: ((id: string) => unknown) | undefined;
  className: string | undefined;
}

function Progress({ view, backup, locale, words, onCancel, className, basePath, fetch }: ProgressProps): ReactNode {
  const titleId = useId();
  const [isCancelling, cancel] = useCancel(backup.id, { onCancel, basePath, fetch });
  const isStopping = backup.status === "in_progress" && (isCancelling || backup.cancelRequested);
  const state = words.states[isStopping ? "stopping" : backup.state];
  return (
    <section
      className={["pgdumpd", className].filter(Boolean).join(" ")}
      data-state={backup.state}
      aria-labelledby={titleId}
    >
      <div className="pgdumpd-head">
        <span className="pgdumpd-title" id={titleId}>
          {words.title(backup.target)}
        </span>
        <span className="pgdumpd-state" role="status">
          {state}
        </span>
      </div>
      <Bar {...{ backup, locale, titleId, state }} />
      <Details {...{ view, backup, locale, words }} />
      <Notes {...{ view, backup, words }} />
      {backup.status === "in_progress" && (
        <button className="pgdumpd-cancel" type="button" onClick={cancel} disabled={isStopping}>
          {words.cancel}
        </button>
      )}
    </section>
  );
}

/** Cancels once, and again only if that was not possible. */
function useCancel(
  id: string,
  {
    onCancel,
    basePath,
    fetch,
  }: { onCancel: ProgressProps["onCancel"]; basePath: string | undefined; fetch: typeof globalThis.fetch | undefined },
): [boolean, () => void] {
  const [cancelled, setCancelled] = useState<string | null>(null);
  // A second click may come before the button is disabled.
  const asked = useRef<string | null>(null);
  const cancel = async () => {
    if (asked.current === id) return;
    asked.current = id;
    setCancelled(id);
    try {
      if (onCancel) await onCancel(id);
      else await new BackupRequests({ ...(basePath && { basePath }), ...(fetch && { fetch }) }).cancel(id);
    } catch {
      asked.current = null;
      setCancelled(null);
    }
  };
  return [cancelled === id, () => void cancel()];
}

function Bar(props: { backup: BackupAnswer; locale: string; titleId: string; state: string }): ReactNode {
  const { backup, locale, titleId, state } = props;
  const isWaiting = backup.state === "queued";
  const percent = Math.floor(backup.progress);
  const percentText = new Intl.NumberFormat(locale, { style: "percent" }).format(percent / 100);
  return (
    <div className="pgdumpd-row">
      <div
        className="pgdumpd-bar"
        role="progressbar"
        aria-labelledby={titleId}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={isWaiting ? undefined : percent}
        aria-valuetext={isWaiting ? state : [percentText, backup.currentTable ?? state].join(", ")}
      >
        <div className="pgdumpd-done" style={{ inlineSize: `${backup.progress}%` }} />
      </div>
      <span className="pgdumpd-percent" aria-hidden="true">
        {isWaiting ? "" : percentText}
      </span>
    </div>
  );
}

interface PartProps {
  view: BackupView;
  backup: BackupAnswer;
  words: BackupTexts;
}

function Details({ view, backup, locale, words }: PartProps & { locale: string }): ReactNode {
  const { elapsed, left } = useSeconds(view);
  const number = new Intl.NumberFormat(locale);
  const { done, expected } = backup.rows;
  const isRunning = backup.state === "running";
  const rows = done === null ? null : number.format(done);
  const size = backup.result?.sizeBytes ?? null;
  return (
    <dl className="pgdumpd-details">
      {isRunning && <Detail name={words.table} value={backup.currentTable} />}
      <Detail
        name={words.rows}
        value={rows !== null && expected !== null && isRunning ? words.rowsOf(rows, number.format(expected)) : rows}
      />
      {backup.startedAt !== null && <Detail name={words.elapsed} value={formatSeconds(elapsed)} />}
      <Detail name={words.timeLeft} value={left === null ? null : formatSeconds(left)} />
      <Detail name={words.size} value={size === null ? null : bytes(size, locale)} />
      <Detail name={words.warnings} value={backup.warnings.length > 0 ? number.format(backup.warnings.length) : null} />
    </dl>
  );
}

function Detail({ name, value }: { name: string; value: string | null }): ReactNode {
  if (value === null) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** What the queue and the server say, in their own words, which are English. */
function Notes({ view, backup, words }: PartProps): ReactNode {
  const { error, phase, queuePosition } = backup;
  const failure = view.problem ? { message: view.problem.detail, hint: view.problem.hint ?? null } : error;
  const isLast = error !== null && backup.status === "in_progress" && view.problem === null;
  return (
    <>
      {backup.state === "running" && phase !== null && <p className="pgdumpd-note">{words.phases[phase] ?? phase}</p>}
      {backup.waitsBecause !== null && (
        <p className="pgdumpd-note" lang="en">
          {backup.waitsBecause}
        </p>
      )}
      {queuePosition !== null && queuePosition > 1 && (
        <p className="pgdumpd-note">{words.place(queuePosition >= 20 ? "20+" : String(queuePosition))}</p>
      )}
      {backup.attempt > 1 && backup.status === "in_progress" && (
        <p className="pgdumpd-note">{words.attempt(backup.attempt, backup.maxAttempts)}</p>
      )}
      {failure && (
        <div className="pgdumpd-error">
          {isLast && <p>{words.lastAttempt}</p>}
          <p lang="en">{failure.message}</p>
          {failure.hint && (
            <p className="pgdumpd-hint" lang="en">
              {failure.hint}
            </p>
          )}
        </div>
      )}
      {view.isOffline && <p className="pgdumpd-note">{words.offline}</p>}
      {view.isUnknown && <p className="pgdumpd-note">{words.unknown}</p>}
    </>
  );
}

function bytes(count: number, locale: string): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  const format = { style: "unit", unit: units[power] ?? "byte", maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(locale, format).format(count / 1000 ** power);
}
