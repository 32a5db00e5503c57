SELECT
    -- The owner of one large object that this role may not read.
    (SELECT pg_get_userbyid(object.lomowner)::text
     FROM pg_catalog.pg_largeobject_metadata AS object
     WHERE NOT role.rolsuper
       AND current_setting('lo_compat_privileges') = 'off'
       AND NOT pg_has_role(object.lomowner, 'USAGE')
       AND NOT EXISTS (
           SELECT FROM aclexplode(object.lomacl) AS granted
           WHERE granted.privilege_type = 'SELECT'
             AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE')))
     LIMIT 1) AS foreign_large_object_owner,
    -- pg_dump leaves them out with no more than a warning.
    CASE WHEN role.rolsuper THEN 0
         ELSE (SELECT count(*) FROM pg_catalog.pg_subscription AS subscription
               JOIN pg_catalog.pg_database AS database ON database.oid = subscription.subdbid
               WHERE database.datname = current_database())
    END AS skipped_subscriptions,
    (SELECT count(*) FROM pg_catalog.pg_class
     WHERE relkind IN ('r', 'p') AND relnamespace <> 'pg_catalog'::regnamespace) AS tables,
    -- Locks that the server has room for.
    current_setting('max_locks_per_transaction')::int8
        * (current_setting('max_connections')::int8
           + current_setting('max_prepared_transactions')::int8) AS lock_room,
    pg_is_in_recovery() AS in_recovery
FROM pg_catalog.pg_roles AS role
WHERE role.rolname = current_user
