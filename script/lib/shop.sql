-- The demo's sample data: a shop of about 270 MB (as COPY writes it), the same every time.
CREATE TABLE customers (id integer NOT NULL, name text NOT NULL, email text, address text, since date NOT NULL);
INSERT INTO customers
SELECT i, 'Customer ' || i, CASE WHEN i % 50 <> 0 THEN 'c' || i || '@shop.example' END, E'Street ' || i % 977 || E'\nCity ' || i % 89,
       date '2015-01-01' + i % 4000
FROM generate_series(1, 100000) AS i;

CREATE TABLE products (id integer NOT NULL, name text NOT NULL, price numeric(10, 2) NOT NULL, details jsonb NOT NULL);
INSERT INTO products
SELECT i, 'Product ' || i, (i * 37 % 100000) / 100.0,
       jsonb_build_object('colour', (ARRAY['red', 'green', 'blue', NULL])[1 + i % 4], 'sizes', jsonb_build_array(i % 7, i % 11), 'text', repeat(md5(i::text), 4))
FROM generate_series(1, 50000) AS i;

CREATE TABLE orders (id bigint NOT NULL, customer integer NOT NULL, placed timestamptz NOT NULL, note text);
INSERT INTO orders
SELECT i, 1 + i * 619 % 100000, timestamptz '2020-01-01 00:00:00+00' + i * interval '1 minute', CASE WHEN i % 3 = 0 THEN 'leave at door ' || md5(i::text) END
FROM generate_series(1, 400000) AS i;

CREATE TABLE order_lines (orders bigint NOT NULL, line smallint NOT NULL, product integer NOT NULL, quantity smallint NOT NULL);
INSERT INTO order_lines
SELECT i, l, 1 + (i * 31 + l * 17) % 50000, 1 + (i + l) % 9
FROM generate_series(1, 400000) AS i CROSS JOIN generate_series(1, 2) AS l;

CREATE TABLE letters (id integer NOT NULL, body text NOT NULL, scan bytea);
INSERT INTO letters
SELECT i, 'Dear customer ' || i || ', ' || repeat(md5((i * 3)::text) || ' ' || md5((i * 5)::text) || E'\n', 8), sha256(i::text::bytea) || sha256((i + 1)::text::bytea)
FROM generate_series(1, 320000) AS i;

-- Keys last: that is quicker, and it is how a restore does it.
ALTER TABLE customers ADD PRIMARY KEY (id), ADD UNIQUE (email);
ALTER TABLE products ADD PRIMARY KEY (id);
ALTER TABLE orders ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer) REFERENCES customers;
ALTER TABLE order_lines ADD PRIMARY KEY (orders, line), ADD FOREIGN KEY (orders) REFERENCES orders;
ALTER TABLE letters ADD PRIMARY KEY (id);
CREATE INDEX orders_customer ON orders (customer);
CREATE VIEW open_orders AS SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer WHERE o.note IS NOT NULL;
ANALYZE;
