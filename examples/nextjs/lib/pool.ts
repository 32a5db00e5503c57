import pg from "pg";

// Next.js loads this file again after each change of it in `npm run dev`; the pool stays.
const kept = globalThis as { backupPool?: pg.Pool };

kept.backupPool ??= new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 5 });

/** The queue, as a role that `pgdumpd migrate --grant-producer ROLE` was run for. */
export const pool: pg.Pool = kept.backupPool;
