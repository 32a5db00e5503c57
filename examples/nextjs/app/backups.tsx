"use client";

import { type BackupAnswer, BackupProgress, useBackup, useBackupManager } from "@pgdumpd/client/react";
import { useEffect, useState } from "react";

const TEXTS = {
  en: {
    heading: "Backups",
    target: "Database",
    start: "Back up now",
    none: "No daemon serves a database yet.",
    history: "History",
  },
  "pt-BR": {
    heading: "Backups",
    target: "Banco de dados",
    start: "Fazer backup agora",
    none: "Nenhum serviço atende a um banco de dados ainda.",
    history: "Histórico",
  },
};

export function Backups({ targets, locale }: { targets: string[]; locale: "en" | "pt-BR" }) {
  const { id, setId, isStarting, error, start, cancel, list } = useBackupManager();
  const { backup } = useBackup(id);
  const [target, setTarget] = useState(targets[0]);
  const [history, setHistory] = useState<BackupAnswer[]>([]);
  const texts = TEXTS[locale];
  const status = backup?.status;

  // At first, and when a backup has begun or ended. What runs when the page is loaded goes on being shown.
  useEffect(() => {
    let isCurrent = true;
    list({ limit: 5 }).then(
      ({ backups }) => {
        if (!isCurrent) return;
        setHistory(backups);
        const running = backups.find((one) => one.status === "in_progress");
        if (status === undefined && running) setId(running.id);
      },
      () => {},
    );
    return () => {
      isCurrent = false;
    };
  }, [list, setId, status]);

  return (
    <main lang={locale}>
      <h1>{texts.heading}</h1>
      {targets.length === 0 ? (
        <p>{texts.none}</p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void start({ target });
          }}
        >
          <label>
            {texts.target}
            <select value={target} onChange={(event) => setTarget(event.target.value)}>
              {targets.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          <button type="submit" disabled={isStarting || status === "in_progress"}>
            {texts.start}
          </button>
        </form>
      )}
      {error && (
        <p role="alert">
          {error.message} {error.hint}
        </p>
      )}
      <BackupProgress id={id} locale={locale} onCancel={cancel} />
      {history.length > 0 && (
        <section>
          <h2>{texts.history}</h2>
          <ul>
            {history.map((one) => (
              <li key={one.id}>
                <time dateTime={one.createdAt ?? ""}>{one.createdAt?.slice(0, 19).replace("T", " ")}</time> {one.target}
                : {one.status}
              </li>
            ))}
          </ul>
        </section>
      )}
    </main>
  );
}
