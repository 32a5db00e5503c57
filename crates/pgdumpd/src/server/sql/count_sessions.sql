SELECT count(*)
FROM pg_catalog.pg_stat_activity
WHERE application_name = ANY ($1)
  AND usename = session_user
