-- Version 2, limits and turns: what `durable.engine.turns` describes.
--
-- Locks: a claim takes an advisory lock on each gate that it is about to count, never waits for one, and keeps it until
-- it commits; so of two claims the second counts what the first has let start. Nothing else takes these locks: a slot
-- is freed by a DELETE of rows that only their own claim has, and a start is given back by an INSERT. Who puts jobs
-- inserts into `gated`, and locks nothing.

-- What becomes available -----------------------------------------------------------------------------------------------

-- A job may run now: it stands in its lane, if it has one.
CREATE FUNCTION @schema@.make_available(p_number bigint) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    j jobs;
BEGIN
    SELECT * INTO j FROM jobs WHERE number = p_number;
    IF j.gates IS NULL THEN
        INSERT INTO ready VALUES (j.queue, j.rank, j.number);
    ELSE
        INSERT INTO gated VALUES (j.queue, j.gates, j.lane, j.rank, j.number);
    END IF;
END $$;

-- Of jobs that were put in this transaction, move those that have gates to their lanes.
CREATE FUNCTION @schema@.put_in_lanes(p_numbers bigint[], p_taken int[], p_gates text[], p_lane text[])
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    WITH given AS MATERIALIZED (
        SELECT o.number, p_gates[least(g.i, cardinality(p_gates))] AS gates,
               p_lane[least(g.i, cardinality(p_lane))] AS lane
        FROM unnest(p_numbers) WITH ORDINALITY AS o (number, ordinal), LATERAL (SELECT o.ordinal::int) AS g (i)
        WHERE g.i <> ALL (p_taken)
    ), told AS (
        UPDATE jobs j SET gates = g.gates, lane = g.lane FROM given g
        WHERE j.number = g.number AND g.gates IS NOT NULL
        RETURNING j.queue, j.gates, j.lane, j.rank, j.number
    ), gone AS (
        DELETE FROM ready r USING told t WHERE r.queue = t.queue AND r.rank = t.rank AND r.number = t.number
        RETURNING r.number
    ), later AS (
        UPDATE delayed d SET gated = true FROM told t WHERE d.number = t.number
    )
    INSERT INTO gated SELECT t.queue, t.gates, t.lane, t.rank, t.number FROM told t JOIN gone g ON g.number = t.number;
END $$;

-- A job that waits has other gates now, or another lane.
CREATE FUNCTION @schema@.move_to_lane(p @schema@.jobs, p_place text) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    IF p_place = 'delayed' THEN
        UPDATE delayed SET gated = p.gates IS NOT NULL WHERE number = p.number AND gated <> (p.gates IS NOT NULL);
    ELSIF p_place = 'gated' OR p.gates IS NOT NULL THEN
        DELETE FROM ready WHERE queue = p.queue AND rank = p.rank AND number = p.number;
        DELETE FROM gated WHERE number = p.number;
        PERFORM make_available(p.number);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION @schema@.promote(p_after timestamptz, p_now timestamptz) RETURNS int LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_count int := 0;
BEGIN
    IF EXISTS (SELECT FROM delayed WHERE due > p_after AND due <= p_now AND task IS NULL) THEN
        WITH due AS MATERIALIZED (
            SELECT d.due, d.number FROM delayed d WHERE d.due > p_after AND d.due <= p_now AND d.task IS NULL
            ORDER BY d.due, d.number LIMIT 1000 FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM delayed d USING due WHERE d.due = due.due AND d.number = due.number
            RETURNING d.queue, d.rank, d.number, d.gated
        ), in_lanes AS (
            INSERT INTO gated SELECT g.queue, j.gates, j.lane, g.rank, g.number
            FROM gone g JOIN jobs j ON j.number = g.number WHERE g.gated
        ), others AS (
            INSERT INTO ready SELECT queue, rank, number FROM gone WHERE NOT gated
        )
        SELECT count(*) INTO v_count FROM gone;
    END IF;
    -- Those that this transaction has let go, too: a claim then looks at lower numbers than it has claimed last.
    RETURN v_count + coalesce(current_setting('@schema@.let_go', true) = 'yes', false)::int;
END $$;

