-- Version 2, jobs that wait for others.
--
-- An edge says that `job` waits for `before`. A job with an open edge stands in `waiting`, and nowhere else. Who enqueues
-- it inserts rows and locks none, so that a transaction of a user's that stays open is in no worker's way. What follows
-- is the workers' to do, each step in a short transaction:
--
-- * `before` ends by a settlement: that transaction marks its edges as met, and lets jobs run that have none open
--   (`release_after`). Whether there is one is looked up with the row in `waiting` locked, by a statement that begins
--   after that: of two transactions that mark the last two edges of a job, the later one sees both. An edge is marked
--   once, and the row is deleted once, so no job runs twice.
-- * It ends in another way, or more wait for it than one transaction is to let go: one of its open edges is marked as not
--   checked, and `tend_edges`, which a worker calls each second, goes on from there.
-- * It ended before the enqueue: the edge is met from the beginning. If it was given up, `tend_edges` sees to it.
-- * It ends while the transaction of the enqueue is open: neither sees the other. So the edge is not checked at first.
--   `tend_edges` locks the row of `before`, which the settlement of it deletes, and marks the edge as checked: who ends it
--   later begins its look after that, and finds the edge. If there is no such row, `before` has ended, and its record
--   says how; one without a record has completed, for those that were given up are kept for a week at least. If another
--   has the row, the next second will do.
-- * `before` is given up, and the job needs its success: the job ends as cancelled, with the id in the reason, by
--   `tend_edges` alone, which tells its worker. What waits for that job follows in the same way.
-- * `before` runs again by hand: its failed edges are open again, and the jobs come back (`bring_back`).
--
-- The record of `before` is kept as long as there is an edge (`without_needed`, and `end_edges` for one that would not
-- be recorded): edges go when `job` has completed, or its record is pruned. Order of locks: rows of jobs, of edges, of
-- `waiting`.

CREATE VIEW @schema@.links AS SELECT job, place, before, nonce, needs, state FROM @schema@.edges;

