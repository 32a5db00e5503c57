import { answerOf, type BackupAnswer } from "../answer.js";
import { listBackups, type PageKey } from "../list.js";
import type { Queryable } from "../queryable.js";
import type { BackupState } from "../status.js";
import { isUuid } from "../uuid.js";
import { type Allowed, mayUse } from "./access.js";
import { ProblemError } from "./problem.js";

/** What `GET /api/backup` answers: one page of backups, newest first. */
export interface ListAnswer {
  success: true;
  backups: BackupAnswer[];
  /** Give it as `cursor` for the next page; `null` if there is none. */
  next: string | null;
}

const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];

/** Reads the page that the request's parameters name: `target`, `state`, `limit`, `cursor`. */
export async function list(db: Queryable, request: Request, identity: Allowed): Promise<ListAnswer> {
  const parameters = new URL(request.url).searchParams;
  const targets = parameters.has("target")
    ? parameters.getAll("target").filter((target) => mayUse(identity, target))
    : identity.targets;
  const state = parameters.get("state");
  if (state !== null && !STATES.includes(state)) throw malformed("`state`", STATES.join(", "));
  const limit = Number(parameters.get("limit") ?? 20);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw malformed("`limit`", "1 to 100");
  const cursor = parameters.get("cursor");
  const page = await listBackups(db, {
    limit,
    ...(targets !== undefined && { targets }),
    ...(state !== null && { state: state as BackupState }),
    ...(cursor !== null && { after: pageKey(cursor) }),
  });
  return { success: true, backups: page.backups.map(answerOf), next: page.next && cursorOf(page.next) };
}

function malformed(name: string, allowed: string): ProblemError {
  return new ProblemError("malformed-request", `${name} is not ${allowed}`);
}

function cursorOf({ createdAt, id }: PageKey): string {
  return Buffer.from(`${createdAt} ${id}`).toString("base64url");
}

function pageKey(cursor: string): PageKey {
  const [createdAt = "", id = ""] = Buffer.from(cursor, "base64url").toString().split(" ");
  if (!/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(createdAt) || !isUuid(id)) throw malformed("`cursor`", "of an earlier page");
  return { createdAt, id };
}
