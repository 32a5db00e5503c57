-- $1 id, $2 target, $3 spec, $4 priority, $5 run_at, $6 idempotency key, $7 attempts, $8 timeout in seconds, $9 metadata,
-- $10 W3C traceparent.
-- A null asks for the default. One row: the job's id, and false where the key found an earlier job.
SELECT job_id, is_new
FROM pgdumpd.enqueue_backup(
    id => $1::uuid,
    target => $2::text,
    spec => $3::jsonb,
    priority => $4::integer,
    run_at => $5::timestamptz,
    idempotency_key => $6::text,
    max_attempts => $7::integer,
    -- Qualified, because the session is the caller's. make_interval is strict: a null stays a null, which is the target's own limit.
    timeout => pg_catalog.make_interval(secs => $8::double precision),
    metadata => $9::jsonb,
    trace_parent => $10::text
)
