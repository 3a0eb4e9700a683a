\set work 64 + random(1, 100000)
SET work_mem = :work;
SET search_path = pg_catalog;
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -4;
SET bytea_output = 'escape';
SET enable_seqscan = off;
SET lock_timeout = '250s';
BEGIN;
SELECT setting::int = :work AS is_own FROM pg_settings WHERE name = 'work_mem' \gset
\sleep :hold ms
END;
\if :is_own
\else
SELECT 1 / 0 AS a_setting_of_another_session;
\endif
