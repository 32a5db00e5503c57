-- Everything of one table that should come back, a line each, in order: the table itself, columns,
-- constraints but foreign keys, indexes, policies, statistics, sequences, and a checksum of its rows.
WITH t AS (SELECT c.*, c.oid::regclass AS self FROM pg_catalog.pg_class AS c WHERE c.oid = $1::regclass),
sequence AS (
    -- Owned, identity, or used by a default.
    SELECT d.objid AS oid FROM pg_catalog.pg_depend AS d JOIN t ON d.refobjid = t.oid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid FROM pg_catalog.pg_attrdef AS a JOIN t ON a.adrelid = t.oid
    JOIN pg_catalog.pg_depend AS d ON d.objid = a.oid AND d.classid = 'pg_attrdef'::regclass
    WHERE d.refclassid = 'pg_class'::regclass
)
SELECT line FROM (
    SELECT 1 AS part, 0 AS at, concat_ws(' | ', 'table', t.self, t.relkind, t.relpersistence, t.relowner::regrole, t.relacl,
        t.relreplident, t.relrowsecurity, t.relforcerowsecurity, t.reloptions, t.reloftype::regtype, am.amname,
        obj_description(t.oid, 'pg_class'), pg_get_partkeydef(t.oid), pg_get_expr(t.relpartbound, t.oid),
        (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = t.oid)) AS line
    FROM t LEFT JOIN pg_catalog.pg_am AS am ON am.oid = t.relam
    UNION ALL
    SELECT 2, a.attnum, concat_ws(' | ', 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
        a.attgenerated, a.attcollation::regcollation, nullif(a.attstattarget, -1), a.attacl, a.attislocal, col_description(t.oid, a.attnum),
        pg_get_expr(d.adbin, d.adrelid))
    FROM t JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid
    LEFT JOIN pg_catalog.pg_attrdef AS d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 3, 0, concat_ws(' | ', 'constraint', k.conname, pg_get_constraintdef(k.oid), k.convalidated, k.conislocal,
        (SELECT p.conname FROM pg_catalog.pg_constraint AS p WHERE p.oid = k.conparentid), obj_description(k.oid, 'pg_constraint'))
    FROM t JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.oid WHERE k.contype NOT IN ('f', 't')
    UNION ALL
    SELECT 4, 0, concat_ws(' | ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisprimary, i.indisclustered, i.indisreplident,
        (SELECT h.inhparent::regclass FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = i.indexrelid), obj_description(i.indexrelid, 'pg_class'),
        -- Not in the index's definition where it is the default one.
        (SELECT string_agg(o.opcnamespace::regnamespace || '.' || o.opcname, ',' ORDER BY k.at)
        FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS k (class, at) JOIN pg_catalog.pg_opclass AS o ON o.oid = k.class))
    FROM t JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
    UNION ALL
    SELECT 5, 0, concat_ws(' | ', 'policy', p.polname, p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, t.oid), obj_description(p.oid, 'pg_policy'))
    FROM t JOIN pg_catalog.pg_policy AS p ON p.polrelid = t.oid
    UNION ALL
    SELECT 6, 0, concat_ws(' | ', 'statistics', pg_get_statisticsobjdef(s.oid), obj_description(s.oid, 'pg_statistic_ext'))
    FROM t JOIN pg_catalog.pg_statistic_ext AS s ON s.stxrelid = t.oid
    UNION ALL
    SELECT 7, 0, concat_ws(' | ', 'sequence', c.oid::regclass, c.relowner::regrole, c.relacl, pg_sequence_last_value(c.oid),
        s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqcycle)
    FROM sequence JOIN pg_catalog.pg_sequence AS s ON s.seqrelid = sequence.oid JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
    UNION ALL
    -- Of a partitioned table, the rows below it.
    SELECT 8, 0, 'rows | ' || query_to_xml(
        format('SELECT count(*), md5(string_agg(r::text, '';'' ORDER BY r::text COLLATE "C")) FROM %s %s AS r',
            CASE t.relkind WHEN 'p' THEN '' ELSE 'ONLY' END, t.self), true, true, '')
    FROM t
) AS lines
ORDER BY part, at, line COLLATE "C"
