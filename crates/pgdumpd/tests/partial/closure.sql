-- What a table needs and pg_dump records no dependency of: the indexes behind keys and exclusions, and the texts of
-- functions. role_ stands for a role that the test makes.

CREATE SCHEMA s;
CREATE SCHEMA o;
CREATE SCHEMA "odd.schema";
CREATE EXTENSION btree_gist SCHEMA o;
CREATE EXTENSION citext SCHEMA s;
CREATE EXTENSION hstore SCHEMA o;
CREATE EXTENSION unaccent;

CREATE FUNCTION o.f(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE COLLATION s.bytes (LOCALE = 'C');
CREATE DOMAIN s.short AS text COLLATE s.bytes DEFAULT 'x' CHECK (length(value) < 100);
CREATE FUNCTION o.good(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 <> ''bad''; END';
ALTER DOMAIN s.short ADD CONSTRAINT good CHECK (o.good(value));
COMMENT ON CONSTRAINT good ON DOMAIN s.short IS 'c';

-- A type with its own default operator class: it compares x alone
CREATE TYPE s.pair AS (x integer, y integer);
CREATE FUNCTION s.pair_cmp(s.pair, s.pair) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT sign($1.x - $2.x)::integer';
CREATE FUNCTION s.pair_lt(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x < $2.x';
CREATE FUNCTION s.pair_le(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x <= $2.x';
CREATE FUNCTION s.pair_eq(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x = $2.x';
CREATE FUNCTION s.pair_ge(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x >= $2.x';
CREATE FUNCTION s.pair_gt(s.pair, s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x > $2.x';
CREATE OPERATOR s.<< (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_lt, COMMUTATOR = OPERATOR(s.>>));
CREATE OPERATOR s.<<= (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_le);
CREATE OPERATOR s.=== (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_eq);
CREATE OPERATOR s.>>= (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_ge);
CREATE OPERATOR s.>> (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.pair_gt, COMMUTATOR = OPERATOR(s.<<));
CREATE OPERATOR CLASS s.pair_ops DEFAULT FOR TYPE s.pair USING btree AS
    OPERATOR 1 s.<<, OPERATOR 2 s.<<=, OPERATOR 3 s.===, OPERATOR 4 s.>>=, OPERATOR 5 s.>>, FUNCTION 1 s.pair_cmp(s.pair, s.pair);
CREATE FUNCTION s.pair_hash(s.pair, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1.x::bigint + $2';
CREATE OPERATOR CLASS s.pair_hash_ops FOR TYPE s.pair USING hash AS OPERATOR 1 s.===, FUNCTION 2 s.pair_hash(s.pair, bigint);
CREATE DOMAIN s.pair_domain AS s.pair;

-- The same names of another type, with an operator class that is not its default
CREATE TYPE s.other AS (x integer, y integer);
CREATE FUNCTION s.other_cmp(s.other, s.other) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT sign($1.x - $2.x)::integer';
CREATE FUNCTION s.other_lt(s.other, s.other) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x < $2.x';
CREATE FUNCTION s.other_le(s.other, s.other) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x <= $2.x';
CREATE FUNCTION s.other_eq(s.other, s.other) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x = $2.x';
CREATE FUNCTION s.other_ge(s.other, s.other) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x >= $2.x';
CREATE FUNCTION s.other_gt(s.other, s.other) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.x > $2.x';
CREATE OPERATOR s.<< (LEFTARG = s.other, RIGHTARG = s.other, FUNCTION = s.other_lt);
CREATE OPERATOR s.<<= (LEFTARG = s.other, RIGHTARG = s.other, FUNCTION = s.other_le);
CREATE OPERATOR s.=== (LEFTARG = s.other, RIGHTARG = s.other, FUNCTION = s.other_eq, COMMUTATOR = OPERATOR(s.===));
CREATE OPERATOR s.>>= (LEFTARG = s.other, RIGHTARG = s.other, FUNCTION = s.other_ge);
CREATE OPERATOR s.>> (LEFTARG = s.other, RIGHTARG = s.other, FUNCTION = s.other_gt);
CREATE OPERATOR CLASS s.other_ops FOR TYPE s.other USING btree AS
    OPERATOR 1 s.<<, OPERATOR 2 s.<<=, OPERATOR 3 s.===, OPERATOR 4 s.>>=, OPERATOR 5 s.>>, FUNCTION 1 s.other_cmp(s.other, s.other);

-- An enum, and a type of PostgreSQL's, with operator classes of their own
CREATE TYPE s.size AS ENUM ('small', 'large');
CREATE FUNCTION o.size_cmp(s.size, s.size) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'enum_cmp';
CREATE FUNCTION o.size_lt(s.size, s.size) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'enum_lt';
CREATE FUNCTION o.size_le(s.size, s.size) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'enum_le';
CREATE FUNCTION o.size_eq(s.size, s.size) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'enum_eq';
CREATE FUNCTION o.size_ge(s.size, s.size) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'enum_ge';
CREATE FUNCTION o.size_gt(s.size, s.size) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'enum_gt';
CREATE OPERATOR o.< (LEFTARG = s.size, RIGHTARG = s.size, FUNCTION = o.size_lt);
CREATE OPERATOR o.<= (LEFTARG = s.size, RIGHTARG = s.size, FUNCTION = o.size_le);
CREATE OPERATOR o.= (LEFTARG = s.size, RIGHTARG = s.size, FUNCTION = o.size_eq, COMMUTATOR = OPERATOR(o.=));
CREATE OPERATOR o.>= (LEFTARG = s.size, RIGHTARG = s.size, FUNCTION = o.size_ge);
CREATE OPERATOR o.> (LEFTARG = s.size, RIGHTARG = s.size, FUNCTION = o.size_gt);
CREATE OPERATOR CLASS o.size_ops DEFAULT FOR TYPE s.size USING btree AS
    OPERATOR 1 o.<, OPERATOR 2 o.<=, OPERATOR 3 o.=, OPERATOR 4 o.>=, OPERATOR 5 o.>, FUNCTION 1 o.size_cmp(s.size, s.size);
CREATE FUNCTION o.json_cmp(json, json) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT bttextcmp($1::text, $2::text)';
CREATE FUNCTION o.json_lt(json, json) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text < $2::text';
CREATE FUNCTION o.json_le(json, json) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text <= $2::text';
CREATE FUNCTION o.json_eq(json, json) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text = $2::text';
CREATE FUNCTION o.json_ge(json, json) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text >= $2::text';
CREATE FUNCTION o.json_gt(json, json) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text > $2::text';
CREATE OPERATOR o.< (LEFTARG = json, RIGHTARG = json, FUNCTION = o.json_lt);
CREATE OPERATOR o.<= (LEFTARG = json, RIGHTARG = json, FUNCTION = o.json_le);
CREATE OPERATOR o.= (LEFTARG = json, RIGHTARG = json, FUNCTION = o.json_eq, COMMUTATOR = OPERATOR(o.=));
CREATE OPERATOR o.>= (LEFTARG = json, RIGHTARG = json, FUNCTION = o.json_ge);
CREATE OPERATOR o.> (LEFTARG = json, RIGHTARG = json, FUNCTION = o.json_gt);
CREATE OPERATOR CLASS o.json_ops DEFAULT FOR TYPE json USING btree AS
    OPERATOR 1 o.<, OPERATOR 2 o.<=, OPERATOR 3 o.=, OPERATOR 4 o.>=, OPERATOR 5 o.>, FUNCTION 1 o.json_cmp(json, json);

-- Keys and exclusions
CREATE TABLE s.key_of_pair (p s.pair PRIMARY KEY);
INSERT INTO s.key_of_pair VALUES ((1, 2)), ((3, 4));
CREATE TABLE s.key_of_domain (p s.pair_domain UNIQUE, a s.pair[] UNIQUE);
INSERT INTO s.key_of_domain VALUES ((1, 2), '{"(1,2)"}');
CREATE TABLE s.key_of_enum (e s.size PRIMARY KEY);
INSERT INTO s.key_of_enum VALUES ('small');
CREATE TABLE s.key_of_json (j json PRIMARY KEY);
INSERT INTO s.key_of_json VALUES ('{}');
CREATE TABLE s.key_of_citext (c s.citext PRIMARY KEY, UNIQUE (c));
INSERT INTO s.key_of_citext VALUES ('Q');
CREATE TABLE s.parent (p s.pair, j json);
CREATE TABLE s.key_of_child (own integer, PRIMARY KEY (p, j)) INHERITS (s.parent);
INSERT INTO s.key_of_child VALUES ((1, 2), '1', 3);
CREATE TABLE s.key_of_typed OF s.pair (PRIMARY KEY (x));
INSERT INTO s.key_of_typed VALUES (1, 2);
ALTER TABLE s.key_of_typed REPLICA IDENTITY USING INDEX key_of_typed_pkey;
ALTER TABLE s.key_of_typed CLUSTER ON key_of_typed_pkey;
COMMENT ON CONSTRAINT key_of_typed_pkey ON s.key_of_typed IS 'pk';
CREATE TABLE s.booking (room integer, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO s.booking VALUES (1, '[2020-01-01,2020-01-02]');
CREATE TABLE s.booking_of_citext (c s.citext, r int4range, h o.hstore, EXCLUDE USING gist (c o.gist_text_ops WITH =, r WITH &&));
CREATE TABLE s.booking_of_enum (e s.size, r int4range, EXCLUDE USING gist (e WITH =, r WITH &&));
INSERT INTO s.booking_of_enum VALUES ('small', '[1,2]');
CREATE TABLE s.excluded_class (p s.other, EXCLUDE USING btree (p s.other_ops WITH OPERATOR(s.===)));
INSERT INTO s.excluded_class VALUES ((1, 1));
CREATE TABLE s.excluded_function (a integer, EXCLUDE USING btree ((o.f(a)) WITH =));
INSERT INTO s.excluded_function VALUES (1);
CREATE TABLE s.excluded_predicate (a integer, EXCLUDE USING btree (a WITH =) WHERE (o.f(a) > 0));
INSERT INTO s.excluded_predicate VALUES (1);
CREATE TABLE s.excluded_collation (t text, EXCLUDE USING btree (t COLLATE s.bytes WITH =));
INSERT INTO s.excluded_collation VALUES ('q');
CREATE FUNCTION s."odd (fn) ""x"" '$$'"(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE "odd.schema"."tab le" ("path.x" integer, path integer UNIQUE, EXCLUDE USING btree ((s."odd (fn) ""x"" '$$'"("path.x")) WITH =));
INSERT INTO "odd.schema"."tab le" VALUES (1, 2);

-- Indexes
CREATE TABLE s.index_of_pair (p s.pair);
INSERT INTO s.index_of_pair VALUES ((1, 2)), ((3, 4));
CREATE INDEX index_of_pair_p ON s.index_of_pair USING btree (p s.pair_ops);
CREATE TABLE s.index_of_collation (t text);
CREATE UNIQUE INDEX ON s.index_of_collation (t COLLATE s.bytes);
CREATE TABLE s.index_of_gist (i integer);
CREATE INDEX ON s.index_of_gist USING gist (i o.gist_int4_ops);
CREATE INDEX ON s.index_of_gist USING gist (i);
CREATE TABLE s.hashed (p s.pair) PARTITION BY HASH (p s.pair_hash_ops);
CREATE TABLE s.hashed_0 PARTITION OF s.hashed FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO s.hashed VALUES ((1, 1));
CREATE TABLE s.with_statistics (a integer, b s.pair, j json);
CREATE STATISTICS s.statistics_of_it (ndistinct) ON (o.f(a)), b, j FROM s.with_statistics;
COMMENT ON STATISTICS s.statistics_of_it IS 'x';

-- Functions whose text names an operator
CREATE FUNCTION s.calls_operator(s.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 OPERATOR(s.===) row(1, 2)::s.pair';
CREATE TABLE s.text_operator (p s.pair);
INSERT INTO s.text_operator VALUES ((1, 2));
CREATE INDEX ON s.text_operator (s.calls_operator(p));
CREATE OPERATOR o.@-@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4mul);
CREATE FUNCTION s.writes_operator(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE SET search_path = o AS 'BEGIN RETURN $1 @-@ 2; END';
CREATE TABLE s.text_plain_operator (a integer CHECK (s.writes_operator(a) > 0));
INSERT INTO s.text_plain_operator VALUES (1);

-- A view, a materialized view, a table
CREATE TABLE s.lookup (k integer, v integer);
INSERT INTO s.lookup VALUES (1, 1);
CREATE VIEW s.view AS SELECT * FROM s.lookup;
CREATE VIEW s."vi""ew - $$" AS SELECT * FROM s.lookup;
CREATE FUNCTION s.reads_view(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT coalesce((SELECT v FROM s.view WHERE k = $1), 0)';
CREATE TABLE s.text_view (a integer);
INSERT INTO s.text_view VALUES (1);
CREATE INDEX ON s.text_view (s.reads_view(a));
CREATE FUNCTION s.reads_odd_view(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE SET search_path = s
    AS $f$ DECLARE n integer; BEGIN EXECUTE 'SELECT count(*) FROM "vi""ew - $$"' INTO n; RETURN n + $1; END $f$;
CREATE TABLE s.text_odd_view (a integer CHECK (s.reads_odd_view(a) >= 0));
INSERT INTO s.text_odd_view VALUES (1);
CREATE FUNCTION s.reads_table(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT coalesce((SELECT v FROM s.lookup WHERE k = $1), 0)';
CREATE TABLE s.text_table (a integer);
INSERT INTO s.text_table VALUES (1);
CREATE INDEX ON s.text_table (s.reads_table(a));
CREATE MATERIALIZED VIEW s.stored AS SELECT 1 AS k, 2 AS v;
CREATE FUNCTION s.reads_stored(integer) RETURNS integer LANGUAGE sql STABLE AS 'SELECT v FROM s.stored WHERE k = $1';
CREATE TABLE s.text_stored (a integer, b integer DEFAULT s.reads_stored(1));
INSERT INTO s.text_stored (a) VALUES (1);

-- Names that must be quoted, also in strings in strings, and in unicode
CREATE FUNCTION s."my func"(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION s."Größe-a.b"(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION s.datą(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION s.calls_quoted(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT s."my func"($1) + s.U&"Gr\00F6\00DFe-a.b"($1)';
CREATE TABLE s.text_quoted (a integer CHECK (s.calls_quoted(a) > 0));
INSERT INTO s.text_quoted VALUES (1);
CREATE FUNCTION s.executes(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $do$
    -- Isn't "this a comment?
    DECLARE n integer;
    BEGIN
        EXECUTE $x$ SELECT s."odd (fn) ""x"" '$$'"($1) $x$ || E' + s.\"Gr\u00f6\u00dfe-a.b\"($1)' || format(' + s.%I(1)', 'datą') INTO n USING $1;
        RETURN n;
    END $do$;
CREATE TABLE s.text_executed (a integer CHECK (s.executes(a) > 0));
INSERT INTO s.text_executed VALUES (1);

-- Casts, aggregates, overloads, search paths, default arguments, extensions, in texts
CREATE FUNCTION s.to_size(integer) RETURNS s.size LANGUAGE sql IMMUTABLE AS 'SELECT CASE $1 WHEN 1 THEN ''small''::s.size ELSE ''large'' END';
CREATE CAST (integer AS s.size) WITH FUNCTION s.to_size(integer) AS ASSIGNMENT;
CREATE FUNCTION s.casts(integer) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::s.size::text';
CREATE TABLE s.text_cast (a integer, CHECK (s.casts(a) IS NOT NULL));
INSERT INTO s.text_cast VALUES (1);
CREATE TABLE s.default_cast (e s.size DEFAULT 1::s.size);
INSERT INTO s.default_cast DEFAULT VALUES;
CREATE TABLE s.excluded_cast (a integer, EXCLUDE USING btree ((a::s.size) WITH OPERATOR(o.=)));
INSERT INTO s.excluded_cast VALUES (1);
CREATE FUNCTION s.sum_of_two(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE AGGREGATE s.total(integer) (SFUNC = s.sum_of_two, STYPE = integer, INITCOND = 0);
CREATE FUNCTION s.aggregates(integer[]) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT s.total(x) FROM unnest($1) x';
CREATE TABLE s.text_aggregate (a integer[]);
INSERT INTO s.text_aggregate VALUES ('{1,2}');
CREATE INDEX ON s.text_aggregate (s.aggregates(a));
CREATE FUNCTION o.g(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION o.g(integer) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE FUNCTION s.calls_overloaded(integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN o.g($1); END';
CREATE TABLE s.text_overloaded (a integer);
INSERT INTO s.text_overloaded VALUES (1);
CREATE INDEX ON s.text_overloaded (s.calls_overloaded(a));
CREATE FUNCTION s.has_path(integer) RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = o AS 'SELECT F($1)';
CREATE TABLE s.text_path (a integer CHECK (s.has_path(a) > 0));
INSERT INTO s.text_path VALUES (1);
CREATE FUNCTION s.has_default(s.size DEFAULT 'small') RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE TABLE s.default_argument (a text DEFAULT s.has_default());
INSERT INTO s.default_argument DEFAULT VALUES;
CREATE FUNCTION s.uses_hstore(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ($1::o.hstore) OPERATOR(o.->) ''a''';
CREATE TABLE s.text_extension (t text);
INSERT INTO s.text_extension VALUES ('a=>1');
CREATE INDEX ON s.text_extension (s.uses_hstore(t));

-- What pg_dump does record
CREATE TABLE s.identity (id integer GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME s.odd_sequence INCREMENT 7), v s.short);
INSERT INTO s.identity (v) VALUES ('a'), ('b');
CREATE TABLE s.generated (a integer, b integer GENERATED ALWAYS AS (o.f(a)) STORED);
INSERT INTO s.generated VALUES (1);
CREATE FUNCTION s.parsed(integer) RETURNS integer LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT coalesce((SELECT v FROM s.view WHERE k = $1), 0); END;
CREATE TABLE s.parsed_body (a integer CHECK (s.parsed(a) >= 0));
INSERT INTO s.parsed_body VALUES (1);
CREATE FUNCTION s.difference(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE TYPE s.span AS RANGE (subtype = float8, subtype_diff = s.difference);
CREATE TYPE s.span_of_pairs AS RANGE (subtype = s.pair, subtype_opclass = s.pair_ops);
CREATE TABLE s.ranges (r s.span, m s.span_multirange, p s.span_of_pairs, EXCLUDE USING gist (r WITH &&), EXCLUDE USING gist (m WITH &&), UNIQUE (p));
INSERT INTO s.ranges VALUES ('[1,2]', '{[1,2]}', '["(1,2)","(3,4)"]');
CREATE INDEX ON s.ranges USING gist (r);
CREATE TEXT SEARCH CONFIGURATION s.words (COPY = simple);
CREATE TABLE s.searched (t text, v tsvector GENERATED ALWAYS AS (to_tsvector('s.words', t)) STORED);
INSERT INTO s.searched VALUES ('x');
CREATE FUNCTION s.searches(text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN to_tsvector(''s.words'', $1); END';
CREATE INDEX ON s.searched USING gin (s.searches(t));
CREATE TABLE s.log (a integer, b text, PRIMARY KEY (a)) PARTITION BY RANGE (a);
CREATE TABLE s.log_1 PARTITION OF s.log FOR VALUES FROM (1) TO (10);
CREATE TABLE s.log_2 PARTITION OF s.log FOR VALUES FROM (10) TO (20) PARTITION BY LIST (a);
CREATE TABLE s.log_2_11 PARTITION OF s.log_2 FOR VALUES IN (11);
CREATE TABLE s.log_2_rest PARTITION OF s.log_2 DEFAULT;
INSERT INTO s.log SELECT n, 'x' FROM generate_series(1, 19) AS n;
CREATE INDEX log_b ON s.log (b);
COMMENT ON INDEX s.log_b IS 'i';
CREATE TABLE s.by_function (a integer) PARTITION BY RANGE ((o.f(a)));
CREATE TABLE s.by_function_1 PARTITION OF s.by_function FOR VALUES FROM (0) TO (100);
INSERT INTO s.by_function VALUES (1);
CREATE TABLE s.serial_of_another (id serial);
CREATE TABLE s.default_of_another (id integer DEFAULT nextval('s.serial_of_another_id_seq'));
INSERT INTO s.default_of_another DEFAULT VALUES;
CREATE FUNCTION s.may() RETURNS boolean STABLE LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM s.view)';
CREATE TABLE s.secured (a integer);
ALTER TABLE s.secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON s.secured TO role_ USING (s.may() AND a IN (SELECT k FROM s.lookup));
COMMENT ON POLICY p ON s.secured IS 'p';
INSERT INTO s.secured VALUES (1);
GRANT SELECT (a) ON s.secured TO role_;
GRANT USAGE ON SCHEMA s TO role_;
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE s.in_heap_too (a integer) USING heap_too;
INSERT INTO s.in_heap_too VALUES (1);
CREATE TABLE s.no_columns ();
INSERT INTO s.no_columns DEFAULT VALUES;
CREATE TABLE s.not_valid (a integer);
INSERT INTO s.not_valid VALUES (-1);
ALTER TABLE s.not_valid ADD CONSTRAINT not_valid CHECK (o.f(a) > 100) NOT VALID;
CREATE TABLE s.inside (a integer, b s.short);
CREATE TABLE s.rows (r s.inside, ra s.inside[], v s.view);
INSERT INTO s.rows VALUES ((1, 'q'), NULL, (1, 2));
CREATE TABLE s.refers (a integer REFERENCES s.log (a));
INSERT INTO s.refers VALUES (1);
CREATE TABLE s.mixed (a integer) PARTITION BY LIST (a);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE s.mixed_1 PARTITION OF s.mixed FOR VALUES IN (1) SERVER files OPTIONS (filename '/dev/null');
CREATE TABLE s.mixed_2 PARTITION OF s.mixed FOR VALUES IN (2);
INSERT INTO s.mixed VALUES (2);
CREATE FUNCTION s.reads_foreign() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM s.mixed_1';
CREATE TABLE s.default_of_foreign (a bigint DEFAULT s.reads_foreign());
INSERT INTO s.default_of_foreign VALUES (1);

-- Tables that functions read: they come along empty as a row's type or below a view, or not at all
CREATE TABLE s.a_lookup (k integer, v integer);
INSERT INTO s.a_lookup VALUES (1, 7);
CREATE VIEW s.a_view AS SELECT * FROM s.a_lookup;
CREATE FUNCTION s.rate(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT coalesce((SELECT v FROM s.a_lookup WHERE k = $1), 0)';
CREATE TABLE s.reads_row (a integer, l s.a_lookup, g integer GENERATED ALWAYS AS (s.rate(a)) STORED);
INSERT INTO s.reads_row VALUES (1);
CREATE FUNCTION s.rate_by_view(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN RETURN coalesce((SELECT v FROM s.a_view WHERE k = $1), 0); END';
CREATE TABLE s.reads_by_view (a integer, g integer GENERATED ALWAYS AS (s.rate_by_view(a)) STORED);
INSERT INTO s.reads_by_view VALUES (1);
CREATE FUNCTION s.rate_parsed(integer) RETURNS integer LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC SELECT coalesce((SELECT v FROM s.a_view WHERE k = $1), 0); END;
CREATE TABLE s.reads_parsed (a integer, g integer GENERATED ALWAYS AS (s.rate_parsed(a)) STORED);
INSERT INTO s.reads_parsed VALUES (1);
CREATE FUNCTION s.rate_of(language text) RETURNS integer LANGUAGE sql IMMUTABLE
    AS 'SELECT coalesce((SELECT v FROM s.a_lookup WHERE k = length($1)), 0)';
CREATE TABLE s.reads_language (t text, g integer GENERATED ALWAYS AS (s.rate_of(t)) STORED);
INSERT INTO s.reads_language VALUES ('q');
CREATE FUNCTION s.rate_in_list(integer) RETURNS integer LANGUAGE sql IMMUTABLE SET search_path = s
    AS 'WITH a_view AS (SELECT * FROM a_view) SELECT coalesce((SELECT l.v FROM (VALUES ($1)) AS x (k), a_view AS l WHERE l.k = x.k), 0)';
CREATE TABLE s.reads_list (a integer, g integer GENERATED ALWAYS AS (s.rate_in_list(a)) STORED);
INSERT INTO s.reads_list VALUES (1);

-- A cast that depends on nothing, names in constants, and large objects
CREATE CAST (bigint AS json) WITH INOUT;
CREATE FUNCTION s.casts_plain(bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1::json::text; END';
CREATE TABLE s.text_plain_cast (a bigint, g text GENERATED ALWAYS AS (s.casts_plain(a)) STORED);
INSERT INTO s.text_plain_cast VALUES (1);
CREATE SEQUENCE s.old START 40;
CREATE TEXT SEARCH CONFIGURATION s.old_words (COPY = simple);
CREATE TABLE s.constants (
    a bigint DEFAULT nextval(('s.old'::text)::regclass),
    t text CHECK (to_tsvector(('s.old_words'::text)::regconfig, t) IS NOT NULL)
);
INSERT INTO s.constants (t) VALUES ('x');
CREATE TABLE s.of_objects (o oid);
INSERT INTO s.of_objects VALUES (lo_create(4711));

-- The same names in each of several schemas
CREATE SCHEMA t1;
CREATE SCHEMA t2;
CREATE TABLE t1.settings (v integer);
CREATE TABLE t2.settings (v integer);
INSERT INTO t1.settings VALUES (1);
INSERT INTO t2.settings VALUES (2);
CREATE FUNCTION t1.net(integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN gross($1) / 2; END';
CREATE FUNCTION t2.net(integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN gross($1) / 2; END';
CREATE FUNCTION t1.gross(integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN net($1) * (SELECT v FROM settings); END';
CREATE FUNCTION t2.gross(integer) RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN net($1) * (SELECT v FROM settings); END';
CREATE TABLE t1.invoices (a integer DEFAULT t1.gross(1));
CREATE TABLE t2.invoices (a integer DEFAULT t2.gross(1));
INSERT INTO t1.invoices VALUES (1);
INSERT INTO t2.invoices VALUES (2);

-- With none of all that
CREATE TABLE s.simple (id integer PRIMARY KEY, path text DEFAULT 'x', at timestamptz, note varchar(10)[], UNIQUE (path, at, note));
INSERT INTO s.simple VALUES (1, 'a');
CREATE INDEX ON s.simple (at);
CREATE RULE "x _RETURN" AS ON DELETE TO s.simple DO INSTEAD NOTHING;
CREATE FOREIGN TABLE s.simple_abroad () INHERITS (s.simple) SERVER files OPTIONS (filename '/dev/null');

-- What only later majors have
DO $$ BEGIN
    IF current_setting('server_version_num')::integer >= 180000 THEN
        EXECUTE 'CREATE TABLE s.without_overlaps (i integer, r tsrange, PRIMARY KEY (i, r WITHOUT OVERLAPS))';
        EXECUTE 'INSERT INTO s.without_overlaps VALUES (1, ''[2020-01-01,2020-01-02]'')';
    END IF;
END $$;
