SET work_mem = '1234kB';
SET search_path = information_schema, pg_catalog;
SET TimeZone = 'Pacific/Chatham';
SET DateStyle = 'Postgres, YMD';
SET plan_cache_mode = force_generic_plan;
BEGIN;
SELECT setting = '1234' AS is_own, :client_id + 1 AS other FROM pg_settings WHERE name = 'work_mem' \gset
\sleep :hold ms
END;
\if :is_own
\else
SELECT 1 / 0 AS a_setting_of_another_session;
\endif
