\set cost 1 + random(1, 100000)
SET default_transaction_isolation = 'serializable';
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_sort = off;
SET escape_string_warning = off;
SET DateStyle = 'German';
SET cursor_tuple_fraction = 0.5;
SET row_security = off;
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL cpu_tuple_cost = :cost;
SELECT setting::float8 = :cost AS is_own FROM pg_settings WHERE name = 'cpu_tuple_cost' \gset
\sleep :hold ms
ROLLBACK;
\if :is_own
\else
SELECT 1 / 0 AS a_setting_of_another_session;
\endif
