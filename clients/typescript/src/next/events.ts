import { answerOf, timelessText, waitingAnswer } from "../answer.js";
import { type BackupStatus, hasEnded } from "../status.js";
import type { StatusFeed } from "./feed.js";

const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-store, no-transform",
  // Or nginx keeps events back until it has a page of them.
  "X-Accel-Buffering": "no",
};

/** After how many milliseconds a browser connects again. */
const RETRY = "retry: 1000\n";
/** How often a silent stream says that it is alive, so that no proxy closes it. */
const COMMENT_MILLISECONDS = 15_000;
/** How far a reader may be behind before states are left out. */
const UNREAD_CHUNKS = 16;
/** After this a stream ends, and the browser opens another one, for which the application is asked again. */
const LONGEST_STREAM_MILLISECONDS = 300_000;

/** Each is the whole state, so one that was missed is no loss. */
function event(id: number | undefined, name: string | undefined, data: unknown): string {
  const lines = [
    id !== undefined && `id: ${id}`,
    name !== undefined && `event: ${name}`,
    `data: ${JSON.stringify(data)}`,
  ];
  return `${lines.filter(Boolean).join("\n")}\n\n`;
}

/** The events of an id that has no job yet: one, after which the browser asks again. */
export function waitingEvents(id: string): Response {
  return new Response(RETRY + event(undefined, undefined, waitingAnswer(id)), { headers: HEADERS });
}

/** Whether a stream that had this event is at its end: nothing more will come. */
export function isAtEnd(status: BackupStatus, lastEventId: number): boolean {
  return hasEnded(status) && lastEventId >= microseconds(status.lastUpdate);
}

/** The events of a job from now on: `status` first, then each change, and `end` when it has ended. */
export function statusEvents(
  feed: StatusFeed,
  status: BackupStatus,
  { lastEventId, signal, onClose }: { lastEventId: number; signal: AbortSignal; onClose: () => void },
): Response {
  let close: () => void = onClose;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const stream = new EventStream(controller, lastEventId);
        const stop = feed.follow(status.id, (next) => {
          if (next) stream.send(next);
          if (!next || hasEnded(next)) close();
        });
        const comments = setInterval(() => stream.comment(), COMMENT_MILLISECONDS);
        const longest = setTimeout(() => close(), LONGEST_STREAM_MILLISECONDS);
        const aborted = () => close();
        signal.addEventListener("abort", aborted);
        let isClosed = false;
        close = () => {
          if (isClosed) return;
          isClosed = true;
          stop();
          clearInterval(comments);
          clearTimeout(longest);
          signal.removeEventListener("abort", aborted);
          stream.close();
          onClose();
        };
        stream.begin();
        stream.send(status);
        if (hasEnded(status) || signal.aborted) close();
      },
      cancel() {
        close();
      },
    },
    { highWaterMark: UNREAD_CHUNKS },
  );
  return new Response(body, { headers: HEADERS });
}

/** Writes states into a stream: each once, and none while its reader does not read. */
class EventStream {
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #encoder = new TextEncoder();
  #id: number;
  #sent: string | undefined;

  constructor(controller: ReadableStreamDefaultController<Uint8Array>, lastEventId: number) {
    this.#controller = controller;
    this.#id = lastEventId;
  }

  begin(): void {
    this.#write(RETRY);
  }

  send(status: BackupStatus): void {
    const answer = answerOf(status);
    const text = timelessText(answer);
    const isEnd = hasEnded(status);
    // A reader that is behind gets a later state instead of this one, but never misses the end.
    if (text === this.#sent || ((this.#controller.desiredSize ?? 0) <= 0 && !isEnd)) return;
    this.#sent = text;
    // Grows with the row. What changes without it, such as the place in the queue, needs an id of its own.
    this.#id = Math.max(microseconds(status.lastUpdate), this.#id + 1);
    this.#write(event(this.#id, isEnd ? "end" : undefined, answer));
  }

  comment(): void {
    this.#write(": still here\n\n");
  }

  close(): void {
    try {
      this.#controller.close();
    } catch {
      // Its reader has closed it.
    }
  }

  #write(text: string): void {
    try {
      this.#controller.enqueue(this.#encoder.encode(text));
    } catch {
      // Its reader has closed it; `cancel` follows.
    }
  }
}

/** A time of the server as a number that no float rounds before the year 2255. */
function microseconds(time: string): number {
  return Date.parse(`${time.slice(0, 19)}Z`) * 1000 + Number(time.slice(20, 26));
}
