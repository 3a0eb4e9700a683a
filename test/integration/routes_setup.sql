-- SPDX-License-Identifier: PostgreSQL
-- What the statements of routes.tsv need. Run as a superuser in a database of
-- its own; running it again starts afresh.
DROP SCHEMA IF EXISTS depot CASCADE;
DROP TABLE IF EXISTS accounts, orders, quotes, audit, secrets, scratchpad, readings, notes CASCADE;
DROP FUNCTION IF EXISTS f_immutable(int), f_stable(int), f_volatile(int), f_trigger() CASCADE;
DROP PROCEDURE IF EXISTS p_touch(int);
DROP SEQUENCE IF EXISTS ticket;

CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, balance numeric NOT NULL DEFAULT 0);
INSERT INTO accounts SELECT n, 'owner ' || n, 100 FROM generate_series(1, 100) n;
CREATE TABLE orders (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts ON DELETE CASCADE
	DEFERRABLE, amount numeric NOT NULL, placed date NOT NULL DEFAULT '2026-01-01');
INSERT INTO orders SELECT n, n, n FROM generate_series(1, 50) n;
CREATE TABLE quotes (symbol text PRIMARY KEY, price numeric NOT NULL);
INSERT INTO quotes VALUES ('ABC', 10), ('DEF', 20);
CREATE TABLE notes (id int, body text);
CREATE TABLE audit (at timestamptz DEFAULT now(), what text);
CREATE UNLOGGED TABLE scratchpad (k text, v text);

CREATE TABLE secrets (owner text, body text);
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;

CREATE TABLE readings (day date NOT NULL, value int) PARTITION BY RANGE (day);
CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO readings VALUES ('2026-03-01', 1), ('2026-04-01', 2);

CREATE SCHEMA depot;
CREATE TABLE depot.items (id int PRIMARY KEY, name text);
INSERT INTO depot.items VALUES (1, 'bolt'), (2, 'nut');

CREATE SEQUENCE ticket;

CREATE FUNCTION f_immutable(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + 1';
CREATE FUNCTION f_stable(n int) RETURNS numeric LANGUAGE sql STABLE
	AS 'SELECT balance FROM accounts WHERE id = n';
CREATE FUNCTION f_volatile(n int) RETURNS int LANGUAGE plpgsql VOLATILE
	AS $$ BEGIN INSERT INTO audit (what) VALUES ('f_volatile'); RETURN n; END $$;
CREATE FUNCTION f_trigger() RETURNS trigger LANGUAGE plpgsql
	AS $$ BEGIN INSERT INTO audit (what) VALUES ('f_trigger'); RETURN NEW; END $$;
CREATE PROCEDURE p_touch(n int) LANGUAGE plpgsql
	AS $$ BEGIN INSERT INTO audit (what) VALUES ('p_touch'); END $$;
CREATE TRIGGER orders_audit BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f_trigger();

CREATE VIEW v_accounts AS SELECT id, owner FROM accounts WHERE balance > 0;
CREATE VIEW v_volatile AS SELECT f_volatile(id) FROM accounts WHERE id = 1;
CREATE MATERIALIZED VIEW quote_totals AS SELECT count(*) AS n, sum(price) AS total FROM quotes;
CREATE UNIQUE INDEX quote_totals_n ON quote_totals (n);
