-- One of everything that pg_dump 14 to 18 dumps and that restores into any database: no roles, no
-- tablespaces, no extensions but plpgsql, no subscriptions, no files. Run it as a superuser in an
-- empty database; it is small and the same each time.

CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'orders and what belongs to them';
CREATE SCHEMA "Odd.Names";

-- Types
CREATE TYPE shop.status AS ENUM ('new', 'paid', 'sent');
CREATE TYPE shop.address AS (street text, city text);
CREATE DOMAIN shop.email AS text CHECK (VALUE LIKE '%@%');
CREATE TYPE shop.price_range AS RANGE (subtype = numeric);
CREATE COLLATION shop.plain FROM "C";

-- Functions, and what is built on them
CREATE FUNCTION shop.add_tax(amount numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT amount * 1.2 $$;
CREATE FUNCTION shop.touch() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN NEW.changed_at := '2026-01-01'; RETURN NEW; END $$;
CREATE PROCEDURE shop.clean() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE FUNCTION shop.log_ddl() RETURNS event_trigger
    LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE AGGREGATE shop.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION shop.same_email(shop.email, shop.email) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS $$ SELECT lower($1::text) = lower($2::text) $$;
CREATE OPERATOR shop.=~= (LEFTARG = shop.email, RIGHTARG = shop.email, FUNCTION = shop.same_email);
CREATE FUNCTION shop.status_number(shop.status) RETURNS integer
    LANGUAGE sql IMMUTABLE AS $$ SELECT CASE $1 WHEN 'new' THEN 1 WHEN 'paid' THEN 2 ELSE 3 END $$;
CREATE CAST (shop.status AS integer) WITH FUNCTION shop.status_number(shop.status);
CREATE TEXT SEARCH DICTIONARY shop.words (TEMPLATE = pg_catalog.simple);
CREATE TEXT SEARCH CONFIGURATION shop.search (PARSER = pg_catalog."default");
ALTER TEXT SEARCH CONFIGURATION shop.search ADD MAPPING FOR asciiword WITH shop.words;
CREATE ACCESS METHOD heap_again TYPE TABLE HANDLER heap_tableam_handler;

-- Ordinary tables with constraints, indexes, sequences, statistics
CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email shop.email NOT NULL UNIQUE,
    name text COLLATE shop.plain,
    home shop.address,
    changed_at timestamptz
);
COMMENT ON TABLE shop.customers IS 'who orders';
COMMENT ON COLUMN shop.customers.email IS 'lower case by habit';
INSERT INTO shop.customers (email, name, home)
    SELECT 'customer' || n || '@example.org', 'Customer ' || n, ROW('Street ' || n, 'Town')::shop.address
    FROM generate_series(1, 50) AS n;
CREATE TRIGGER touch BEFORE UPDATE ON shop.customers
    FOR EACH ROW EXECUTE FUNCTION shop.touch();

CREATE TABLE shop.orders (
    id serial PRIMARY KEY,
    customer bigint NOT NULL REFERENCES shop.customers,
    status shop.status NOT NULL DEFAULT 'new',
    net numeric(12, 2) NOT NULL CHECK (net >= 0),
    gross numeric GENERATED ALWAYS AS (net * 1.2) STORED,
    valid shop.price_range,
    note text
);
INSERT INTO shop.orders (customer, status, net, valid, note)
    SELECT 1 + n % 50, 'paid', n * 1.5, shop.price_range(n, n + 1),
           CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN E'tab\there\nand a \\ backslash' ELSE '' END
    FROM generate_series(1, 200) AS n;
CREATE INDEX orders_by_status ON shop.orders (status) WHERE status <> 'sent';
CREATE STATISTICS shop.orders_stat (dependencies) ON customer, status FROM shop.orders;
ALTER TABLE shop.orders CLUSTER ON orders_pkey;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY paid_only ON shop.orders FOR SELECT USING (status = 'paid');
CREATE RULE no_delete AS ON DELETE TO shop.orders DO INSTEAD NOTHING;
CREATE SEQUENCE shop.tickets START 1000 INCREMENT 10;
SELECT nextval('shop.tickets');

-- Tables that are odd to dump
CREATE TABLE shop.empty (id integer);
CREATE TABLE shop.no_columns ();
INSERT INTO shop.no_columns SELECT FROM generate_series(1, 3);
CREATE UNLOGGED TABLE shop.scratch AS SELECT n AS id FROM generate_series(1, 5) AS n;
CREATE TABLE shop.other_am (id integer) USING heap_again;
INSERT INTO shop.other_am VALUES (1);
CREATE TABLE "Odd.Names"."a ""quoted"" table
name" ("select" integer, "größe" text);
INSERT INTO "Odd.Names"."a ""quoted"" table
name" VALUES (1, 'München ☂');
CREATE TABLE shop.files (name text, content bytea, tags text[], doc jsonb);
INSERT INTO shop.files
    SELECT 'file ' || n, decode(repeat(md5(n::text), 10), 'hex'), ARRAY['a', NULL, 'c,d'],
           jsonb_build_object('n', n, 'nothing', NULL)
    FROM generate_series(1, 10) AS n;

-- Partitions and inheritance
CREATE TABLE shop.events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE shop.events_2025 PARTITION OF shop.events
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY HASH (what);
CREATE TABLE shop.events_2025_0 PARTITION OF shop.events_2025
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.events_2025_1 PARTITION OF shop.events_2025
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.events_rest PARTITION OF shop.events DEFAULT;
CREATE INDEX ON shop.events (at);
INSERT INTO shop.events
    SELECT date '2025-06-01' + n * 30, 'event ' || n FROM generate_series(1, 20) AS n;
CREATE TABLE shop.base (id integer);
CREATE TABLE shop.derived (more text) INHERITS (shop.base);
INSERT INTO shop.base VALUES (1);
INSERT INTO shop.derived VALUES (2, 'two');

-- Views
CREATE VIEW shop.paid AS SELECT id, net FROM shop.orders WHERE status = 'paid';
CREATE MATERIALIZED VIEW shop.totals AS SELECT customer, sum(net) AS net FROM shop.orders GROUP BY 1;
CREATE UNIQUE INDEX ON shop.totals (customer);
CREATE MATERIALIZED VIEW shop.totals_later AS SELECT * FROM shop.totals WITH NO DATA;

-- Foreign data, without a handler: defined, but not readable
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far_away FOREIGN DATA WRAPPER nowhere;
CREATE USER MAPPING FOR PUBLIC SERVER far_away;
CREATE FOREIGN TABLE shop.remote (id integer) SERVER far_away;

-- Privileges, publications, event triggers
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT SELECT ON shop.paid TO PUBLIC;
GRANT SELECT (id, email) ON shop.customers TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC;
CREATE PUBLICATION some_tables FOR TABLE shop.orders, shop.customers;
CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION shop.log_ddl();
ALTER EVENT TRIGGER log_ddl DISABLE;

-- Large objects: with content, empty, of more than one page, with a comment, with an oid that does
-- not fit a signed integer
SELECT lo_from_bytea(100001, 'small');
SELECT lo_create(100002);
SELECT lo_from_bytea(100003, decode(repeat(md5('large'), 300), 'hex'));
SELECT lo_from_bytea(4000000000, 'a large oid');
COMMENT ON LARGE OBJECT 100001 IS 'the small one';
GRANT SELECT ON LARGE OBJECT 100003 TO PUBLIC;

-- pg_dump 18 --statistics dumps these
ANALYZE;
