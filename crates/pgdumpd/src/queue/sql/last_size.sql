-- How large the newest backup of the target $1 is that was asked for with the filters of the spec $2, whatever its label.
-- Of many that were asked for with others it is not worth while to look for it.
SELECT j.size_bytes, j.bytes_dumped
FROM (SELECT j.spec - 'label' AS filters, j.size_bytes, j.bytes_dumped, j.finished_at
      FROM pgdumpd.backup_jobs AS j
      WHERE j.target = $1 AND j.state = 'succeeded' AND j.kind = 'backup'
      ORDER BY j.finished_at DESC
      LIMIT 100) AS j
WHERE j.filters = $2::jsonb - 'label'
ORDER BY j.finished_at DESC
LIMIT 1
