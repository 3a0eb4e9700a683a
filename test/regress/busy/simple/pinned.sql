BEGIN;
DECLARE busy_held CURSOR WITH HOLD FOR SELECT 1 AS one;
END;
\sleep :hold ms
SET client_min_messages = 'error';
FETCH busy_held;
DISCARD ALL;
\sleep :hold ms
