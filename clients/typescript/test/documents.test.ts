import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Service } from "./service.js";

const repository = join(import.meta.dirname, "../../../..");

/** The blocks of code of docs/APPLICATIONS.md in a language. */
async function blocks(language: string): Promise<string[]> {
  const text = await readFile(join(repository, "docs/APPLICATIONS.md"), "utf8");
  return Array.from(text.matchAll(/^```(\w+)\n(.*?)^```$/gms))
    .filter(([, found]) => found === language)
    .map(([, , code]) => code ?? "");
}

let service: Service;
before(async () => {
  service = await Service.start();
});
after(() => service.stop());

test("the statements of docs/APPLICATIONS.md run as an application", async () => {
  const values: Record<string, unknown> = {
    ...{ target: service.target, id: randomUUID(), user: 7, created_at: "2100-01-01", before: randomUUID() },
  };
  const results = [];
  for (const statement of await blocks("sql")) {
    const given: unknown[] = [];
    const text = statement.replace(/(?<!:):([a-z]\w*)/g, (_, name) => `$${given.push(values[name])}`);
    results.push((await service.pool.query(text, given)).rows);
  }
  const [created, status, cancelled, history] = results;
  assert.equal(results.length, 4);
  assert.deepEqual(created, [{ job_id: values.id, is_new: true }]);
  assert.equal(status?.[0].id, values.id);
  assert.match(cancelled?.[0].cancel_backup, /^(cancelled|cancelling|already_succeeded)$/);
  assert.deepEqual([history?.[0].id, history?.[0].started_by], [values.id, "7"]);
});

test("the routes of docs/APPLICATIONS.md are those of the example, which runs", async () => {
  const [routes] = await blocks("ts");
  assert.equal(routes, await readFile(join(repository, "examples/nextjs/app/api/backup/[[...path]]/route.ts"), "utf8"));
});
