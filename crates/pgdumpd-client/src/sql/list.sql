-- $1 target, $2 state, $3 label, $4 kind, $5 whose copies (a null takes all), $6 the most rows, $7 targets, $8 and $9 the
-- job after which the page begins (a null takes all). Newest first.
SELECT
    id,
    target,
    label,
    status,
    state,
    attempt,
    max_attempts,
    rescues,
    priority,
    phase,
    progress,
    message,
    current_table,
    tables_done,
    tables_total,
    rows_done,
    bytes_dumped,
    bytes_stored,
    estimated_end,
    queue_position,
    waits_because,
    elapsed_seconds,
    elapsed,
    last_update,
    cancel_requested_at,
    copies_stored,
    copies_total,
    copies,
    warnings,
    warnings_total,
    error_step,
    error_code,
    error,
    error_hint,
    size_bytes,
    sha256,
    requested_by,
    idempotency_key,
    created_at,
    run_at,
    started_at,
    finished_at,
    kind,
    copy_of,
    copy_to,
    worker_id,
    worker_host,
    lease_expires_at,
    spec,
    metadata,
    rows_expected,
    cancel_requested_by,
    stored_in,
    unserved
FROM pgdumpd.backup_status
WHERE ($1::text IS NULL OR target = $1::text)
  AND ($2::text IS NULL OR state = $2::text)
  AND ($3::text IS NULL OR label = $3::text)
  AND ($4::text IS NULL OR kind = $4::text)
  AND ($5::uuid IS NULL OR copy_of = $5::uuid)
  AND ($7::text[] IS NULL OR target = ANY ($7::text[]))
  AND ($8::timestamptz IS NULL OR (created_at, id) < ($8::timestamptz, $9::uuid))
-- The id decides between jobs of one instant, so that a list reads the same twice.
ORDER BY created_at DESC, id DESC
LIMIT $6::bigint
