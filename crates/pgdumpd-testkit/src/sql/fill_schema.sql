-- One of almost everything that a dump may meet. Idle corners first: they are quick.
CREATE SCHEMA "Odd Schema";
CREATE SCHEMA archive;
COMMENT ON SCHEMA archive IS 'a comment with ''quotes'', a \backslash and
a second line';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN short_text AS text CHECK (length(value) <= 1000);
CREATE TYPE point3 AS (x float8, y float8, z float8);

CREATE FUNCTION plus_one(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.changed := now(); RETURN NEW; END';

CREATE TABLE empty_one (id integer PRIMARY KEY, note text);
CREATE TABLE archive.empty_two (LIKE empty_one INCLUDING ALL);
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 3);

CREATE TABLE "Odd Schema"."täble ""quoted"" 表 'x'" ("select" integer, "a ""b"" \c	d" text, "ü 🐘" text);
INSERT INTO "Odd Schema"."täble ""quoted"" 表 'x'" VALUES
    (1, E'tab\tnewline\ncarriage\rbackslash\\', E'\\N'), (2, '', NULL), (3, E'\\.', E'\\.\n\\.'), (4, 'ünïcode 🐘 表', '"');
CREATE TABLE "Odd Schema"."line
break" (id integer);
INSERT INTO "Odd Schema"."line
break" SELECT generate_series(1, 10);

CREATE TABLE odd_values (
    id integer PRIMARY KEY, f float8, n numeric, t timestamptz, d date, i interval, b boolean,
    m mood, p point3, a integer[], r int4range, j json, u uuid, bits varbit, net inet, s short_text
);
INSERT INTO odd_values VALUES
    (1, 'NaN', 'NaN', 'infinity', '-infinity', '1 year -2 days', true, 'ok', ROW(1, 2, 3), '{1,NULL,3}', '[1,5)', '{"a": [1, null]}', '00000000-0000-0000-0000-000000000001', B'101', '10.0.0.0/8', 'x'),
    (2, '-Infinity', 1e100, '4713-01-01 00:00:00 BC', '5874897-12-31', '0', false, 'sad', NULL, '{{1,2},{3,4}}', 'empty', 'null', NULL, B'', '::1', ''),
    (3, 1e-307, 0.1, '2000-02-29 23:59:59.999999+14', '0001-01-01', '-178000000 years', NULL, NULL, ROW(NULL, 'NaN', 0), '{}', '(,)', '""', NULL, NULL, NULL, NULL);

CREATE TABLE dropped_column (a integer, gone text, b text DEFAULT 'x');
INSERT INTO dropped_column SELECT i, 'gone', 'kept ' || i FROM generate_series(1, 100) AS i;
ALTER TABLE dropped_column DROP COLUMN gone;

CREATE TABLE parent (id integer, kind text);
CREATE TABLE child (extra text) INHERITS (parent);
INSERT INTO parent SELECT i, 'parent' FROM generate_series(1, 7) AS i;
INSERT INTO child SELECT i, 'child', 'extra' FROM generate_series(1, 11) AS i;

CREATE UNLOGGED TABLE unlogged (id integer);
INSERT INTO unlogged SELECT generate_series(1, 50);

CREATE TABLE one_big_value (id integer, content text);
INSERT INTO one_big_value SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 40000) AS i;

CREATE SEQUENCE untouched START 5;
CREATE SEQUENCE backwards INCREMENT -3 MINVALUE -1000000 MAXVALUE 10 START 10;
SELECT nextval('backwards') FROM generate_series(1, 5);
