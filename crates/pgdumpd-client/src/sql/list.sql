-- $1 target, $2 state, $3 label, $4 kind, $5 whose copies (a null takes all), $6 the most rows. Newest first.
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
    lease_expires_at
FROM pgdumpd.backup_status
WHERE ($1::text IS NULL OR target = $1::text)
  AND ($2::text IS NULL OR state = $2::text)
  AND ($3::text IS NULL OR label = $3::text)
  AND ($4::text IS NULL OR kind = $4::text)
  AND ($5::uuid IS NULL OR copy_of = $5::uuid)
-- The id decides between jobs of one instant, so that a list reads the same twice.
ORDER BY created_at DESC, id DESC
LIMIT $6::bigint
