import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import type { ReadableStream as NodeStream } from "node:stream/web";
import type { BackupHandlers } from "../src/next/index.js";

/** The routes of an application at `origin`, called as Next.js calls them. */
export class Server {
  /** Every answer's method, path and status, oldest first. */
  readonly answered: { method: string; path: string; status: number }[] = [];
  /** How many requests are being answered, those of clients that have gone among them. */
  unanswered = 0;
  /** While true, connections are cut instead of answered. */
  isCut = false;
  readonly #server = createServer((incoming, outgoing) => void this.#answer(incoming, outgoing));
  readonly #handlers: BackupHandlers;

  private constructor(handlers: BackupHandlers) {
    this.#handlers = handlers;
  }

  static async start(handlers: BackupHandlers): Promise<Server> {
    const server = new Server(handlers);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts the connections that are open now. */
  cut(): void {
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (this.isCut) {
      incoming.destroy();
      return;
    }
    const method = incoming.method ?? "GET";
    const url = new URL(incoming.url ?? "/", this.origin);
    const gone = new AbortController();
    outgoing.once("close", () => gone.abort());
    const request = new Request(url, {
      method,
      headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)] as [string, string]),
      signal: gone.signal,
      ...(method !== "GET" && { body: Readable.toWeb(incoming) as unknown as ReadableStream, duplex: "half" }),
    } as RequestInit);
    const path = url.pathname.split("/").slice(3);
    const handler = method === "POST" ? this.#handlers.POST : this.#handlers.GET;
    this.unanswered += 1;
    const response = await handler(request, { params: Promise.resolve({ path }) }).finally(() => {
      this.unanswered -= 1;
    });
    this.answered.push({ method, path: path.join("/"), status: response.status });
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body === null) {
      outgoing.end();
      return;
    }
    Readable.fromWeb(response.body as NodeStream)
      .on("error", () => outgoing.destroy())
      .pipe(outgoing);
  }
}
