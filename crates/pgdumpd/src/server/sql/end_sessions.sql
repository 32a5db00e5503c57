SELECT count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(pid))
FROM pg_catalog.pg_stat_activity
WHERE application_name = ANY ($1)
  AND usename = session_user
  AND pid <> pg_catalog.pg_backend_pid()
