import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { answerOf, type BackupAnswer, waitingAnswer } from "../answer.js";
import { type BackupSpec, enqueueBackup, specJson } from "../enqueue.js";
import type { Queryable } from "../queryable.js";
import { type BackupStatus, backupStatus } from "../status.js";
import { isUuid } from "../uuid.js";
import { type Allowed, mayUse } from "./access.js";
import { ProblemError } from "./problem.js";

/** What `POST …/create` takes. */
export interface CreateBody {
  /** May be left out by whoever may use exactly one. */
  target?: string;
  /** A UUID of the asker's choice; the same again is the same backup. */
  id?: string;
  label?: string;
  spec?: BackupSpec;
}

/** A body has a target, a label and some patterns; the queue takes 16 kB of the latter. */
const LARGEST_BODY = 64 * 1024;
const KEYS = ["target", "id", "label", "spec"];

/** Enqueues what a request asks for. */
export async function create(db: Queryable, request: Request, identity: Allowed): Promise<BackupAnswer> {
  const body = await readBody(request);
  const target = body.target ?? (identity.targets?.length === 1 ? identity.targets[0] : undefined);
  if (target === undefined) throw new ProblemError("invalid-request", "`target` is missing");
  if (!mayUse(identity, target)) throw new ProblemError("forbidden", `you may not back up ${JSON.stringify(target)}`);
  const id = jobId(request, body, identity);
  const enqueued = await enqueueBackup(db, {
    target,
    id,
    ...(body.label !== undefined && { label: body.label }),
    ...(body.spec !== undefined && { spec: body.spec }),
    ...(identity.metadata !== undefined && { metadata: identity.metadata }),
    ...traceOf(request),
  });
  // What was accepted stays accepted, also if it cannot be read now.
  const status = await backupStatus(db, id).catch(() => null);
  if (!enqueued.isNew && status && !isSameRequest(status, body)) {
    throw new ProblemError(
      "idempotency-mismatch",
      "the id or the Idempotency-Key belongs to a request with another body",
      "Choose a new one for a new backup.",
    );
  }
  return status ? answerOf(status) : { ...waitingAnswer(id), target };
}

/** Of its trace, if it names one: a header that is none is left out, as W3C Trace Context wants it. */
function traceOf(request: Request): { traceParent?: string } {
  const traceParent = request.headers.get("traceparent") ?? "";
  const isOne = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceParent);
  return isOne ? { traceParent } : {};
}

/** The target is the same already: the queue refuses another one's id. */
function isSameRequest(earlier: BackupStatus, body: CreateBody): boolean {
  return earlier.kind === "backup" && isDeepStrictEqual(earlier.spec, specJson(body));
}

async function readBody(request: Request): Promise<CreateBody> {
  const text = await readText(request);
  let body: unknown;
  try {
    body = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw new ProblemError("malformed-request", "the body is not JSON");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ProblemError("malformed-request", "the body is not a JSON object");
  }
  for (const [key, value] of Object.entries(body)) {
    if (!KEYS.includes(key)) throw new ProblemError("invalid-request", `unknown key ${JSON.stringify(key)}`);
    const isRight = key === "spec" ? typeof value === "object" && value !== null : typeof value === "string";
    if (!isRight) {
      throw new ProblemError("invalid-request", `\`${key}\` is not ${key === "spec" ? "an object" : "a string"}`);
    }
  }
  return body as CreateBody;
}

/** Reads no more of a body than is allowed, whatever its length was said to be. */
async function readText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > LARGEST_BODY) throw new ProblemError("too-large", `the body has more than ${LARGEST_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The asker's own id, one that follows from its key, or a random one. */
function jobId(request: Request, { id }: CreateBody, { user = "" }: Allowed): string {
  const key = request.headers.get("Idempotency-Key");
  if (id !== undefined) {
    if (key !== null) throw new ProblemError("invalid-request", "give either `id` or Idempotency-Key");
    if (!isUuid(id)) throw new ProblemError("invalid-request", "`id` is not a UUID");
    return id.toLowerCase();
  }
  if (key === null) return globalThis.crypto.randomUUID();
  if (key.length === 0 || key.length > 255) {
    throw new ProblemError("invalid-request", "Idempotency-Key does not have 1 to 255 characters");
  }
  return idOfKey(user, key);
}

/** The same id for the same user and key, so that the queue itself finds the earlier job, also one of another target. */
function idOfKey(user: string, key: string): string {
  const hash = createHash("sha256")
    .update(JSON.stringify(["pgdumpd", user, key]))
    .digest();
  // A UUID of version 8, RFC 9562: whatever its maker wants.
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
