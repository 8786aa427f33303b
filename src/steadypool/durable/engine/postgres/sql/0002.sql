-- Version 2: schedules; tags of jobs; what limits, batches, dependencies, notes and figures are kept in.
--
-- A worker of version 1 goes on beside later ones. It calls the functions of version 1, which keep their signatures,
-- and may get other bodies here; what is new has a new name. Jobs that a limit or a dependency holds back are in tables
-- of their own: a worker of version 1 does not look there, so it never runs one too early.
--
-- Order of locks: rows of schedules by name come before everything else.

ALTER TABLE @schema@.jobs ADD COLUMN tags text[], ADD COLUMN gates text[], ADD COLUMN batch bigint;
ALTER TABLE @schema@.history ADD COLUMN tags text[], ADD COLUMN gates text[], ADD COLUMN batch bigint;
CREATE INDEX jobs_tagged ON @schema@.jobs USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX history_tagged ON @schema@.history USING gin (tags) WHERE tags IS NOT NULL;
CREATE INDEX jobs_of_batch ON @schema@.jobs (batch, number) WHERE batch IS NOT NULL;
CREATE INDEX history_of_batch ON @schema@.history (batch, number) WHERE batch IS NOT NULL;

-- One row for each schedule. `due` is when its next job is to be put. Who puts it changes `due` in the same transaction,
-- if it still is what was read: of any number of workers one does.
CREATE TABLE @schema@.schedules (
    name text PRIMARY KEY,
    origin text NOT NULL,      -- code: a program declares it; data: it was put at run time
    app text,                  -- the program, of those in code
    release text,              -- the program's release that has declared it
    definition text NOT NULL,  -- when, as JSON
    job text NOT NULL,         -- what, as JSON
    hash text NOT NULL,        -- of definition and job
    due timestamptz NOT NULL,
    last_due timestamptz,
    last_job text,             -- its id
    last_number bigint,
    last_nonce bigint,
    last_skip text,            -- why the latest tick that was skipped has no job
    last_skip_at timestamptz,
    fired bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,  -- by hand; a deploy does not change it
    retired_at timestamptz,    -- since then no program declares it
    seen_at timestamptz NOT NULL            -- when a program has last declared it
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX schedules_due ON @schema@.schedules (due) WHERE NOT paused AND retired_at IS NULL;
CREATE INDEX schedules_in_code ON @schema@.schedules (app) WHERE origin = 'code';

-- By how many seconds a test has moved the clock; without a row by none.
CREATE TABLE @schema@.clock (shift double precision NOT NULL);

-- Limits; a row with a key is for that key alone.
CREATE TABLE @schema@.limits (
    name text NOT NULL,
    key text NOT NULL DEFAULT '',
    running int,
    starts int,
    per double precision,
    burst int,
    origin text NOT NULL,
    by_hand boolean NOT NULL DEFAULT false,
    PRIMARY KEY (name, key)
);

-- Jobs that a limit holds back, in the order in which they are looked at: instead of `ready`.
CREATE TABLE @schema@.gated (
    queue text NOT NULL,
    gates text[] NOT NULL,
    lane text NOT NULL,
    rank bigint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (queue, gates, lane, rank, number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX gated_job ON @schema@.gated (number);

-- Who holds a place of a limit: one row for each running job and gate, which lives as long as its claim.
CREATE TABLE @schema@.holders (
    gate text NOT NULL,
    key text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (gate, key, number)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX holders_job ON @schema@.holders (number);

-- Of each gate and key: when its next start is due, by its rate.
CREATE TABLE @schema@.gate_states (
    gate text NOT NULL,
    key text NOT NULL,
    tat timestamptz,
    PRIMARY KEY (gate, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

-- Batches, and what was added to each. Who puts jobs inserts parts, and changes no row of `batches`.
CREATE TABLE @schema@.batches (
    number bigint PRIMARY KEY DEFAULT @schema@.random_number(),
    id text UNIQUE,
    parent bigint,
    callbacks jsonb,
    on_failure text NOT NULL,
    ended bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    made_at timestamptz NOT NULL,
    cancelled_at timestamptz,
    finished_at timestamptz,
    keep_until timestamptz
) WITH (fillfactor = 50);
CREATE INDEX batches_open ON @schema@.batches (number) WHERE finished_at IS NULL;
CREATE INDEX batches_to_prune ON @schema@.batches (keep_until) WHERE keep_until IS NOT NULL;
CREATE TABLE @schema@.batch_parts (
    batch bigint NOT NULL,
    part bigint NOT NULL DEFAULT @schema@.random_number(),
    n int NOT NULL,
    seal boolean NOT NULL DEFAULT false,
    PRIMARY KEY (batch, part)
);

-- Which job waits for which, and how many each waits for: instead of `ready`.
CREATE TABLE @schema@.edges (
    before bigint NOT NULL,
    job bigint NOT NULL,
    needs text NOT NULL,
    checked boolean NOT NULL DEFAULT false,
    PRIMARY KEY (before, job)
);
CREATE INDEX edges_of_job ON @schema@.edges (job);
CREATE INDEX edges_unchecked ON @schema@.edges (before) WHERE NOT checked;
CREATE TABLE @schema@.waiting (job bigint PRIMARY KEY, open int NOT NULL);

-- What running jobs have noted for their next attempt, and how far they are.
CREATE TABLE @schema@.notes (
    job bigint PRIMARY KEY,
    token int NOT NULL,
    state bytea,
    done double precision,
    total double precision,
    note text,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Who began each attempt, and when.
CREATE TABLE @schema@.starts (
    job bigint NOT NULL,
    token int NOT NULL,
    worker text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (job, token)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What ended in each minute.
CREATE TABLE @schema@.minutes (
    queue text NOT NULL,
    task text NOT NULL,
    minute timestamptz NOT NULL,
    completed bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    waited double precision NOT NULL DEFAULT 0,
    ran double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, task, minute)
) WITH (fillfactor = 50);


-- A job's tags, gates and batch go with it into its history, and come back -----------------------------------------------

CREATE OR REPLACE FUNCTION @schema@.end_job(p @schema@.jobs, p_state text, p_result bytea, p_reason text, p_now timestamptz)
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    -- What was given up is kept for a while at least: its user may want to run it again.
    v_keep float8 := CASE WHEN p_state = 'completed' THEN p.keep ELSE greatest(p.keep, @keep_given_up@) END;
BEGIN
    DELETE FROM jobs WHERE number = p.number;
    DELETE FROM cancels WHERE job = p.number;
    IF p.unique_held THEN
        DELETE FROM keys WHERE scope = p.task AND key = p.unique_key AND job = p.number;
    END IF;
    IF v_keep > 0 THEN
        INSERT INTO history VALUES (
            p.number, p.nonce, p.id, p.queue, p.task, p.rank, p.attempt, p.crashes, p.losses, p.returns + 1,
            p.enqueued_at, p.keep, p.unique_key, p.unique_held,
            CASE WHEN p_state <> 'completed' THEN p.options END, CASE WHEN p_state <> 'completed' THEN p.payload END,
            p_state, p_now, p_now + v_keep * interval '1 second', p_result, p_reason, p.tags, p.gates, p.batch);
    ELSE
        DELETE FROM errors WHERE job = p.number;
        IF p.id IS NOT NULL THEN
            DELETE FROM keys WHERE scope = '' AND key = p.id AND job = p.number;
        END IF;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION @schema@.settle_completed(
    p_numbers bigint[], p_tokens int[], p_leases bigint[], p_results bytea[], p_lost bigint[], p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_held bigint[];
BEGIN
    WITH gone AS (
        -- The fence. Should another transaction have the row, this waits, and looks at `returns` again.
        DELETE FROM jobs j USING unnest(p_numbers, p_tokens, p_leases, p_results) AS s (number, token, lease, result)
        WHERE j.number = s.number AND j.returns = s.token - 1 AND s.lease <> ALL (p_lost)
        RETURNING j.number, j.nonce, j.id, j.queue, j.task, j.rank, j.attempt, j.crashes, j.losses, j.returns,
                  j.enqueued_at, j.keep, j.unique_key, j.unique_held, s.result, j.tags, j.gates, j.batch
    ), kept AS (
        INSERT INTO history (number, nonce, id, queue, task, rank, attempt, crashes, losses, returns, enqueued_at, keep,
                             unique_key, unique_held, state, ended_at, keep_until, result, tags, gates, batch)
        SELECT number, nonce, id, queue, task, rank, attempt + 1, crashes, losses, returns + 1, enqueued_at, keep,
               unique_key, unique_held, 'completed', p_now, p_now + keep * interval '1 second', result, tags, gates,
               batch
        FROM gone WHERE keep > 0
    ), unlocked AS (
        DELETE FROM keys k USING gone g
        WHERE g.unique_held AND k.scope = g.task AND k.key = g.unique_key AND k.job = g.number
    ), unnamed AS (
        DELETE FROM keys k USING gone g
        WHERE g.keep <= 0 AND g.id IS NOT NULL AND k.scope = '' AND k.key = g.id AND k.job = g.number
    ), unremembered AS (
        DELETE FROM errors e USING gone g WHERE g.keep <= 0 AND g.returns > 0 AND e.job = g.number
    )
    SELECT array_agg(number) INTO v_held FROM gone;
    IF EXISTS (SELECT FROM cancels) THEN
        DELETE FROM cancels WHERE job = ANY (v_held);
    END IF;
    IF cardinality(v_held) = cardinality(p_numbers) THEN RETURN '{}'; END IF;
    RETURN (
        SELECT array_agg(x.value ORDER BY s.number, x.place)
        FROM unnest(p_numbers, p_leases) AS s (number, lease),
             unnest(ARRAY[s.number, s.lease]) WITH ORDINALITY AS x (value, place)
        WHERE v_held IS NULL OR s.number <> ALL (v_held)
    );
END $$;

CREATE OR REPLACE FUNCTION @schema@.retry(p_number bigint, p_nonce bigint)
RETURNS SETOF @schema@.live LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '1s'
AS $$
DECLARE
    j jobs;
    h history;
    v_found live;
BEGIN
    SELECT * INTO j FROM jobs WHERE number = p_number AND nonce = p_nonce FOR UPDATE;
    IF FOUND THEN
        SELECT * INTO v_found FROM live WHERE number = p_number;
        DELETE FROM delayed WHERE number = p_number;
        IF FOUND THEN
            INSERT INTO ready VALUES (j.queue, j.rank, j.number);
            PERFORM pg_notify('@schema@.work', '');
        END IF;
        RETURN NEXT v_found;
        RETURN;
    END IF;
    SELECT * INTO h FROM history WHERE number = p_number AND nonce = p_nonce FOR UPDATE;
    IF NOT FOUND THEN RETURN QUERY SELECT * FROM live WHERE number = p_number AND nonce = p_nonce; RETURN; END IF;
    RETURN QUERY SELECT * FROM ended WHERE number = p_number;
    IF h.state = 'completed' THEN RETURN; END IF;
    IF h.unique_held AND take_key(h.task, h.unique_key, h.number, NULL, clock_timestamp()) IS NOT NULL THEN RETURN; END IF;
    DELETE FROM history WHERE number = p_number;
    INSERT INTO jobs (number, nonce, id, queue, task, rank, returns, enqueued_at, keep, unique_key, unique_held,
                      options, payload, tags, gates, batch)
    VALUES (h.number, h.nonce, h.id, h.queue, h.task, h.rank, h.returns, h.enqueued_at, h.keep, h.unique_key,
            h.unique_held, h.options, h.payload, h.tags, h.gates, h.batch);
    INSERT INTO ready VALUES (h.queue, h.rank, h.number);
    PERFORM pg_notify('@schema@.work', '');
END $$;


-- Jobs of other tasks than these, among the first p_past of each queue: the worker has no room for more of these.
CREATE FUNCTION @schema@.claim_except(
    p_worker bigint, p_limit int, p_bytes bigint, p_queues text[], p_tasks text[], p_past int)
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET lock_timeout = '10s' SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    PERFORM promote('-infinity', clock_timestamp());
    PERFORM FROM workers w WHERE w.number = p_worker FOR KEY SHARE SKIP LOCKED;
    IF NOT FOUND THEN RETURN; END IF;
    RETURN QUERY
    WITH head AS MATERIALIZED (
        SELECT s.place, x.queue, x.rank, x.number
        FROM unnest(p_queues) WITH ORDINALITY AS s (queue, place),
             LATERAL (
                 SELECT r.queue, r.rank, r.number FROM ready r
                 WHERE r.queue = s.queue AND NOT EXISTS (SELECT FROM queues q WHERE q.name = s.queue AND q.paused)
                 ORDER BY r.rank, r.number LIMIT p_past
             ) x
    ), wanted AS MATERIALIZED (
        SELECT h.* FROM head h JOIN jobs j ON j.number = h.number WHERE j.task <> ALL (p_tasks)
        ORDER BY h.place, h.rank, h.number
    ), found AS MATERIALIZED (  -- a fence: the LIMIT must not be run twice
        SELECT r.queue, r.rank, r.number
        FROM wanted w JOIN ready r ON r.queue = w.queue AND r.rank = w.rank AND r.number = w.number
        LIMIT p_limit FOR UPDATE OF r SKIP LOCKED
    ), weighed AS MATERIALIZED (
        SELECT f.queue AS place, f.rank AS position, f.number AS entry, j.*,
               sum(octet_length(j.payload)) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM found f JOIN jobs j ON j.number = f.number
    ), mine AS (  -- they are locked: no other has deleted any
        DELETE FROM ready r USING weighed w
        WHERE r.queue = w.place AND r.rank = w.position AND r.number = w.entry AND coalesce(w.before, 0) < p_bytes
    ), jobs_taken AS NOT MATERIALIZED (
        SELECT * FROM weighed w WHERE coalesce(w.before, 0) < p_bytes
    ), leased AS (
        INSERT INTO leases (worker, numbers, tokens)
        SELECT p_worker, array_agg(t.number), array_agg(t.returns + 1) FROM jobs_taken t HAVING count(*) > 0
        RETURNING leases.number
    )
    SELECT t.number, t.nonce, t.id, t.returns + 1, l.number, t.attempt + 1, t.crashes, t.losses, t.task, t.queue,
           t.rank, t.payload, t.options, extract(epoch FROM t.expires_at - clock_timestamp())::float8
    FROM jobs_taken t CROSS JOIN leased l;
END $$;

-- Schedules -----------------------------------------------------------------------------------------------------------

CREATE VIEW @schema@.scheduled AS
SELECT name, origin = 'code' AS in_code, app, release, definition, job, hash, extract(epoch FROM due)::float8 AS due,
       extract(epoch FROM last_due)::float8 AS last_due, last_job, last_skip,
       extract(epoch FROM last_skip_at)::float8 AS last_skip_at, fired, skipped, paused,
       extract(epoch FROM retired_at)::float8 AS retired_at
FROM @schema@.schedules;

-- By this clock schedules are due. A test may move it.
CREATE FUNCTION @schema@.schedule_clock() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$ SELECT clock_timestamp() + coalesce((SELECT shift FROM clock), 0) * interval '1 second' $$;

CREATE FUNCTION @schema@.move_clock(p_seconds float8) RETURNS void LANGUAGE sql
SET search_path = @schema@, pg_temp
AS $$ DELETE FROM clock; INSERT INTO clock VALUES (p_seconds) $$;

-- Keep a schedule; says what happened. p_was: the `due` that was read, if it must not have changed.
CREATE FUNCTION @schema@.put_schedule(
    p_name text, p_origin text, p_definition text, p_job text, p_hash text, p_due float8, p_app text, p_release text,
    p_was float8)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    s schedules;
    v_now timestamptz := schedule_clock();
BEGIN
    INSERT INTO schedules (name, origin, app, release, definition, job, hash, due, seen_at)
    VALUES (p_name, p_origin, p_app, p_release, p_definition, p_job, p_hash, to_timestamp(p_due), v_now)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN RETURN 'made'; END IF;
    SELECT * INTO s FROM schedules WHERE name = p_name FOR UPDATE;
    IF NOT FOUND THEN RETURN 'moved'; END IF;  -- removed in between
    IF s.origin = 'code' AND p_origin <> 'code' AND s.retired_at IS NULL THEN RETURN 'code'; END IF;
    IF s.origin = p_origin AND s.hash = p_hash AND s.retired_at IS NULL THEN
        UPDATE schedules SET app = p_app, release = p_release, seen_at = v_now WHERE name = p_name;
        RETURN 'same';
    END IF;
    IF s.due <> to_timestamp(p_was) THEN RETURN 'moved'; END IF;
    UPDATE schedules
    SET origin = p_origin, app = p_app, release = p_release, definition = p_definition, job = p_job, hash = p_hash,
        due = to_timestamp(p_due), seen_at = v_now, retired_at = NULL
    WHERE name = p_name;
    RETURN 'changed';
END $$;

-- What is due: so many at most, after so many; of those in code the declared ones alone. The last row has no name: it
-- tells the clock, and in how many seconds the next one is due. It looks at one row more than it returns.
CREATE FUNCTION @schema@.due_schedules(p_declared text[], p_limit int, p_skip int)
RETURNS TABLE (name text, in_code boolean, app text, release text, definition text, job text, hash text, due float8,
               last_due float8, last_job text, last_skip text, last_skip_at float8, fired bigint, skipped bigint,
               paused boolean, retired_at float8, now float8, next_in float8)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := schedule_clock();
    v_left int := p_limit;
    v_due timestamptz;
    s schedules;
    c CURSOR FOR
        SELECT x.* FROM schedules x
        WHERE NOT x.paused AND x.retired_at IS NULL AND (x.origin = 'data' OR x.name = ANY (p_declared))
        ORDER BY x.due;
BEGIN
    OPEN c;
    MOVE FORWARD p_skip IN c;
    LOOP
        FETCH c INTO s;
        EXIT WHEN NOT FOUND OR s.due > v_now OR v_left = 0;
        v_left := v_left - 1;
        RETURN QUERY SELECT s.name, s.origin = 'code', s.app, s.release, s.definition, s.job, s.hash,
            extract(epoch FROM s.due)::float8, extract(epoch FROM s.last_due)::float8, s.last_job, s.last_skip,
            extract(epoch FROM s.last_skip_at)::float8, s.fired, s.skipped, s.paused,
            extract(epoch FROM s.retired_at)::float8, NULL::float8, NULL::float8;
    END LOOP;
    CLOSE c;
    RETURN QUERY SELECT NULL::text, NULL::boolean, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::float8, NULL::float8, NULL::text, NULL::text, NULL::float8, NULL::bigint, NULL::bigint, NULL::boolean,
        NULL::float8, extract(epoch FROM v_now)::float8,
        CASE WHEN s.due IS NOT NULL THEN extract(epoch FROM greatest(s.due - v_now, interval '0'))::float8 END;
END $$;

-- Do what workers have decided, as a JSON array: for each schedule that is as it was read, move its `due` on, and put its
-- jobs. A row for each that was, with the ids of its jobs, and why others were not put. A row that another transaction
-- has is another's to do; a key that another transaction is putting is not waited for.
CREATE FUNCTION @schema@.fire_schedules(p_firings text)
RETURNS TABLE (name text, jobs text[], skips text[]) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET lock_timeout = '20ms'
AS $$
#variable_conflict use_column
DECLARE
    f record;
    s schedules;
    v_names text[] := '{}';  -- of those that are as they were read; by their places, the next five
    v_dues float8[] := '{}';
    v_lasts float8[] := '{}';
    v_skipped int[] := '{}';
    v_whys text[] := '{}';
    v_overlaps text[] := '{}';
    v_owners text[] := '{}';  -- of each job
    v_jobs json[] := '{}';
    v_overlap text;
BEGIN
    FOR f IN
        SELECT * FROM json_to_recordset(p_firings::json) AS (
            name text, due float8, hash text, new_due float8, last_due float8, overlap text, skipped int, reason text,
            by_hand boolean, jobs json)
        ORDER BY 1
    LOOP
        SELECT * INTO s FROM schedules x
        WHERE x.name = f.name AND x.due = to_timestamp(f.due) AND x.hash = f.hash
          AND (f.by_hand OR (NOT x.paused AND x.retired_at IS NULL))
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        v_overlap := NULL;
        IF f.overlap <> 'allow' AND json_array_length(f.jobs) > 0 THEN
            IF EXISTS (SELECT FROM jobs j WHERE j.number = s.last_number AND j.nonce = s.last_nonce) THEN
                IF f.overlap = 'skip' THEN
                    v_overlap := format('overlap: %s has not ended', s.last_job);
                    f.jobs := '[]';
                ELSE
                    PERFORM cancel(s.last_number, s.last_nonce);
                END IF;
            END IF;
        END IF;
        v_names := v_names || f.name;
        v_dues := v_dues || f.new_due;
        v_lasts := v_lasts || f.last_due;
        v_skipped := v_skipped || f.skipped;
        v_whys := v_whys || nullif(f.reason, '');
        v_overlaps := v_overlaps || v_overlap;
        v_jobs := v_jobs || ARRAY(SELECT json_array_elements(f.jobs));
        v_owners := v_owners || array_fill(f.name, ARRAY[json_array_length(f.jobs)]);
    END LOOP;
    RETURN QUERY
    WITH put AS MATERIALIZED (
        SELECT p.*, v_owners[p.place] AS owner
        FROM (SELECT WHERE cardinality(v_jobs) > 0) g, LATERAL
             put_json(array_to_json(v_jobs)::text, NULL) WITH ORDINALITY AS p (number, nonce, id, enqueued, place)
    ), told AS MATERIALIZED (
        SELECT o.owner, max(o.place) FILTER (WHERE o.enqueued) AS place,
               array_agg(o.id ORDER BY o.place) FILTER (WHERE o.enqueued) AS ids,
               array_agg(format('%s has its id or unique key', o.id)) FILTER (WHERE NOT o.enqueued) AS whys
        FROM put o GROUP BY o.owner
    ), done AS MATERIALIZED (
        SELECT n.name, n.due, n.last, coalesce(t.ids, '{}') AS ids, t.place,
               array_remove(ARRAY[n.why, n.overlap], NULL) || coalesce(t.whys, '{}') AS whys,
               n.skipped + (n.overlap IS NOT NULL)::int + coalesce(cardinality(t.whys), 0) AS skipped
        FROM unnest(v_names, v_dues, v_lasts, v_skipped, v_whys, v_overlaps)
             AS n (name, due, last, skipped, why, overlap)
        LEFT JOIN told t ON t.owner = n.name
    ), noted AS (
        UPDATE schedules x
        SET due = to_timestamp(d.due), last_due = greatest(x.last_due, to_timestamp(d.last)),
            fired = x.fired + cardinality(d.ids), skipped = x.skipped + d.skipped,
            last_skip = coalesce(d.whys[cardinality(d.whys)], x.last_skip),
            last_skip_at = CASE WHEN d.whys = '{}' THEN x.last_skip_at ELSE schedule_clock() END,
            last_job = coalesce(l.id, x.last_job), last_number = coalesce(l.number, x.last_number),
            last_nonce = coalesce(l.nonce, x.last_nonce)
        FROM done d LEFT JOIN put l ON l.place = d.place
        WHERE x.name = d.name
    )
    SELECT d.name, d.ids, d.whys FROM done d;
END $$;

-- Pause (null), or resume, its next job being due then.
CREATE FUNCTION @schema@.pause_schedule(p_name text, p_due float8) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    UPDATE schedules SET paused = p_due IS NULL, due = coalesce(to_timestamp(p_due), due)
    WHERE name = p_name AND paused = (p_due IS NOT NULL);
    RETURN FOUND;
END $$;

CREATE FUNCTION @schema@.remove_schedule(p_name text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    DELETE FROM schedules WHERE name = p_name;
    RETURN FOUND;
END $$;

-- A live worker of a program declares these. What none of its workers has declared for so long is retired, and returned.
CREATE FUNCTION @schema@.see_schedules(p_app text, p_names text[], p_seconds float8)
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := schedule_clock();
BEGIN
    UPDATE schedules SET seen_at = v_now WHERE schedules.name IN (
        SELECT x.name FROM schedules x
        WHERE x.origin = 'code' AND x.app = p_app AND x.retired_at IS NULL AND x.name = ANY (p_names)
          AND x.seen_at < v_now - p_seconds / 3 * interval '1 second'
        ORDER BY x.name FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE schedules x SET retired_at = v_now
    WHERE x.origin = 'code' AND x.app = p_app AND x.retired_at IS NULL AND x.name <> ALL (p_names)
      AND x.seen_at < v_now - p_seconds * interval '1 second'
    RETURNING x.name;
END $$;


-- Rights --------------------------------------------------------------------------------------------------------------

ALTER FUNCTION @schema@.grant_roles() RENAME TO grant_roles_0001;

CREATE FUNCTION @schema@.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_role text;
    v_what text;
BEGIN
    PERFORM grant_roles_0001();
    FOR v_role, v_what IN VALUES
        ('worker', 'claim_except'),
        ('enqueuer', 'schedule_clock'), ('enqueuer', 'put_schedule'), ('enqueuer', 'remove_schedule'),
        ('worker', 'schedule_clock'), ('worker', 'put_schedule'), ('worker', 'remove_schedule'),
        ('worker', 'due_schedules'), ('worker', 'fire_schedules'), ('worker', 'pause_schedule'),
        ('worker', 'see_schedules'), ('reader', 'schedule_clock')
    LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE @schema@.%I TO %I', v_what, '@schema@_' || v_role);
        END IF;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['worker', 'reader'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT SELECT ON scheduled TO %I', '@schema@_' || v_role);
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
