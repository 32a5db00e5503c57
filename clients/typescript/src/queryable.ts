/**
 * A pool, a client or a pooled client of `pg`: whatever runs one statement with parameters.
 *
 * With a client inside a transaction, what the functions of this package do is part of that transaction.
 */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/**
 * Runs a statement whose only column is a JSON text, and returns its rows.
 *
 * The server writes numbers and times into that text, so the result does not depend on the type parsers that an
 * application has set for `pg`.
 */
export async function jsonRows<Row>(db: Queryable, text: string, values: unknown[]): Promise<Row[]> {
  const { rows } = await db.query(text, values);
  return (rows as { json: string }[]).map((row) => JSON.parse(row.json) as Row);
}
