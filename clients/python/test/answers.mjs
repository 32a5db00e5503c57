// Prints what @pgdumpd/client answers for the jobs of some ids. Arguments: its compiled folder, a connection string, the ids.
const [folder, connectionString, ...ids] = process.argv.slice(2);
const { backupStatus } = await import(`${folder}/src/index.js`);
const { answerOf, waitingAnswer } = await import(`${folder}/src/answer.js`);
const { createBackupHandlers } = await import(`${folder}/src/next/index.js`);
const { default: pg } = await import(`${folder}/node_modules/pg/esm/index.mjs`);

const pool = new pg.Pool({ connectionString });
const handlers = createBackupHandlers({ pool, authorize: () => ({ allowed: true }) });
const json = async (response) => (await response).json();
const answers = [];
for (const id of ids) answers.push(answerOf(await backupStatus(pool, id)));
console.log(
  JSON.stringify({
    answers,
    waiting: waitingAnswer("temp_123"),
    list: await json(handlers.list(new Request("https://app.example/api/backup?limit=2"), {})),
    monitoring: await json(handlers.monitoring(new Request("https://app.example/api/backup/monitoring"), {})),
    unknown: await json(
      handlers.status(new Request("https://app.example/api/backup/status/x"), {
        params: Promise.resolve({ id: "00000000-0000-4000-8000-000000000000" }),
      }),
    ),
  }),
);
await pool.end();