CREATE OR REPLACE FUNCTION @schema@.recall(p_queues text[], p_known text[], p_limit int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_task text := '';
    v_count int := 0;
    v_more int;
BEGIN
    LOOP
        SELECT d.task INTO v_task FROM delayed d WHERE d.task > v_task ORDER BY d.task LIMIT 1;
        EXIT WHEN v_task IS NULL OR v_count >= p_limit;
        CONTINUE WHEN v_task <> ALL (p_known);
        WITH found AS MATERIALIZED (
            SELECT d.ctid AS place FROM delayed d WHERE d.task = v_task AND d.queue = ANY (p_queues)
            ORDER BY d.rank, d.number LIMIT p_limit - v_count FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM delayed d WHERE d.ctid = ANY (ARRAY(SELECT f.place FROM found f))
            RETURNING d.queue, d.rank, d.number, d.gated
        ), in_lanes AS (
            INSERT INTO gated SELECT g.queue, j.gates, j.lane, g.rank, g.number
            FROM gone g JOIN jobs j ON j.number = g.number WHERE g.gated
        ), others AS (
            INSERT INTO ready SELECT queue, rank, number FROM gone WHERE NOT gated
        )
        SELECT count(*) INTO v_more FROM gone;
        v_count := v_count + v_more;
    END LOOP;
    RETURN v_count;
END $$;

-- A job comes back from a claim: it holds no place any more. If its attempt is given back and nothing of it is to be
-- waited for, so is its start.
CREATE OR REPLACE FUNCTION @schema@.put_back(p @schema@.jobs, p_delay float8, p_retry boolean, p_now timestamptz)
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    UPDATE jobs SET attempt = p.attempt, crashes = p.crashes, losses = p.losses, returns = returns + 1
    WHERE number = p.number;
    IF p.gates IS NOT NULL THEN
        WITH freed AS (
            DELETE FROM holders WHERE number = p.number RETURNING gate, key
        )
        INSERT INTO refunds SELECT f.gate, f.key FROM freed f JOIN gate_states s ON s.gate = f.gate AND s.key = f.key
        WHERE NOT p_retry AND NOT coalesce(p_delay > 0, false);
    END IF;
    IF p_delay > 0 THEN
        INSERT INTO delayed
        VALUES (p_now + p_delay * interval '1 second', p.number, p_retry, p.queue, p.rank, NULL, p.gates IS NOT NULL);
    ELSIF p.gates IS NULL THEN
        INSERT INTO ready VALUES (p.queue, p.rank, p.number);
    ELSE
        INSERT INTO gated VALUES (p.queue, p.gates, p.lane, p.rank, p.number);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION @schema@.take_out(p @schema@.jobs) RETURNS text LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_is_due boolean;
    v_retry boolean;
BEGIN
    FOR i IN 1 .. 2 LOOP  -- the second time for one that was promoted in between
        DELETE FROM ready WHERE queue = p.queue AND rank = p.rank AND number = p.number;
        IF FOUND THEN RETURN 'available'; END IF;
        IF p.gates IS NOT NULL THEN
            DELETE FROM gated WHERE number = p.number;
            IF FOUND THEN RETURN 'available'; END IF;
        END IF;
        DELETE FROM waiting WHERE job = p.number;
        IF FOUND THEN RETURN 'waiting'; END IF;
        DELETE FROM delayed WHERE number = p.number
        RETURNING due <= engine_clock() AND task IS NULL, retry INTO v_is_due, v_retry;
        IF FOUND THEN
            RETURN CASE WHEN v_is_due THEN 'available' WHEN v_retry THEN 'retryable' ELSE 'scheduled' END;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;


-- What a gate lets start -----------------------------------------------------------------------------------------------

-- What holds for each of these gates (code, then by hand, then by hand for the key), who has a place of it, and how many
-- more may start now: p_most at most. `opens`: seconds until the next may, if it is its rate that holds them back.
-- `late`: its next start is due later than these numbers can have moved it; that is read as if it were not.
CREATE FUNCTION @schema@.rooms(p_gates text[], p_keys text[], p_most int)
RETURNS TABLE (gate text, key text, running int, starts int, per float8, burst int, over text, held int, room int,
               opens float8, late boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_now float8 := extract(epoch FROM engine_clock());
BEGIN
    RETURN QUERY
    SELECT x.gate, x.key, x.running, x.starts, x.per, x.burst, x.over, x.held::int,
           greatest(0, least(p_most, x.running - x.held, floor(x.burst - x.ahead / x.interval + 1e-6)))::int,
           CASE WHEN x.running - x.held <= 0 OR x.burst - x.ahead / x.interval + 1e-6 >= 1 THEN NULL
                ELSE x.ahead - (x.burst - 1) * x.interval END,
           coalesce(x.due - v_now > x.burst * x.interval + 1e-6, false)
    FROM (
        SELECT a.*, a.per / a.starts AS interval, s.tat AS due,
               least(greatest(0, coalesce(s.tat, v_now) - v_now), a.burst * a.per / a.starts) AS ahead,
               (SELECT count(*) FROM (SELECT FROM holders h WHERE h.gate = a.gate AND h.key = a.key LIMIT a.running) h)
                   AS held
        FROM (
            SELECT g.gate, g.key, coalesce(k.running, h.running, c.running) AS running,
                   coalesce(k.starts, h.starts, c.starts) AS starts, coalesce(k.per, h.per, c.per) AS per,
                   coalesce(k.burst, h.burst, c.burst, k.starts, h.starts, c.starts) AS burst, c.over
            FROM unnest(p_gates, p_keys) AS g (gate, key)
            JOIN limits c ON c.name = g.gate AND c.key = '' AND NOT c.by_hand
            LEFT JOIN limits h ON h.name = g.gate AND h.key = '' AND h.by_hand
            LEFT JOIN limits k ON g.key <> '' AND k.name = g.gate AND k.key = g.key AND k.by_hand
        ) a LEFT JOIN gate_states s ON s.gate = a.gate AND s.key = a.key
    ) x;
END $$;

CREATE FUNCTION @schema@.is_gated() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$ BEGIN RETURN EXISTS (SELECT FROM gated); END $$;

-- Jobs that a gate holds back which does not let them wait: of each lane all, or all but the latest, end as cancelled.
CREATE FUNCTION @schema@.give_way(p_queue text, p_gates text, p_lanes text[], p_names text[], p_replace boolean[])
RETURNS boolean LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    l record;
    j jobs;
    v_any boolean := false;
BEGIN
    FOR l IN SELECT * FROM unnest(p_lanes, p_names, p_replace) AS u (lane, name, keeps_one) LOOP
        FOR j IN
            SELECT x.* FROM (
                SELECT g.number, g.ctid AS place FROM gated g
                WHERE g.queue = p_queue AND g.gates = p_gates AND g.lane = l.lane
                ORDER BY g.number DESC OFFSET l.keeps_one::int LIMIT 200
            ) o JOIN jobs x ON x.number = o.number ORDER BY x.number FOR UPDATE OF x SKIP LOCKED
        LOOP
            DELETE FROM gated g WHERE g.ctid = ANY (ARRAY(
                SELECT y.ctid FROM gated y WHERE y.number = j.number FOR UPDATE SKIP LOCKED));
            CONTINUE WHEN NOT FOUND;  -- it is in other hands
            PERFORM end_job(j, 'cancelled', NULL,
                            format(CASE WHEN l.keeps_one THEN '@replaced@' ELSE '@turned_away@' END, l.name),
                            engine_clock());
            v_any := true;
        END LOOP;
    END LOOP;
    RETURN v_any;
END $$;

-- Have the next start of these gates due no later than their numbers can have moved it: others did, or another clock.
CREATE FUNCTION @schema@.no_later(p_gates text[], p_keys text[]) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_now float8 := extract(epoch FROM engine_clock());
BEGIN
    UPDATE gate_states s SET tat = v_now + r.burst * r.per / r.starts
    FROM rooms(p_gates, p_keys, 1) r
    WHERE r.late AND s.gate = r.gate AND s.key = r.key;
END $$;

-- Lock these gates, as far as no other claim has them, and say how many jobs each lets start. Two arrays of equal length:
-- gates as name || chr(31) || key, and their rooms; one that another claim has is without room. Those that nothing
-- limits are not among them.
CREATE FUNCTION @schema@.lock_gates(
    p_names text[], p_lanes text[], p_most int,
    OUT pairs text[], OUT caps int[], OUT full_ones text[], OUT over text[], OUT opens_in float8, OUT busy boolean,
    OUT closed boolean)
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_gates text[];
    v_keys text[];
    v_late boolean;
BEGIN
    WITH wanted AS MATERIALIZED (
        SELECT DISTINCT n.name AS gate, split_part(l.lane, chr(31), n.place::int) AS key
        FROM unnest(p_lanes) AS l (lane), unnest(p_names) WITH ORDINALITY AS n (name, place)
        ORDER BY 1, 2
    ), tried AS MATERIALIZED (
        SELECT w.gate, w.key,
               pg_try_advisory_xact_lock(hashtextextended('@schema@.' || w.gate || chr(31) || w.key, 0)) AS mine
        FROM wanted w
    )
    SELECT array_agg(t.gate) FILTER (WHERE t.mine), array_agg(t.key) FILTER (WHERE t.mine),
           coalesce(array_agg(t.gate || chr(31) || t.key) FILTER (WHERE NOT t.mine), '{}'),
           coalesce(array_agg(0) FILTER (WHERE NOT t.mine), '{}')
    INTO v_gates, v_keys, pairs, caps FROM tried t;
    busy := pairs <> '{}';
    -- Statements from here on see what those have committed who had these locks before.
    IF EXISTS (SELECT FROM refunds) THEN
        PERFORM take_refunds(v_gates, v_keys);
    END IF;
    SELECT pairs || coalesce(array_agg(r.gate || chr(31) || r.key), '{}'), caps || coalesce(array_agg(r.room), '{}'),
           coalesce(array_agg(r.gate || chr(31) || r.key) FILTER (WHERE r.room = 0 AND r.over <> 'wait'), '{}'),
           coalesce(array_agg(r.over) FILTER (WHERE r.room = 0 AND r.over <> 'wait'), '{}'),
           min(r.opens) FILTER (WHERE r.room = 0),
           coalesce(bool_or(r.room = 0 AND r.key = '' AND r.over = 'wait'), false),
           bool_or(r.late)
    INTO pairs, caps, full_ones, over, opens_in, closed, v_late FROM rooms(v_gates, v_keys, p_most) r;
    IF v_late THEN
        PERFORM no_later(v_gates, v_keys);
    END IF;
END $$;

-- Take the first jobs of these lanes, p_each of each and p_left in all, lane by lane in turn, as far as p_pairs have room
-- (p_caps).
CREATE FUNCTION @schema@.take_from(
    p_worker bigint, p_left int, p_bytes bigint, p_queue text, p_gates text, p_names text[], p_lanes text[], p_each int,
    p_except text[], p_pairs text[], p_caps int[])
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8, gates text,
               lane text, look_in float8, sets text[], stops text[])
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    -- Whether a gate may have room for some of these and not for all.
    v_binds boolean := EXISTS (SELECT FROM unnest(p_caps) c WHERE c BETWEEN 1 AND p_left - 1);
    -- Whether starts are counted.
    v_counts boolean := EXISTS (SELECT FROM limits l WHERE l.name = ANY (p_names) AND l.starts IS NOT NULL);
    v_lanes text[] := p_lanes;
BEGIN
    IF 0 = ANY (p_caps) THEN
        v_lanes := ARRAY(
            SELECT l.lane FROM unnest(p_lanes) WITH ORDINALITY AS l (lane, place)
            WHERE NOT EXISTS (
                SELECT FROM unnest(p_names) WITH ORDINALITY AS n (name, place)
                WHERE p_caps[array_position(p_pairs, n.name || chr(31) || split_part(l.lane, chr(31), n.place::int))] = 0)
            ORDER BY l.place);
        IF v_lanes = '{}' THEN RETURN; END IF;
    END IF;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT l.lane, x.number, x.entry, row_number() OVER (ORDER BY x.round, l.place) AS turn
        FROM unnest(v_lanes) WITH ORDINALITY AS l (lane, place), LATERAL (
            SELECT g.number, g.entry, row_number() OVER (ORDER BY g.rank, g.number) AS round FROM (
                SELECT y.rank, y.number, y.ctid AS entry FROM gated y
                WHERE y.queue = p_queue AND y.gates = p_gates AND y.lane = l.lane
                  AND (p_except = '{}' OR NOT EXISTS (
                      SELECT FROM jobs j WHERE j.number = y.number AND j.task = ANY (p_except)))
                ORDER BY y.rank, y.number LIMIT p_each FOR UPDATE OF y SKIP LOCKED
            ) g
        ) x
    ), weighed AS MATERIALIZED (  -- the size of a large value is in its head: it is not read for that
        SELECT f.turn, f.entry, j.*, sum(octet_length(j.payload)) OVER (
                   ORDER BY f.turn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM found f JOIN jobs j ON j.number = f.number
        WHERE NOT v_binds OR f.number NOT IN (
            SELECT t.number FROM (
                SELECT y.number, y.pair, row_number() OVER (PARTITION BY y.pair ORDER BY y.turn) AS nth
                FROM (
                    SELECT z.number, z.turn, n.name || chr(31) || split_part(z.lane, chr(31), n.place::int) AS pair
                    FROM found z, unnest(p_names) WITH ORDINALITY AS n (name, place)
                ) y
            ) t WHERE t.nth > p_caps[array_position(p_pairs, t.pair)])
        ORDER BY f.turn LIMIT p_left
    ), taken AS MATERIALIZED (
        SELECT * FROM weighed w WHERE coalesce(w.before, 0) < p_bytes
    ), gone AS (  -- by their places: a join could be made by reading all. They are locked: no other has deleted any
        DELETE FROM gated g WHERE g.ctid = ANY (ARRAY(SELECT t.entry FROM taken t))
    ), leased AS (
        INSERT INTO leases (worker, numbers, tokens)
        SELECT p_worker, array_agg(t.number), array_agg(t.returns + 1) FROM taken t HAVING count(*) > 0
        RETURNING leases.number
    ), held AS (
        INSERT INTO holders SELECT n.name, split_part(t.lane, chr(31), n.place::int), t.number
        FROM taken t, unnest(p_names) WITH ORDINALITY AS n (name, place)
        RETURNING gate, key
    ), rated AS (
        INSERT INTO gate_states (gate, key, tat)
        SELECT c.gate, c.key, greatest(s.tat, y.now) + c.n * r.per / r.starts
        FROM (SELECT extract(epoch FROM engine_clock())::float8 AS now) y,
             (SELECT h.gate, h.key, count(*) AS n FROM held h WHERE v_counts GROUP BY 1, 2) c
        CROSS JOIN LATERAL rooms(ARRAY[c.gate], ARRAY[c.key], 1) r
        LEFT JOIN gate_states s ON s.gate = c.gate AND s.key = c.key
        WHERE r.starts IS NOT NULL
        ON CONFLICT (gate, key) DO UPDATE SET tat = excluded.tat
    )
    SELECT t.number, t.nonce, t.id, t.returns + 1, l.number, t.attempt + 1, t.crashes, t.losses, t.task, t.queue,
           t.rank, t.payload, t.options, extract(epoch FROM t.expires_at - engine_clock())::float8, p_gates, t.lane,
           NULL::float8, NULL::text[], NULL::text[]
    FROM taken t CROSS JOIN leased l ORDER BY t.turn;
END $$;

-- Of these lanes, let those give way that a full gate holds back which does not have them wait.
CREATE FUNCTION @schema@.give_way_of(
    p_queue text, p_gates text, p_lanes text[], p_names text[], p_full text[], p_over text[])
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_lanes text[];
    v_limits text[];
    v_replace boolean[];
BEGIN
    SELECT array_agg(x.lane), array_agg(x.name), array_agg(x.over = 'replace') INTO v_lanes, v_limits, v_replace
    FROM (
        SELECT DISTINCT ON (l.lane) l.lane, n.name, f.over
        FROM unnest(p_lanes) AS l (lane), unnest(p_names) WITH ORDINALITY AS n (name, place),
             unnest(p_full, p_over) AS f (gate, over)
        WHERE f.gate = n.name || chr(31) || (string_to_array(l.lane, chr(31)))[n.place] AND f.over <> 'wait'
        ORDER BY l.lane, f.over  -- 'discard' before 'replace'
    ) x;
    IF v_lanes IS NOT NULL AND give_way(p_queue, p_gates, v_lanes, v_limits, v_replace) THEN
        PERFORM notify_of_ends();
    END IF;
END $$;

-- Starts of these gates that were given back have not been.
CREATE FUNCTION @schema@.take_refunds(p_gates text[], p_keys text[]) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    WITH back AS (
        DELETE FROM refunds r USING unnest(p_gates, p_keys) AS u (gate, key)
        WHERE r.gate = u.gate AND r.key = u.key RETURNING r.gate, r.key
    )
    UPDATE gate_states s SET tat = s.tat - b.n * a.per / a.starts
    FROM (SELECT x.gate, x.key, count(*) AS n FROM back x GROUP BY 1, 2) b
    JOIN rooms(p_gates, p_keys, 1) a ON a.gate = b.gate AND a.key = b.key
    WHERE s.gate = b.gate AND s.key = b.key AND a.starts IS NOT NULL;
END $$;

-- The sets of gates of the jobs that wait in a queue: a step in the index for each.
CREATE FUNCTION @schema@.gate_sets(p_queue text) RETURNS text[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN ARRAY(
        WITH RECURSIVE s AS (
            (SELECT g.gates FROM gated g WHERE g.queue = p_queue ORDER BY g.gates LIMIT 1)
            UNION ALL
            SELECT n.gates FROM s, LATERAL (
                SELECT g.gates FROM gated g WHERE g.queue = p_queue AND g.gates > s.gates ORDER BY g.gates LIMIT 1) n
        ) SELECT s.gates FROM s);
END $$;

-- So many lanes behind p_after, round to p_from: a step in the index for each. Fewer: there are no others.
CREATE FUNCTION @schema@.next_lanes(p_queue text, p_gates text, p_after text, p_from text, p_most int)
RETURNS text[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_has_wrapped boolean := p_after < p_from;
    v_lanes text[] := '{}';
    v_part text[];
BEGIN
    FOR i IN 1 .. 2 LOOP
        v_part := ARRAY(
            WITH RECURSIVE s AS (
                (SELECT g.lane FROM gated g WHERE g.queue = p_queue AND g.gates = p_gates AND g.lane > p_after
                 ORDER BY g.lane LIMIT 1)
                UNION ALL
                SELECT n.lane FROM s, LATERAL (
                    SELECT g.lane FROM gated g WHERE g.queue = p_queue AND g.gates = p_gates AND g.lane > s.lane
                    ORDER BY g.lane LIMIT 1) n
            ) SELECT s.lane FROM s WHERE NOT v_has_wrapped OR s.lane <= p_from
            LIMIT p_most - cardinality(v_lanes));
        v_lanes := v_lanes || v_part;
        EXIT WHEN v_has_wrapped OR p_from = '' OR cardinality(v_lanes) >= p_most;
        v_has_wrapped := true;
        p_after := '';
    END LOOP;
    RETURN v_lanes;
END $$;

-- Take jobs from lanes in turn: of each set of gates of a queue, lane by lane, behind the one at which this worker has
-- stopped (p_stops, of the sets p_sets); one job of each, and several once all lanes have had their turn, until there are
-- p_limit or a round gives nothing. It looks at so many lanes at most. The last row has no number: it tells in how many
-- seconds to look again, which sets there are, and where it has stopped if that is behind the last job.
CREATE FUNCTION @schema@.take_gated(
    p_worker bigint, p_limit int, p_bytes bigint, p_queues text[], p_except text[], p_sets text[], p_stops text[],
    p_turn int)
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8, gates text,
               lane text, look_in float8, sets text[], stops text[])
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_probes int := @lanes_at_once@;
    v_left int := p_limit;
    v_look float8;
    v_sets text[] := '{}';
    v_stops text[] := '{}';
    v_found text[];
    v_lanes text[];
    v_names text[];
    v_queue text;
    v_gates text;
    v_from text;     -- behind this lane a round begins
    v_after text;
    v_stop text;
    v_most int;
    v_is_all boolean;
    v_each int;
    v_taken int;
    v_round int;     -- jobs that this round has given
    k record;
BEGIN
    PERFORM FROM workers w WHERE w.number = p_worker FOR KEY SHARE SKIP LOCKED;
    IF NOT FOUND THEN p_queues := '{}'; END IF;
    FOREACH v_queue IN ARRAY p_queues LOOP
        CONTINUE WHEN EXISTS (SELECT FROM queues q WHERE q.name = v_queue AND q.paused);
        v_found := gate_sets(v_queue);
        FOR i IN 1 .. cardinality(v_found) LOOP
            v_gates := v_found[1 + (i + p_turn) % cardinality(v_found)];
            v_sets := v_sets || (v_queue || chr(31) || v_gates);
            v_stops := v_stops || NULL::text;
            CONTINUE WHEN least(v_left, v_probes) <= 0;
            v_names := string_to_array(v_gates, chr(31));
            v_from := coalesce(p_stops[array_position(p_sets, v_queue || chr(31) || v_gates)], '');
            v_each := 1;
            k := NULL;
            LOOP
                v_after := v_from;
                v_round := 0;
                LOOP
                    v_most := least(v_left, v_probes, 64);
                    v_lanes := next_lanes(v_queue, v_gates, v_after, v_from, v_most);
                    v_is_all := cardinality(v_lanes) < v_most;
                    EXIT WHEN v_lanes = '{}';
                    IF v_is_all AND v_after = v_from THEN  -- each of all lanes has its turn in this one look
                        v_each := greatest(v_each, ceil(v_left::float8 / cardinality(v_lanes)));
                    END IF;
                    v_after := v_lanes[cardinality(v_lanes)];
                    v_probes := v_probes - cardinality(v_lanes);
                    SELECT * INTO k FROM lock_gates(v_names, v_lanes, v_left);
                    v_look := least(v_look, k.opens_in, CASE WHEN k.busy THEN @gate_busy@ END);
                    RETURN QUERY SELECT * FROM take_from(p_worker, v_left, p_bytes, v_queue, v_gates, v_names, v_lanes,
                                                         v_each, p_except, k.pairs, k.caps);
                    GET DIAGNOSTICS v_taken = ROW_COUNT;
                    v_left := v_left - v_taken;
                    v_round := v_round + v_taken;
                    IF k.over <> '{}' THEN
                        PERFORM give_way_of(v_queue, v_gates, v_lanes, v_names, k.full_ones, k.over);
                    END IF;
                    EXIT WHEN v_is_all OR k.closed OR least(v_left, v_probes) <= 0;
                END LOOP;
                IF v_probes <= 0 AND v_left > 0 AND NOT v_is_all THEN
                    v_look := least(v_look, @gate_busy@);
                    v_stops[cardinality(v_stops)] := v_after;
                END IF;
                EXIT WHEN v_round = 0 OR k.closed OR least(v_left, v_probes) <= 0;
                v_each := ceil(v_left::float8 / greatest(1, v_round / v_each));
            END LOOP;
        END LOOP;
    END LOOP;
    SELECT v_look, v_sets, v_stops INTO look_in, sets, stops;
    RETURN NEXT;
END $$;

-- The same for a worker.
CREATE FUNCTION @schema@.claim_gated(
    p_worker bigint, p_limit int, p_bytes bigint, p_queues text[], p_except text[], p_sets text[], p_stops text[],
    p_turn int)
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8, gates text,
               lane text, look_in float8, sets text[], stops text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET lock_timeout = '10s'
AS $$
BEGIN
    RETURN QUERY SELECT t.* FROM take_gated(p_worker, p_limit, p_bytes, p_queues, p_except, p_sets, p_stops, p_turn) t;
END $$;

-- As `claim`, and from lanes: from these first or second. p_freed: so many of these settlements are of jobs that had
-- gates; others are woken if this claim has not taken as many. Up to three rows have no number: the last one of `claim`;
-- that of `take_gated`, if it has looked at lanes; and the last one tells what was refused.
CREATE FUNCTION @schema@.claim_turns(
    p_worker bigint, p_limit int, p_bytes bigint, p_under bigint[], p_numbers bigint[], p_tokens int[],
    p_leases bigint[], p_results bytea[], p_others text, p_done bigint[], p_queues text[], p_queue text[],
    p_after_rank bigint[], p_after bigint[], p_upto_rank bigint[], p_upto bigint[], p_full boolean, p_else_full boolean,
    p_due_after float8, p_ends boolean, p_work boolean,
    p_first boolean, p_freed int, p_sets text[], p_stops text[], p_turn int)
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8,
               refused bigint[], cancelled bigint[], next_due float8, seen float8, took float8,
               gates text, lane text, look_in float8, sets text[], stops text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
#variable_conflict use_column
DECLARE
    v_left int := p_limit;
    v_taken int := 0;
    v_more int;
    v_numbers bigint[] := p_numbers;
    v_others text := p_others;
BEGIN
    IF p_first AND (p_numbers <> '{}' OR p_others IS NOT NULL) THEN  -- what ends frees places first
        refused := settle(p_under, p_numbers, p_tokens, p_leases, p_results, p_others, p_ends, p_work);
        v_numbers := '{}';
        v_others := NULL;
    END IF;
    FOR v_step IN 1 .. 2 LOOP
        IF p_first <> (v_step = 1) THEN
            RETURN QUERY
            SELECT c.*, NULL::text, NULL::text, NULL::float8, NULL::text[], NULL::text[]
            FROM claim(p_worker, v_left, p_bytes, p_under, v_numbers, p_tokens, p_leases, p_results, v_others, p_done,
                       p_queues, p_queue, p_after_rank, p_after, p_upto_rank, p_upto, p_full, p_else_full, p_due_after,
                       p_ends, p_work) c;
            GET DIAGNOSTICS v_more = ROW_COUNT;
            v_left := v_left - v_more + 1;
        ELSIF v_left > 0 THEN
            RETURN QUERY
            SELECT t.number, t.nonce, t.id, t.token, t.lease, t.attempt, t.crashes, t.losses, t.task, t.queue, t.rank,
                   t.payload, t.options, t.expires_in, NULL::bigint[], NULL::bigint[], NULL::float8, NULL::float8,
                   NULL::float8, t.gates, t.lane, t.look_in, t.sets, t.stops
            FROM take_gated(p_worker, v_left, p_bytes, p_queues, '{}', p_sets, p_stops, p_turn) t;
            GET DIAGNOSTICS v_more = ROW_COUNT;
            v_taken := v_more - 1;
            v_left := v_left - v_taken;
        END IF;
    END LOOP;
    IF p_freed > v_taken AND EXISTS (SELECT FROM gated) THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    RETURN NEXT;
END $$;

-- Gates that count no start any more: what they remember says nothing.
CREATE FUNCTION @schema@.forget_idle_gates() RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_now float8;
BEGIN
    IF NOT EXISTS (SELECT FROM gate_states) THEN RETURN; END IF;
    v_now := extract(epoch FROM engine_clock());
    DELETE FROM gate_states s WHERE s.ctid = ANY (ARRAY(
        SELECT x.ctid FROM gate_states x WHERE x.tat < v_now - 60 ORDER BY x.tat LIMIT 1000 FOR UPDATE SKIP LOCKED));
    IF EXISTS (SELECT FROM refunds) THEN
        DELETE FROM refunds r WHERE NOT EXISTS (SELECT FROM gate_states s WHERE s.gate = r.gate AND s.key = r.key);
    END IF;
END $$;


-- Limits ---------------------------------------------------------------------------------------------------------------

CREATE VIEW @schema@.listed_gated AS SELECT number FROM @schema@.gated;
CREATE VIEW @schema@.listed_limits AS
SELECT name, key, by_hand, running, starts, per, burst, over, app, release FROM @schema@.limits;

-- A live worker of a program declares the limits of these names; p_changed, a JSON array, are those that are to be as it
-- has them. What none of its workers has declared for so long holds nothing back any more.
CREATE FUNCTION @schema@.declare_limits(
    p_app text, p_release text, p_names text[], p_changed text, p_seconds float8)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := engine_clock();
BEGIN
    INSERT INTO limits (name, key, by_hand, running, starts, per, burst, over, app, release, seen_at)
    SELECT c.name, '', false, c.running, c.starts, c.per, c.burst, c.over, p_app, p_release, v_now
    FROM json_to_recordset(p_changed::json)
         AS c (name text, running int, starts int, per float8, burst int, over text)
    ORDER BY c.name
    ON CONFLICT (name, key, by_hand) DO UPDATE
    SET running = excluded.running, starts = excluded.starts, per = excluded.per, burst = excluded.burst,
        over = excluded.over, app = excluded.app, release = excluded.release, seen_at = excluded.seen_at;
    IF FOUND THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    UPDATE limits SET seen_at = v_now WHERE (name, key, by_hand) IN (
        SELECT x.name, x.key, x.by_hand FROM limits x
        WHERE NOT x.by_hand AND x.name = ANY (p_names) AND x.seen_at < v_now - p_seconds / 3 * interval '1 second'
        ORDER BY x.name FOR UPDATE SKIP LOCKED);
    DELETE FROM limits x WHERE NOT x.by_hand AND x.app = p_app AND x.name <> ALL (p_names)
        AND x.seen_at < v_now - p_seconds * interval '1 second';
    IF FOUND THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
END $$;

-- By hand: what is null stays as it was set before, or as the code says.
CREATE FUNCTION @schema@.set_limit(
    p_name text, p_key text, p_running int, p_starts int, p_per float8, p_burst int)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    INSERT INTO limits (name, key, by_hand, running, starts, per, burst, seen_at)
    VALUES (p_name, p_key, true, p_running, p_starts, p_per, p_burst, engine_clock())
    ON CONFLICT (name, key, by_hand) DO UPDATE
    SET running = coalesce(excluded.running, limits.running), starts = coalesce(excluded.starts, limits.starts),
        per = coalesce(excluded.per, limits.per), burst = coalesce(excluded.burst, limits.burst),
        seen_at = excluded.seen_at;
    PERFORM pg_notify('@schema@.work', '');
END $$;

-- Back to what the code says: of the limit and all of its keys (null), or of one key. Whether anything was set by hand.
CREATE FUNCTION @schema@.reset_limit(p_name text, p_key text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    DELETE FROM limits WHERE name = p_name AND by_hand AND key = coalesce(p_key, key);
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM pg_notify('@schema@.work', '');
    RETURN true;
END $$;

-- Of each limit, how many jobs run, and how many available ones have it: of each set of gates so many at most.
CREATE FUNCTION @schema@.limit_counts(p_most int)
RETURNS TABLE (name text, running bigint, waiting bigint) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE sets AS (
        (SELECT g.queue, g.gates FROM gated g ORDER BY g.queue, g.gates LIMIT 1)
        UNION ALL
        SELECT n.queue, n.gates FROM sets s, LATERAL (
            SELECT g.queue, g.gates FROM gated g WHERE (g.queue, g.gates) > (s.queue, s.gates)
            ORDER BY g.queue, g.gates LIMIT 1) n
    ), waits AS (
        SELECT u.name, sum(c.count)::bigint AS count
        FROM sets s, LATERAL (
            SELECT count(*) FROM (
                SELECT FROM gated g WHERE g.queue = s.queue AND g.gates = s.gates LIMIT p_most) x
        ) c, unnest(string_to_array(s.gates, chr(31))) AS u (name) GROUP BY u.name
    ), runs AS (
        SELECT h.gate AS name, count(*) AS count FROM holders h GROUP BY h.gate
    )
    SELECT l.name, coalesce(r.count, 0), coalesce(w.count, 0)
    FROM (SELECT x.name FROM limits x WHERE NOT x.by_hand UNION SELECT r.name FROM runs r UNION SELECT w.name FROM waits w) l
    LEFT JOIN runs r ON r.name = l.name LEFT JOIN waits w ON w.name = l.name ORDER BY l.name;
END $$;


-- What the queues hold -------------------------------------------------------------------------------------------------

-- What these queues hold, each count up to p_most; of the delayed jobs, the earliest so many of all queues.
CREATE OR REPLACE FUNCTION @schema@.depths(p_queues text[], p_most int)
RETURNS TABLE (name text, paused boolean, available bigint, oldest float8, scheduled bigint, retryable bigint,
               running bigint, discarded bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := engine_clock();
BEGIN
    RETURN QUERY
    WITH earliest AS MATERIALIZED (
        SELECT d.queue, CASE WHEN d.task IS NULL THEN d.due ELSE 'infinity' END AS due, d.retry
        FROM delayed d ORDER BY d.due, d.number LIMIT p_most
    ), later AS MATERIALIZED (
        SELECT e.queue, count(*) FILTER (WHERE e.due <= v_now) AS due,
               count(*) FILTER (WHERE e.due > v_now AND e.retry) AS retryable,
               count(*) FILTER (WHERE e.due > v_now AND NOT e.retry) AS scheduled
        FROM earliest e GROUP BY e.queue
    ), at_work AS MATERIALIZED (
        SELECT j.queue, count(*) AS count FROM held h JOIN jobs j ON j.number = h.number GROUP BY j.queue
    )
    SELECT q.name,
           EXISTS (SELECT FROM queues p WHERE p.name = q.name AND p.paused),
           (SELECT count(*) FROM (
               (SELECT FROM ready r WHERE r.queue = q.name LIMIT p_most)
               UNION ALL (SELECT FROM gated g WHERE g.queue = q.name LIMIT p_most) LIMIT p_most) c) + coalesce(l.due, 0),
           -- The first of each priority, a hundred priorities at most.
           coalesce((
               WITH RECURSIVE firsts AS (
                   (SELECT r.rank, r.number FROM ready r WHERE r.queue = q.name ORDER BY r.rank, r.number LIMIT 1)
                   UNION ALL
                   SELECT n.rank, n.number FROM firsts f, LATERAL (
                       SELECT r.rank, r.number FROM ready r WHERE r.queue = q.name AND r.rank > f.rank
                       ORDER BY r.rank, r.number LIMIT 1) n
               )
               SELECT extract(epoch FROM v_now - min(j.enqueued_at))::float8
               FROM (SELECT f.number FROM firsts f LIMIT 100) f JOIN jobs j ON j.number = f.number
           ), 0),
           coalesce(l.scheduled, 0), coalesce(l.retryable, 0), coalesce(w.count, 0),
           (SELECT count(*) FROM (
               SELECT FROM history h WHERE h.queue = q.name AND h.state = 'discarded' LIMIT p_most) c)
    FROM unnest(p_queues) WITH ORDINALITY AS q (name, place)
    LEFT JOIN later l ON l.queue = q.name LEFT JOIN at_work w ON w.queue = q.name
    ORDER BY q.place;
END $$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