-- Put jobs as JSON of which some wait for others (`after`), or are of a batch; p_lock_timeout: see `put`. `after` has
-- pairs of a number and a nonce, chosen ids, and numbers below zero: so many places before the job itself. If there is
-- no such job nothing is put, and one row names it that has neither a number nor `enqueued`.
CREATE FUNCTION @schema@.put_linked(
    p_jobs text, p_lock_timeout text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_places int[]; v_spots int[]; v_needs text[]; v_befores bigint[]; v_nonces bigint[]; v_ids text[]; v_backs int[];
    v_chosen text[];
    v_unknown text;
    v_numbers bigint[]; v_own_nonces bigint[]; v_names text[]; v_put boolean[];
BEGIN
    IF p_lock_timeout IS NOT NULL THEN
        PERFORM set_config('lock_timeout', p_lock_timeout, true);
    END IF;
    SELECT array_agg(g.place), array_agg(a.spot), array_agg(coalesce(g.needs, 'success')),
           array_agg(CASE json_typeof(a.value) WHEN 'array' THEN (a.value ->> 0)::bigint END),
           array_agg(CASE json_typeof(a.value) WHEN 'array' THEN (a.value ->> 1)::bigint END),
           array_agg(CASE json_typeof(a.value) WHEN 'string' THEN a.value #>> '{}' END),
           array_agg(CASE json_typeof(a.value) WHEN 'number' THEN (a.value #>> '{}')::int END)
    INTO v_places, v_spots, v_needs, v_befores, v_nonces, v_ids, v_backs
    FROM (
        SELECT x.place, x.job -> 'after' AS after, x.job ->> 'needs' AS needs
        FROM json_array_elements(p_jobs::json) WITH ORDINALITY AS x (job, place)
        OFFSET 0  -- so that a job is read once, and not for each of those that it waits for
    ) g, json_array_elements(g.after) WITH ORDINALITY AS a (value, spot);
    IF array_remove(v_ids, NULL) <> '{}' THEN
        v_chosen := ARRAY(SELECT x.job ->> 'id' FROM json_array_elements(p_jobs::json) WITH ORDINALITY AS x (job, place)
                          ORDER BY x.place);
    END IF;
    SELECT coalesce(u.id, 'job-' || u.before || coalesce('-' || lpad(to_hex(u.nonce), 10, '0'), '')) INTO v_unknown
    FROM unnest(v_befores, v_nonces, v_ids, v_places) AS u (before, nonce, id, place)
    WHERE (u.before IS NOT NULL
           AND NOT EXISTS (SELECT FROM jobs j WHERE j.number = u.before AND j.nonce = coalesce(u.nonce, j.nonce))
           AND NOT EXISTS (SELECT FROM history h WHERE h.number = u.before AND h.nonce = coalesce(u.nonce, h.nonce)))
       OR (u.id IS NOT NULL AND NOT EXISTS (SELECT FROM keys k WHERE k.scope = '' AND k.key = u.id)
           AND coalesce(array_position(v_chosen, u.id) >= u.place, true))
    LIMIT 1;
    IF FOUND THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, v_unknown, NULL::boolean;
        RETURN;
    END IF;
    SELECT array_agg(p.number ORDER BY p.place), array_agg(p.nonce ORDER BY p.place), array_agg(p.id ORDER BY p.place),
           array_agg(p.enqueued ORDER BY p.place)
    INTO v_numbers, v_own_nonces, v_names, v_put
    FROM put_rows(p_jobs) WITH ORDINALITY AS p (number, nonce, id, enqueued, place);
    IF v_places IS NOT NULL THEN
        PERFORM put_edges(v_numbers, v_put, v_places, v_spots, v_needs, v_befores, v_ids, v_backs);
    END IF;
    IF p_jobs LIKE '%"batch":%' THEN
        PERFORM put_members(p_jobs, v_numbers, v_put);
    END IF;
    RETURN QUERY SELECT * FROM unnest(v_numbers, v_own_nonces, v_names, v_put);
END $$;

-- Insert the edges of jobs that this transaction has put, by their places, and have those wait that have to.
CREATE FUNCTION @schema@.put_edges(
    p_numbers bigint[], p_put boolean[], p_places int[], p_spots int[], p_needs text[], p_befores bigint[],
    p_ids text[], p_backs int[])
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_ours bigint[] := ARRAY(SELECT n.number FROM unnest(p_numbers, p_put) AS n (number, put) WHERE n.put);
    v_waiting bigint[];
BEGIN
    WITH given AS MATERIALIZED (
        SELECT p_numbers[u.place] AS job, u.spot, u.needs,
               CASE WHEN u.back IS NOT NULL THEN p_numbers[u.place + u.back]
                    WHEN u.id IS NOT NULL THEN (SELECT k.job FROM keys k WHERE k.scope = '' AND k.key = u.id)
                    ELSE u.before END AS before
        FROM unnest(p_places, p_spots, p_needs, p_befores, p_ids, p_backs) AS u (place, spot, needs, before, id, back)
        WHERE p_put[u.place]
    ), found AS MATERIALIZED (
        SELECT g.*, coalesce(j.nonce, h.nonce, 0) AS nonce,
               j.number IS NULL AND (g.needs = 'end' OR coalesce(h.state, 'completed') = 'completed') AS is_met
        FROM (SELECT DISTINCT ON (job, before) * FROM given ORDER BY job, before, spot) g
        LEFT JOIN jobs j ON j.number = g.before LEFT JOIN history h ON h.number = g.before
    ), written AS (
        INSERT INTO edges (before, job, nonce, place, needs, state, checked)
        SELECT before, job, nonce, spot, needs, CASE WHEN is_met THEN 'met' ELSE 'open' END,
               is_met OR before = ANY (v_ours)  -- what this transaction has put cannot end before it commits
        FROM found
    )
    SELECT array_agg(DISTINCT job) INTO v_waiting FROM found WHERE NOT is_met;
    IF v_waiting IS NULL THEN RETURN; END IF;
    INSERT INTO waiting SELECT w, d.due FROM unnest(v_waiting) w LEFT JOIN delayed d ON d.number = w;
    DELETE FROM delayed WHERE number = ANY (v_waiting);
    DELETE FROM ready r USING jobs j
    WHERE j.number = ANY (v_waiting) AND r.queue = j.queue AND r.rank = j.rank AND r.number = j.number;
    DELETE FROM gated WHERE number = ANY (v_waiting);
END $$;

-- Let those of these jobs run that wait for nothing any more.
CREATE FUNCTION @schema@.free_waiting(p_jobs bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_count int;
BEGIN
    PERFORM w.job FROM waiting w WHERE w.job = ANY (p_jobs) ORDER BY w.job FOR UPDATE;
    WITH free AS (
        DELETE FROM waiting w
        WHERE w.job = ANY (p_jobs) AND NOT EXISTS (SELECT FROM edges e WHERE e.job = w.job AND e.state = 'open')
        RETURNING w.job, w.due
    ), placed AS MATERIALIZED (
        SELECT j.queue, j.rank, j.number, j.gates, j.lane, f.due IS NULL OR f.due <= p_now AS is_due, f.due
        FROM free f JOIN jobs j ON j.number = f.job
    ), later AS (
        INSERT INTO delayed SELECT due, number, false, queue, rank, NULL, gates IS NOT NULL FROM placed WHERE NOT is_due
    ), in_lanes AS (
        INSERT INTO gated SELECT queue, gates, lane, rank, number FROM placed WHERE is_due AND gates IS NOT NULL
    )
    INSERT INTO ready SELECT queue, rank, number FROM placed WHERE is_due AND gates IS NULL;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count > 0 THEN
        PERFORM set_config('@schema@.let_go', 'yes', true);  -- see `promote`
    END IF;
    PERFORM pg_notify('@schema@.work', '');
END $$;

-- Let go what waits for those of these jobs that have ended, and needs no more of them: 5,000 edges at most. What is
-- left is found by `tend_edges`.
CREATE FUNCTION @schema@.release_after(p_before bigint[], p_now timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_jobs bigint[];
    v_count int;
BEGIN
    WITH found AS MATERIALIZED (
        SELECT x.before, x.job FROM edges x LEFT JOIN history h ON h.number = x.before
        WHERE x.before = ANY (p_before) AND x.state = 'open'
          AND NOT EXISTS (SELECT FROM jobs j WHERE j.number = x.before)
          AND (x.needs = 'end' OR coalesce(h.state, 'completed') = 'completed')
        ORDER BY x.before, x.job LIMIT 5000 FOR UPDATE OF x
    ), met AS (
        UPDATE edges e SET state = 'met', checked = true FROM found f WHERE e.before = f.before AND e.job = f.job
        RETURNING e.job
    )
    SELECT array_agg(DISTINCT job), count(*) INTO v_jobs, v_count FROM met;
    IF v_jobs IS NULL THEN RETURN; END IF;
    PERFORM free_waiting(v_jobs, p_now);
    IF v_count = 5000 THEN
        UPDATE edges e SET checked = false
        FROM (SELECT x.before, min(x.job) AS job FROM edges x WHERE x.before = ANY (p_before) AND x.state = 'open'
              AND NOT EXISTS (SELECT FROM jobs j WHERE j.number = x.before) GROUP BY x.before) m
        WHERE e.before = m.before AND e.job = m.job;
    END IF;
END $$;

-- A job has ended: whether others wait for it, and then need its record. `tend_edges` looks at it. If it has completed
-- it waits for none any more.
CREATE FUNCTION @schema@.end_edges(p_number bigint, p_state text) RETURNS boolean LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    IF p_state = 'completed' THEN
        DELETE FROM edges WHERE job = p_number;
    END IF;
    UPDATE edges SET checked = false WHERE before = p_number
        AND job = (SELECT min(x.job) FROM edges x WHERE x.before = p_number AND x.state = 'open');
    RETURN EXISTS (SELECT FROM edges WHERE before = p_number);
END $$;

-- Whether a job was cancelled since it needed others that are still given up: they are to run again, and bring it back.
CREATE FUNCTION @schema@.has_failed_edges(h @schema@.history) RETURNS boolean LANGUAGE sql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$ SELECT EXISTS (SELECT FROM edges WHERE job = h.number AND state = 'failed') $$;

-- A job is there again that was given up: what waits for it is looked at, and so is what it waits for; whether it does.
CREATE FUNCTION @schema@.waits_again(p_number bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    UPDATE edges SET state = 'open', checked = false WHERE before = p_number AND state = 'failed';
    UPDATE edges SET checked = false WHERE job = p_number AND state = 'open';
    IF FOUND THEN
        INSERT INTO waiting VALUES (p_number, NULL);
        RETURN true;
    END IF;
    RETURN false;
END $$;

-- Look at edges that are not checked, some p_limit at most: see above. A row for each job that was cancelled for what it
-- needs; the last one has no number, and `more` says whether there may be more to do at once. One such call works at a
-- time.
CREATE FUNCTION @schema@.tend_edges(p_limit int)
RETURNS TABLE (number bigint, nonce bigint, id text, task text, queue text, needed text, was text, more boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := engine_clock();
    v_left int := p_limit;
    v_seen bigint[] := '{}';
    v_found bigint[];
    v_living bigint[];
    r record;
    j jobs;
BEGIN
    more := false;
    IF EXISTS (SELECT FROM edges WHERE NOT checked) AND pg_try_advisory_xact_lock(hashtext('@schema@.edges')) THEN
        LOOP
            v_found := ARRAY(SELECT DISTINCT x.before FROM (
                SELECT e.before FROM edges e WHERE NOT e.checked AND e.before <> ALL (v_seen) LIMIT greatest(v_left, 1)
            ) x ORDER BY 1);
            EXIT WHEN v_found = '{}';
            more := v_left <= 0;
            EXIT WHEN more;
            v_seen := v_seen || v_found;
            v_left := v_left - cardinality(v_found);
            v_living := ARRAY(SELECT x.number FROM jobs x WHERE x.number = ANY (v_found) ORDER BY x.number
                              FOR KEY SHARE SKIP LOCKED);
            -- Its result is needed. Who ends it waits for this row, and sees that it is to be kept.
            UPDATE jobs x SET keep = 1e-6 WHERE x.number = ANY (v_living) AND x.keep <= 0;
            PERFORM bring_back(ARRAY(SELECT e.job FROM edges e WHERE e.before = ANY (v_living) AND NOT e.checked));
            UPDATE edges e SET checked = true WHERE e.before = ANY (v_living) AND NOT e.checked;
            v_found := ARRAY(SELECT u FROM unnest(v_found) u WHERE NOT EXISTS (SELECT FROM jobs x WHERE x.number = u));
            PERFORM release_after(v_found, v_now);
            FOR r IN
                SELECT e.before, e.job, h.state,
                       coalesce(h.id, 'job-' || h.number || '-' || lpad(to_hex(h.nonce), 10, '0')) AS name
                FROM edges e JOIN history h ON h.number = e.before
                WHERE e.before = ANY (v_found) AND e.state = 'open' AND e.needs <> 'end' AND h.state <> 'completed'
                ORDER BY e.before, e.job LIMIT greatest(v_left, 0) + 1
            LOOP
                v_left := v_left - 1;
                SELECT x.* INTO j FROM jobs x WHERE x.number = r.job FOR UPDATE SKIP LOCKED;
                IF NOT FOUND AND EXISTS (SELECT FROM jobs x WHERE x.number = r.job) THEN
                    UPDATE edges e SET checked = false WHERE e.before = r.before AND e.job = r.job;
                    CONTINUE;  -- another has it in its hands
                END IF;
                UPDATE edges e SET state = 'failed', checked = true WHERE e.before = r.before AND e.job = r.job;
                DELETE FROM waiting w WHERE w.job = j.number;
                CONTINUE WHEN NOT FOUND;  -- it has ended, or its user has had it run
                PERFORM end_job(j, 'cancelled', NULL, format('needed %s, which was %s', r.name, r.state), v_now);
                v_seen := array_remove(v_seen, j.number);
                SELECT j.number, j.nonce, coalesce(j.id, 'job-' || j.number || '-' || lpad(to_hex(j.nonce), 10, '0')),
                       j.task, j.queue, r.name, r.state INTO number, nonce, id, task, queue, needed, was;
                RETURN NEXT;
            END LOOP;
            -- Those that are left, for the next call.
            UPDATE edges e SET checked = false
            FROM (SELECT x.before, min(x.job) AS job FROM edges x WHERE x.before = ANY (v_found) AND x.state = 'open'
                  GROUP BY x.before) m
            WHERE e.before = m.before AND e.job = m.job AND e.checked;
            more := more OR v_left <= 0;
            EXIT WHEN more;
        END LOOP;
        IF number IS NOT NULL THEN
            PERFORM notify_of_ends();
        END IF;
    END IF;
    number := NULL;
    RETURN NEXT;
END $$;

-- Bring those of these jobs back that were cancelled for what they need, if all of that lives or has completed; and then
-- those that were cancelled for them, some 1,000 at most. What is left has edges that are not checked.
CREATE FUNCTION @schema@.bring_back(p_jobs bigint[]) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '50ms'
AS $$
DECLARE
    h history;
    v_jobs bigint[] := p_jobs;
    v_next bigint[];
    v_left int := 1000;
BEGIN
    WHILE v_left > 0 LOOP
        v_next := '{}';
        FOR h IN SELECT * FROM history x
                 WHERE x.number = ANY (v_jobs) AND x.state = 'cancelled' AND x.reason LIKE 'needed %'
                   AND NOT EXISTS (SELECT FROM edges e WHERE e.job = x.number AND e.state = 'failed')
                 ORDER BY x.number LIMIT v_left FOR UPDATE SKIP LOCKED
        LOOP
            BEGIN
                CONTINUE WHEN h.unique_held
                    AND take_key(h.task, h.unique_key, h.number, NULL, engine_clock()) IS NOT NULL;
                PERFORM revive(h);
            EXCEPTION WHEN lock_not_available THEN
                CONTINUE;  -- its key is being put at this moment: it stays as it is
            END;
            v_next := v_next || h.number;
        END LOOP;
        EXIT WHEN v_next = '{}';
        v_left := v_left - cardinality(v_next);
        v_jobs := ARRAY(SELECT e.job FROM edges e WHERE e.before = ANY (v_next) AND e.state = 'open' AND NOT e.checked);
    END LOOP;
    IF v_left < 1000 THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
END $$;

-- Of records whose time is over, those that no job needs any more; the others have time again, more of it the longer
-- they are kept. What the former waited for is forgotten.
CREATE FUNCTION @schema@.without_needed(p_numbers bigint[], p_now timestamptz) RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_needed bigint[] := ARRAY(SELECT DISTINCT e.before FROM edges e WHERE e.before = ANY (p_numbers));
    v_rest bigint[] := ARRAY(SELECT n FROM unnest(p_numbers) n WHERE n <> ALL (v_needed));
BEGIN
    UPDATE history SET keep_until = p_now + greatest((p_now - ended_at) / 2, interval '5 seconds')
    WHERE number = ANY (v_needed);
    DELETE FROM edges WHERE job = ANY (v_rest);
    RETURN v_rest;
END $$;


-- To look at ----------------------------------------------------------------------------------------------------------

CREATE VIEW @schema@.listed_waiting AS SELECT job AS number FROM @schema@.waiting;

CREATE OR REPLACE VIEW @schema@.queue_counts AS
SELECT queue, 'total' AS state, count(*) FROM @schema@.jobs GROUP BY queue
UNION ALL
SELECT queue, 'available', count(*) FROM @schema@.ready GROUP BY queue
UNION ALL
SELECT queue, 'available', count(*) FROM @schema@.gated GROUP BY queue
UNION ALL
SELECT queue, CASE WHEN due <= @schema@.engine_clock() AND task IS NULL THEN 'available'
                   WHEN retry THEN 'retryable' ELSE 'scheduled' END, count(*) FROM @schema@.delayed GROUP BY 1, 2
UNION ALL
SELECT j.queue, 'waiting', count(*) FROM @schema@.waiting w JOIN @schema@.jobs j ON j.number = w.job GROUP BY 1
UNION ALL
SELECT queue, state, count(*) FROM @schema@.history GROUP BY 1, 2
UNION ALL
SELECT name, 'paused', 1 FROM @schema@.queues WHERE paused;

-- Beside `depths`: how many of the jobs of these queues wait for others, counted up to p_most.
CREATE FUNCTION @schema@.waiting_depths(p_queues text[], p_most int) RETURNS TABLE (name text, jobs bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
    SELECT j.queue, count(*) FROM (SELECT w.job FROM waiting w LIMIT p_most) w JOIN jobs j ON j.number = w.job
    WHERE j.queue = ANY (p_queues) GROUP BY 1
$$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
