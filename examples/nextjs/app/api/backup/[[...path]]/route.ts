import { createBackupHandlers } from "@pgdumpd/client/next";
import { pool } from "@/lib/pool";

export const { GET, POST } = createBackupHandlers({
  pool,
  // Your application's own session goes here. This example has no users, so it asks nobody.
  authorize: () => ({ allowed: true, metadata: { from: "examples/nextjs" } }),
});
