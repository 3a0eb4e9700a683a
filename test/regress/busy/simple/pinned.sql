BEGIN;
DECLARE busy_held CURSOR WITH HOLD FOR SELECT 1 AS one;
END;
\sleep 2 ms
SET client_min_messages = 'error';
FETCH busy_held;
DISCARD ALL;
\sleep 5 ms
