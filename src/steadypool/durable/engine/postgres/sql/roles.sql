-- Three roles without a login; grant them to the users that your services connect as:
--   @schema@_enqueuer  puts jobs, and cancels them; reads nothing else than their states
--   @schema@_worker    claims, settles, sweeps, prunes; puts, cancels, retries, discards, pauses; reads
--   @schema@_reader    reads: dashboards, results
-- None may touch a table: they call functions, and the readers select from views.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['enqueuer', 'worker', 'reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', '@schema@_' || v_role);
        END IF;
    END LOOP;
END $$;
SELECT @schema@.grant_roles();
