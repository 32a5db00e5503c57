-- How often recovery has ended a statement or a session in this database; NULL on a primary server.
SELECT (SELECT sum(confl_tablespace + confl_lock + confl_snapshot + confl_bufferpin + confl_deadlock)::int8
        FROM pg_catalog.pg_stat_database_conflicts
        WHERE datname = pg_catalog.current_database() AND pg_catalog.pg_is_in_recovery()) AS recovery_conflicts
