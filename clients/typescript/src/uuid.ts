const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether a text can be a job's id: a UUID as PostgreSQL writes it, in either case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}
