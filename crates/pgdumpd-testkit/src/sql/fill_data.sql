-- The bulk. The kit puts in how many megabytes; the rows a megabyte are set so that each table takes its share.
-- Wide text that compresses about as prose does: 40 %.
CREATE TABLE wide_text (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, body text NOT NULL);
INSERT INTO wide_text (title, body)
SELECT 'document ' || i, string_agg(word, ' ' ORDER BY w)
FROM generate_series(1, :megabytes * 470) AS i
CROSS JOIN LATERAL (
    SELECT w, (ARRAY['the', 'elephant', 'never', 'forgets', 'a', 'committed', 'transaction', 'and', 'walks', 'slowly',
                     'through', 'its', 'log', 'while', 'vacuum', 'sweeps', 'behind', 'it', to_hex(i * 7919 + w), 'index'])
              [1 + abs(hashint4(i * 131 + w)) % 20] AS word
    FROM generate_series(1, 150) AS w
) AS words
GROUP BY i;
CREATE INDEX wide_text_title ON wide_text (title);

-- Narrow rows, where each costs more than its bytes: 20 %.
CREATE TABLE narrow (a integer NOT NULL, b integer NOT NULL, c smallint);
INSERT INTO narrow
SELECT i, abs(hashint4(i)), NULLIF(i % 7, 0)
FROM generate_series(1, :megabytes * 9800) AS i;
CREATE INDEX narrow_b ON narrow (b);

-- Documents: 15 %.
CREATE TABLE documents (id uuid PRIMARY KEY, doc jsonb NOT NULL, changed timestamptz);
INSERT INTO documents
SELECT md5(i::text)::uuid,
       jsonb_build_object('n', i, 'name', 'customer ' || i, 'tags', jsonb_build_array('a', i % 10, NULL), 'nested',
                          jsonb_build_object('hash', md5(i::text || 'x'), 'text', E'line\n"quoted" \\ ü')),
       timestamptz '2024-01-01 00:00:00+00' + i * interval '1 second'
FROM generate_series(1, :megabytes * 620) AS i;
CREATE TRIGGER note_change BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION note_change();

-- Bytes that do not compress (COPY writes each as two digits): 10 %.
CREATE TABLE "Odd Schema".blobs (id integer PRIMARY KEY, content bytea);
INSERT INTO "Odd Schema".blobs
SELECT i, (SELECT string_agg(sha256((i || '.' || b)::bytea), '') FROM generate_series(1, 64) AS b)
FROM generate_series(1, :megabytes * 25) AS i;

-- A partitioned table: 15 %.
CREATE TABLE events (id bigint NOT NULL, at timestamptz NOT NULL, payload text, doubled bigint GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01 00:00:00+00') TO ('2024-01-01 00:00:00+00');
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2025-01-01 00:00:00+00');
CREATE TABLE archive.events_rest PARTITION OF events DEFAULT;
INSERT INTO events (id, at, payload)
SELECT i, timestamptz '2023-06-01 00:00:00+00' + (i % 1000) * interval '1 day', 'event ' || repeat(md5((i % 100)::text), 2)
FROM generate_series(1, :megabytes * 1450) AS i;

CREATE TABLE child_of_documents (id integer PRIMARY KEY, document uuid REFERENCES documents ON DELETE CASCADE);
INSERT INTO child_of_documents SELECT row_number() OVER (ORDER BY id), id FROM (SELECT id FROM documents ORDER BY id LIMIT 1000) AS few;

CREATE VIEW recent AS SELECT id, payload FROM events WHERE at >= '2024-01-01 00:00:00+00';
CREATE MATERIALIZED VIEW events_a_day AS SELECT date_trunc('day', at AT TIME ZONE 'UTC') AS day, count(*) FROM events GROUP BY 1;
CREATE UNIQUE INDEX events_a_day_day ON events_a_day (day);
CREATE MATERIALIZED VIEW not_populated AS SELECT 1 AS one WITH NO DATA;
