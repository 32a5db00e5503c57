-- $1 id. One word: cancelled, cancelling, already_succeeded, already_failed, already_cancelled, not_found.
SELECT pgdumpd.cancel_backup($1::uuid)
