-- Version 1. A step that was released is never changed: a new version appends a file.
-- @schema@ stands for the schema, a plain lower-case name.
--
-- What works on the queue calls functions, one for each call of the engine: one round trip, one transaction, plans that
-- stay, nothing that a pooler in transaction mode could break, and rights to call them instead of rights to tables.
--
-- Order of locks, by which no two of them wait for each other in a circle: rows of jobs by number first; a worker's row
-- only with SKIP LOCKED (a sweep takes the row first, and the jobs then). Two calls that put keys in opposite orders
-- may still deadlock; PostgreSQL ends one, and the engine sends it again.

CREATE TABLE @schema@.versions (
    version int NOT NULL,
    works_from int NOT NULL  -- the oldest Steadypool, by its own version of the tables, that can work with these
);

-- A number that no other row has or ever had. A sequence gives its own again once the store has gone back in time: a
-- replica took over that lacked the last commits, or a backup was put back.
CREATE FUNCTION @schema@.random_number() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807 $$;

-- One row for each job that has not ended; written once and deleted once, unless it comes back from a claim.
CREATE TABLE @schema@.jobs (
    number bigint PRIMARY KEY,
    nonce bigint NOT NULL,  -- 40 random bits, which tell it from another job that has been given the same number
    id text,
    queue text NOT NULL,
    task text NOT NULL,
    rank bigint NOT NULL,  -- the priority, negated: lower first
    attempt int NOT NULL DEFAULT 0,
    crashes int NOT NULL DEFAULT 0,
    losses int NOT NULL DEFAULT 0,
    returns int NOT NULL DEFAULT 0,  -- how often it came back from a claim: half of the fence
    enqueued_at timestamptz NOT NULL,
    expires_at timestamptz,
    keep double precision NOT NULL,
    unique_key text,
    unique_held boolean NOT NULL,
    options bytea,
    payload bytea NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 50000);
CREATE SEQUENCE @schema@.job_numbers;

-- What may be claimed, in the order in which it is.
CREATE TABLE @schema@.ready (
    queue text NOT NULL,
    rank bigint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (queue, rank, number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.0, autovacuum_analyze_threshold = 50000);

-- What waits for a moment.
CREATE TABLE @schema@.delayed (
    due timestamptz NOT NULL,
    number bigint NOT NULL,
    retry boolean NOT NULL,
    queue text NOT NULL,
    rank bigint NOT NULL,
    task text,  -- of a job that waits for a worker which knows its task; it is given up when it is due
    PRIMARY KEY (due, number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX delayed_job ON @schema@.delayed (number);
CREATE INDEX delayed_to_list ON @schema@.delayed (retry, number);
CREATE INDEX delayed_aside ON @schema@.delayed (task, rank, number) WHERE task IS NOT NULL;

-- Who works. A renewal touches this one row, whose page has room for its next versions.
CREATE TABLE @schema@.workers (
    number bigint PRIMARY KEY DEFAULT @schema@.random_number(),
    name text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    progress jsonb  -- how far its jobs are, by their numbers
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- One row for each claim of many jobs: the other half of the fence.
CREATE TABLE @schema@.leases (
    number bigint PRIMARY KEY DEFAULT @schema@.random_number(),
    worker bigint NOT NULL,
    numbers bigint[] NOT NULL,
    tokens int[] NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX leases_of_worker ON @schema@.leases (worker);

-- Jobs that have ended, until keep_until.
CREATE TABLE @schema@.history (
    number bigint PRIMARY KEY,
    nonce bigint NOT NULL,
    id text,
    queue text NOT NULL,
    task text NOT NULL,
    rank bigint NOT NULL,
    attempt int NOT NULL,
    crashes int NOT NULL,
    losses int NOT NULL,
    returns int NOT NULL,
    enqueued_at timestamptz NOT NULL,
    keep double precision NOT NULL,
    unique_key text,
    unique_held boolean NOT NULL,
    options bytea,
    payload bytea,
    state text NOT NULL,
    ended_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL,
    result bytea,
    reason text NOT NULL DEFAULT ''
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX history_to_prune ON @schema@.history (keep_until);
CREATE INDEX history_discarded ON @schema@.history (queue) WHERE state = 'discarded';
CREATE INDEX history_to_list ON @schema@.history (state, number) WHERE state <> 'completed';

-- Failed attempts, of jobs and of history.
CREATE TABLE @schema@.errors (
    job bigint NOT NULL,
    entry bigint GENERATED ALWAYS AS IDENTITY,
    attempt int NOT NULL,
    outcome text NOT NULL,
    type_name text NOT NULL,
    message text NOT NULL,
    traceback text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (job, entry)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- What is taken: ids (scope '') and unique keys (scope: the task).
CREATE TABLE @schema@.keys (
    scope text NOT NULL,
    key text NOT NULL,
    job bigint NOT NULL,
    until timestamptz,
    PRIMARY KEY (scope, key)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX keys_to_prune ON @schema@.keys (until) WHERE until IS NOT NULL;

-- Running jobs that are to be cancelled; and queues that are paused.
CREATE TABLE @schema@.cancels (job bigint PRIMARY KEY, nonce bigint NOT NULL);
CREATE TABLE @schema@.queues (name text PRIMARY KEY, paused boolean NOT NULL);


-- To look at ----------------------------------------------------------------------------------------------------------

CREATE VIEW @schema@.live AS
SELECT j.number, j.nonce, coalesce(j.id, 'job-' || j.number || '-' || lpad(to_hex(j.nonce), 10, '0')) AS id,
       j.task, j.queue,
       CASE WHEN r.number IS NOT NULL THEN 'available'
            WHEN d.due IS NULL THEN 'running'
            WHEN d.due <= clock_timestamp() AND d.task IS NULL THEN 'available'  -- the next claim says so
            WHEN d.retry THEN 'retryable'
            ELSE 'scheduled' END AS state,
       -j.rank AS priority,
       j.attempt + (r.number IS NULL AND d.due IS NULL)::int AS attempt,
       j.crashes, j.losses, j.enqueued_at, CASE WHEN d.task IS NULL THEN d.due END AS due_at,
       NULL::timestamptz AS ended_at, j.payload, NULL::bytea AS result,
       CASE WHEN d.task IS NULL THEN '' ELSE '@set_aside@' END AS reason,
       c.job IS NOT NULL AS cancelling
FROM @schema@.jobs j
LEFT JOIN @schema@.ready r ON r.queue = j.queue AND r.rank = j.rank AND r.number = j.number
LEFT JOIN @schema@.delayed d ON d.number = j.number
LEFT JOIN @schema@.cancels c ON c.job = j.number;

CREATE VIEW @schema@.ended AS
SELECT h.number, h.nonce, coalesce(h.id, 'job-' || h.number || '-' || lpad(to_hex(h.nonce), 10, '0')) AS id, h.task,
       h.queue, h.state, -h.rank AS priority, h.attempt, h.crashes, h.losses, h.enqueued_at,
       NULL::timestamptz AS due_at, h.ended_at, h.payload, h.result, h.reason, false AS cancelling
FROM @schema@.history h;

-- Where jobs stand, for lists that go along an index.
CREATE VIEW @schema@.listed_jobs AS SELECT number, queue, task FROM @schema@.jobs;
CREATE VIEW @schema@.listed_ready AS SELECT queue, rank, number FROM @schema@.ready;
CREATE VIEW @schema@.listed_delayed AS SELECT number, retry, due, task FROM @schema@.delayed;

-- The jobs that workers hold, and under which lease.
CREATE VIEW @schema@.held AS
SELECT DISTINCT ON (j.number) j.number, l.number AS lease, l.worker, w.name, l.since,
       w.progress -> j.number::text AS progress
FROM @schema@.leases l
CROSS JOIN LATERAL unnest(l.numbers, l.tokens) AS h (number, token)
JOIN @schema@.jobs j ON j.number = h.number AND j.returns = h.token - 1
JOIN @schema@.workers w ON w.number = l.worker
ORDER BY j.number, h.token DESC;

CREATE VIEW @schema@.job_errors AS
SELECT e.job, e.entry, e.attempt, e.outcome, e.type_name, e.message, e.traceback, e.at FROM @schema@.errors e;

CREATE VIEW @schema@.chosen_ids AS
SELECT k.key AS id, k.job AS number FROM @schema@.keys k WHERE k.scope = '';

CREATE VIEW @schema@.queue_counts AS
SELECT queue, 'total' AS state, count(*) FROM @schema@.jobs GROUP BY queue
UNION ALL
SELECT queue, 'available', count(*) FROM @schema@.ready GROUP BY queue
UNION ALL
SELECT queue, CASE WHEN due <= clock_timestamp() AND task IS NULL THEN 'available'
                   WHEN retry THEN 'retryable' ELSE 'scheduled' END, count(*) FROM @schema@.delayed GROUP BY 1, 2
UNION ALL
SELECT queue, state, count(*) FROM @schema@.history GROUP BY 1, 2
UNION ALL
SELECT name, 'paused', 1 FROM @schema@.queues WHERE paused;

CREATE VIEW @schema@.queue_ages AS
SELECT queue, extract(epoch FROM clock_timestamp() - min(enqueued_at))::float8 AS seconds
FROM (
    SELECT f.queue, j.enqueued_at
    FROM (SELECT queue, rank, min(number) AS number FROM @schema@.ready GROUP BY queue, rank) f
    JOIN @schema@.jobs j ON j.number = f.number
) oldest GROUP BY queue;

CREATE VIEW @schema@.worker_counts AS
SELECT w.number, w.name, w.until >= clock_timestamp() AS alive,
       (SELECT count(*) FROM @schema@.held h WHERE h.worker = w.number) AS running, w.since
FROM @schema@.workers w;

-- What these queues hold, each count up to p_most; of the delayed jobs, the earliest so many of all queues.
CREATE FUNCTION @schema@.depths(p_queues text[], p_most int)
RETURNS TABLE (name text, paused boolean, available bigint, oldest float8, scheduled bigint, retryable bigint,
               running bigint, discarded bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock_timestamp();
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
           (SELECT count(*) FROM (SELECT FROM ready r WHERE r.queue = q.name LIMIT p_most) c) + coalesce(l.due, 0),
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


-- To put --------------------------------------------------------------------------------------------------------------

-- Take a key for a job: null if it has it now, else the job whose it is.
CREATE FUNCTION @schema@.take_key(p_scope text, p_key text, p_job bigint, p_until timestamptz, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_owner bigint;
BEGIN
    LOOP
        -- Waits for a transaction that is putting the same key at this moment.
        INSERT INTO keys VALUES (p_scope, p_key, p_job, p_until) ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN NULL; END IF;
        SELECT job INTO v_owner FROM keys
        WHERE scope = p_scope AND key = p_key AND (until IS NULL OR until > p_now);
        IF FOUND THEN RETURN v_owner; END IF;
        UPDATE keys SET job = p_job, until = p_until
        WHERE scope = p_scope AND key = p_key AND until <= p_now;
        IF FOUND THEN RETURN NULL; END IF;
        -- It was given back in between: once more.
    END LOOP;
END $$;

-- Put jobs. A column whose values are all alike comes as one value, one without values as null. p_lock_timeout: how
-- long to wait for another transaction that is taking the same key. No length of time is
-- longer than what a timestamp has room for: the caller sees to that.
-- Returns their numbers, and their nonce, one for all. For the positions in `taken` the numbers are those of the jobs
-- that have the id or key, and `owner_nonces` are theirs, `owners` their chosen ids: null for one whose record is gone.
CREATE FUNCTION @schema@.put(
    p_payload bytea[], p_task text[], p_queue text[], p_rank bigint[], p_delay float8[], p_at float8[], p_id text[],
    p_unique text[], p_unique_for float8[], p_total float8[], p_keep float8[], p_options bytea[], p_notify boolean,
    p_lock_timeout text,
    OUT numbers bigint[], OUT nonce bigint, OUT taken int[], OUT owner_nonces bigint[], OUT owners text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_owner bigint;
    v_id text;
    v_unique text;
    v_for float8;
    v_nonce bigint := random_number() & 1099511627775;
BEGIN
    nonce := v_nonce;
    SELECT array_agg(nextval('job_numbers')) INTO numbers FROM generate_series(1, cardinality(p_payload));
    taken := '{}';
    IF p_id IS NOT NULL OR p_unique IS NOT NULL THEN
        IF p_lock_timeout IS NOT NULL THEN
            PERFORM set_config('lock_timeout', p_lock_timeout, true);
        END IF;
        FOR i IN 1 .. cardinality(p_payload) LOOP
            v_id := p_id[least(i, cardinality(p_id))];
            v_unique := p_unique[least(i, cardinality(p_unique))];
            v_for := p_unique_for[least(i, cardinality(p_unique_for))];
            v_owner := NULL;
            IF v_id IS NOT NULL THEN
                v_owner := take_key('', v_id, numbers[i], NULL, v_now);
            END IF;
            IF v_owner IS NULL AND v_unique IS NOT NULL THEN
                v_owner := take_key(p_task[least(i, cardinality(p_task))], v_unique, numbers[i],
                                    v_now + v_for * interval '1 second', v_now);
                IF v_owner IS NOT NULL AND v_id IS NOT NULL THEN
                    DELETE FROM keys WHERE scope = '' AND key = v_id AND job = numbers[i];
                END IF;
            END IF;
            IF v_owner IS NOT NULL THEN
                numbers[i] := v_owner;
                taken := taken || i;
            END IF;
        END LOOP;
    END IF;

    WITH given AS MATERIALIZED (
        SELECT g.number, p_id[least(i, cardinality(p_id))] AS id, p_queue[least(i, cardinality(p_queue))] AS queue,
               p_task[least(i, cardinality(p_task))] AS task, p_rank[least(i, cardinality(p_rank))] AS rank,
               CASE WHEN p_at[least(i, cardinality(p_at))] IS NOT NULL
                    THEN to_timestamp(p_at[least(i, cardinality(p_at))])
                    ELSE v_now + p_delay[least(i, cardinality(p_delay))] * interval '1 second'
               END AS due,
               v_now + p_total[least(i, cardinality(p_total))] * interval '1 second' AS expires_at,
               p_keep[least(i, cardinality(p_keep))] AS keep, p_unique[least(i, cardinality(p_unique))] AS unique_key,
               p_unique[least(i, cardinality(p_unique))] IS NOT NULL
                   AND p_unique_for[least(i, cardinality(p_unique_for))] IS NULL AS unique_held,
               p_options[least(i, cardinality(p_options))] AS options, g.payload
        FROM unnest(numbers, p_payload) WITH ORDINALITY AS g (number, payload, ordinal),
             LATERAL (SELECT g.ordinal::int) AS o (i)
        WHERE i <> ALL (taken)
    ), written AS (
        INSERT INTO jobs (number, nonce, id, queue, task, rank, enqueued_at, expires_at, keep, unique_key, unique_held,
                          options, payload)
        SELECT number, v_nonce, id, queue, task, rank, v_now, expires_at, keep, unique_key, unique_held, options,
               payload
        FROM given
    ), later AS (
        INSERT INTO delayed SELECT due, number, false, queue, rank FROM given WHERE due > v_now
    )
    INSERT INTO ready SELECT queue, rank, number FROM given WHERE due IS NULL OR due <= v_now;

    IF taken <> '{}' THEN
        SELECT array_agg(o.nonce ORDER BY t.ordinal), array_agg(o.id ORDER BY t.ordinal) INTO owner_nonces, owners
        FROM unnest(taken) WITH ORDINALITY AS t (at, ordinal)
        LEFT JOIN LATERAL (
            SELECT j.nonce, j.id FROM jobs j WHERE j.number = numbers[t.at]
            UNION ALL SELECT h.nonce, h.id FROM history h WHERE h.number = numbers[t.at] LIMIT 1
        ) o ON true;
    END IF;
    IF p_notify THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
END $$;

-- The same for a connection of the caller's: jobs as JSON, which every driver can send; a row for each. Payload and
-- options are in base64, for the connection and the database may be in encodings of their own. If the database
-- is not the one that was meant, nothing is put, and one row without a number names the one that it is.
CREATE FUNCTION @schema@.put_json(
    p_jobs text, p_database text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
BEGIN
    IF p_database <> current_database() THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, current_database()::text, false;
        RETURN;
    END IF;
    RETURN QUERY
    WITH given AS (
        SELECT array_agg(decode(payload, 'base64') ORDER BY o) AS payloads, array_agg(task ORDER BY o) AS tasks,
               array_agg(queue ORDER BY o) AS queues, array_agg(rank ORDER BY o) AS ranks,
               array_agg(delay ORDER BY o) AS delays, array_agg(at ORDER BY o) AS ats, array_agg(g.id ORDER BY o) AS ids,
               array_agg("unique" ORDER BY o) AS uniques, array_agg(unique_for ORDER BY o) AS periods,
               array_agg(total_timeout ORDER BY o) AS totals, array_agg(keep ORDER BY o) AS keeps,
               array_agg(decode(options, 'base64') ORDER BY o) AS options
        FROM ROWS FROM (json_to_recordset(p_jobs::json) AS (
            payload text, task text, queue text, rank bigint, delay float8, at float8, id text, "unique" text,
            unique_for float8, total_timeout float8, keep float8, options text))
        WITH ORDINALITY AS g (payload, task, queue, rank, delay, at, id, "unique", unique_for, total_timeout, keep,
                              options, o)
    ), done AS MATERIALIZED (
        SELECT given.ids, p.* FROM given, put(payloads, tasks, queues, ranks, delays, ats, given.ids, uniques, periods,
                                              totals, keeps, options, true, NULL) p
    )
    SELECT n.number, m.nonce, coalesce(m.id, 'job-' || n.number || '-' || lpad(to_hex(m.nonce), 10, '0')), p.at IS NULL
    FROM done, unnest(done.numbers) WITH ORDINALITY AS n (number, o),
         LATERAL (SELECT array_position(done.taken, n.o::int)) AS p (at),
         LATERAL (SELECT CASE WHEN p.at IS NULL THEN done.nonce ELSE coalesce(done.owner_nonces[p.at], 0) END,
                         CASE WHEN p.at IS NULL THEN done.ids[n.o] ELSE done.owners[p.at] END) AS m (nonce, id)
    ORDER BY n.o;
END $$;


-- To settle -----------------------------------------------------------------------------------------------------------

-- A job has ended. Its row, with the counts that are to be recorded, is locked by the caller.
CREATE FUNCTION @schema@.end_job(p @schema@.jobs, p_state text, p_result bytea, p_reason text, p_now timestamptz)
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
            p_state, p_now, p_now + v_keep * interval '1 second', p_result, p_reason);
    ELSE
        DELETE FROM errors WHERE job = p.number;
        IF p.id IS NOT NULL THEN
            DELETE FROM keys WHERE scope = '' AND key = p.id AND job = p.number;
        END IF;
    END IF;
END $$;

-- A job comes back from a claim, with these counts, and may be claimed again in so many seconds.
CREATE FUNCTION @schema@.put_back(p @schema@.jobs, p_delay float8, p_retry boolean, p_now timestamptz)
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    UPDATE jobs SET attempt = p.attempt, crashes = p.crashes, losses = p.losses, returns = returns + 1
    WHERE number = p.number;
    IF p_delay > 0 THEN
        INSERT INTO delayed
        VALUES (p_now + p_delay * interval '1 second', p.number, p_retry, p.queue, p.rank);
    ELSE
        INSERT INTO ready VALUES (p.queue, p.rank, p.number);
    END IF;
END $$;

-- The common case: jobs that completed, ordered by number. Returns (number, lease, number, lease, ...) of the refused.
CREATE FUNCTION @schema@.settle_completed(
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
                  j.enqueued_at, j.keep, j.unique_key, j.unique_held, s.result
    ), kept AS (
        INSERT INTO history (number, nonce, id, queue, task, rank, attempt, crashes, losses, returns, enqueued_at, keep,
                             unique_key, unique_held, state, ended_at, keep_until, result)
        SELECT number, nonce, id, queue, task, rank, attempt + 1, crashes, losses, returns + 1, enqueued_at, keep,
               unique_key, unique_held, 'completed', p_now, p_now + keep * interval '1 second', result
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

-- Everything else, as a JSON array, in its order: that of numbers. Returns the refused, as above.
CREATE FUNCTION @schema@.settle_others(p_settlements text, p_lost bigint[], p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    s record;
    j jobs;
    v_verdict text;
    v_refused bigint[] := '{}';
BEGIN
    FOR s IN SELECT * FROM json_to_recordset(p_settlements::json) AS (
        number bigint, token int, lease bigint, verdict text, result text, delay float8, reason text, crashed boolean,
        attempt int, outcome text, type_name text, message text, traceback text)
    LOOP
        SELECT * INTO j FROM jobs
        WHERE number = s.number AND returns = s.token - 1 AND s.lease <> ALL (p_lost) FOR UPDATE;
        IF NOT FOUND THEN
            v_refused := v_refused || ARRAY[s.number, s.lease];
            CONTINUE;
        END IF;
        v_verdict := s.verdict;
        IF v_verdict IN ('retry', 'return') AND EXISTS (SELECT FROM cancels WHERE job = s.number) THEN
            v_verdict := 'cancel';  -- its worker has not heard: it must not run again
        END IF;
        IF v_verdict <> 'return' THEN
            j.attempt := j.attempt + 1;
            j.crashes := j.crashes + s.crashed::int;
        END IF;
        IF s.outcome IS NOT NULL AND v_verdict IN ('retry', 'return', 'discard', 'cancel') THEN
            INSERT INTO errors (job, attempt, outcome, type_name, message, traceback, at)
            VALUES (s.number, s.attempt, s.outcome, s.type_name, s.message, s.traceback, p_now);
        END IF;
        CASE v_verdict
            WHEN 'complete' THEN PERFORM end_job(j, 'completed', decode(s.result, 'base64'), '', p_now);
            WHEN 'discard' THEN PERFORM end_job(j, 'discarded', NULL, s.reason, p_now);
            WHEN 'cancel' THEN PERFORM end_job(j, 'cancelled', NULL, '', p_now);
            WHEN 'retry' THEN PERFORM put_back(j, s.delay, true, p_now);
            WHEN 'return' THEN PERFORM put_back(j, s.delay, false, p_now);
        END CASE;
    END LOOP;
    RETURN v_refused;
END $$;

-- Notify that jobs have ended, if any session listens: it then holds the shared lock of that name. Having tried it, none
-- can begin to listen until this transaction ends; who does so then looks for itself first.
CREATE FUNCTION @schema@.notify_of_ends() RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.ends')) THEN
        PERFORM pg_notify('@schema@.ends', '');
    END IF;
END $$;

-- Each settlement names the lease of its claim; p_under are all of these. A lease that is no more was swept, or was
-- made in a time that the store has gone back behind: then its jobs are others' to run.
CREATE FUNCTION @schema@.settle(
    p_under bigint[], p_numbers bigint[], p_tokens int[], p_leases bigint[], p_results bytea[], p_others text,
    p_ends boolean, p_work boolean)
RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_lost bigint[] := ARRAY(SELECT u FROM unnest(p_under) u WHERE NOT EXISTS (SELECT FROM leases WHERE number = u));
    v_refused bigint[] := '{}';
BEGIN
    IF p_numbers <> '{}' THEN
        v_refused := settle_completed(p_numbers, p_tokens, p_leases, p_results, v_lost, v_now);
    END IF;
    IF p_others IS NOT NULL THEN
        v_refused := v_refused || settle_others(p_others, v_lost, v_now);
    END IF;
    IF p_ends THEN
        PERFORM notify_of_ends();
    END IF;
    IF p_work THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    RETURN v_refused;
END $$;


-- To work -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @schema@.register(p_name text, p_seconds float8) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_number bigint;
BEGIN
    INSERT INTO workers (name, since, until)
    VALUES (p_name, clock_timestamp(), clock_timestamp() + p_seconds * interval '1 second')
    RETURNING number INTO v_number;
    RETURN v_number;
END $$;

CREATE FUNCTION @schema@.renew(p_worker bigint, p_seconds float8) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    UPDATE workers SET until = clock_timestamp() + p_seconds * interval '1 second' WHERE number = p_worker;
    RETURN FOUND;
END $$;

CREATE FUNCTION @schema@.report(p_worker bigint, p_progress text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    UPDATE workers SET progress = p_progress::jsonb WHERE number = p_worker;
END $$;

CREATE FUNCTION @schema@.leave(p_worker bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET lock_timeout = '10s'
AS $$
BEGIN
    DELETE FROM workers w WHERE w.number = p_worker AND NOT EXISTS (SELECT FROM leases l WHERE l.worker = p_worker);
END $$;

-- Jobs from these ranges of `ready`, in their order, under a new lease: so many at most, and no more once they have
-- so many bytes. A stretch is a queue and what lies after one (rank, number) and up to another.
CREATE FUNCTION @schema@.take(
    p_worker bigint, p_limit int, p_bytes bigint, p_queue text[], p_after_rank bigint[], p_after bigint[],
    p_upto_rank bigint[], p_upto bigint[])
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8)
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET enable_sort = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH found AS MATERIALIZED (  -- a fence: the LIMIT must not be run twice
        SELECT r.queue, r.rank, r.number
        FROM unnest(p_queue, p_after_rank, p_after, p_upto_rank, p_upto)
             AS s (queue, after_rank, after, upto_rank, upto),
             LATERAL (
                 SELECT x.queue, x.rank, x.number FROM ready x
                 WHERE x.queue = s.queue AND (x.rank, x.number) > (s.after_rank, s.after)
                   AND (x.rank, x.number) <= (s.upto_rank, s.upto)
                   AND NOT EXISTS (SELECT FROM queues q WHERE q.name = s.queue AND q.paused)
                 ORDER BY x.rank, x.number LIMIT p_limit FOR UPDATE OF x SKIP LOCKED
             ) r
        LIMIT p_limit
    ), weighed AS MATERIALIZED (  -- the size of a large value is in its head: it is not read for that
        SELECT f.queue AS place, f.rank AS position, f.number AS entry, j.*,
               sum(octet_length(j.payload)) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM found f LEFT JOIN jobs j ON j.number = f.number
    ), mine AS (  -- they are locked: no other has deleted any
        DELETE FROM ready r USING weighed w
        WHERE r.queue = w.place AND r.rank = w.position AND r.number = w.entry AND coalesce(w.before, 0) < p_bytes
    ), jobs_taken AS NOT MATERIALIZED (
        SELECT * FROM weighed w WHERE w.number IS NOT NULL AND coalesce(w.before, 0) < p_bytes
    ), leased AS (
        INSERT INTO leases (worker, numbers, tokens)
        SELECT p_worker, array_agg(t.number), array_agg(t.returns + 1) FROM jobs_taken t HAVING count(*) > 0
        RETURNING leases.number
    )
    SELECT t.number, t.nonce, t.id, t.returns + 1, l.number, t.attempt + 1, t.crashes, t.losses, t.task, t.queue,
           t.rank, t.payload, t.options, extract(epoch FROM t.expires_at - clock_timestamp())::float8
    FROM jobs_taken t CROSS JOIN leased l;
END $$;

CREATE FUNCTION @schema@.is_anything_in(
    p_queue text[], p_after_rank bigint[], p_after bigint[], p_upto_rank bigint[], p_upto bigint[])
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM unnest(p_queue, p_after_rank, p_after, p_upto_rank, p_upto)
                    AS s (queue, after_rank, after, upto_rank, upto),
             LATERAL (
                 SELECT FROM ready x
                 WHERE x.queue = s.queue AND (x.rank, x.number) > (s.after_rank, s.after)
                   AND (x.rank, x.number) <= (s.upto_rank, s.upto)
                   AND NOT EXISTS (SELECT FROM queues q WHERE q.name = s.queue AND q.paused)
                 ORDER BY x.rank, x.number LIMIT 1
             ) r);
END $$;

-- Make delayed jobs available whose time has come, a thousand at most; returns how many.
CREATE FUNCTION @schema@.promote(p_after timestamptz, p_now timestamptz) RETURNS int LANGUAGE plpgsql
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
            RETURNING d.queue, d.rank, d.number
        )
        INSERT INTO ready SELECT queue, rank, number FROM gone;
        GET DIAGNOSTICS v_count = ROW_COUNT;
    END IF;
    RETURN v_count;
END $$;

-- The worker holds nothing under these leases. What is still out under them is put back, attempts included: the
-- store has gone back behind its settlement, or the answer that told of the claim was lost. Returns how many.
CREATE FUNCTION @schema@.drop_leases(p_worker bigint, p_leases bigint[]) RETURNS int LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    j jobs;
    v_count int := 0;
BEGIN
    FOR j IN
        WITH gone AS MATERIALIZED (
            DELETE FROM leases l WHERE l.number = ANY (p_leases) AND l.worker = p_worker RETURNING l.numbers, l.tokens
        ), perhaps AS MATERIALIZED (
            -- Mostly nothing is left between the lowest and the highest: that is quicker to see than each of them.
            SELECT g.numbers, g.tokens
            FROM gone g, LATERAL (SELECT min(n) AS lowest, max(n) AS highest FROM unnest(g.numbers) n) e
            WHERE EXISTS (SELECT FROM jobs x WHERE x.number BETWEEN e.lowest AND e.highest)
        )
        SELECT jobs.* FROM (
            SELECT u.number, max(u.token) AS token FROM perhaps p, unnest(p.numbers, p.tokens) AS u (number, token)
            GROUP BY u.number
        ) h JOIN jobs ON jobs.number = h.number AND jobs.returns = h.token - 1
        ORDER BY jobs.number FOR UPDATE OF jobs
    LOOP
        PERFORM put_back(j, 0, false, clock_timestamp());
        v_count := v_count + 1;
    END LOOP;
    IF v_count > 0 THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    RETURN v_count;
END $$;

-- Settle, then claim. The last row has no number; it tells the rest of the answer.
--   p_queue ... p_upto: the ranges to look at, see `take`; the low-water marks are in them
--   p_full: look at the queues p_queues from their beginnings, whatever the ranges say
--   p_else_full: do so if the ranges do not give enough
--   p_due_after: delayed jobs due up to then have been seen
CREATE FUNCTION @schema@.claim(
    p_worker bigint, p_limit int, p_bytes bigint, p_under bigint[], p_numbers bigint[], p_tokens int[],
    p_leases bigint[], p_results bytea[], p_others text, p_done bigint[], p_queues text[], p_queue text[], p_after_rank bigint[],
    p_after bigint[], p_upto_rank bigint[], p_upto bigint[], p_full boolean, p_else_full boolean, p_due_after float8,
    p_ends boolean, p_work boolean)
RETURNS TABLE (number bigint, nonce bigint, id text, token int, lease bigint, attempt int, crashes int, losses int,
               task text, queue text, rank bigint, payload bytea, options bytea, expires_in float8,
               refused bigint[], cancelled bigint[], next_due float8, seen float8, took float8)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_due_after timestamptz := CASE WHEN p_full THEN '-infinity' ELSE to_timestamp(p_due_after) END;
    v_promoted int;
    v_full boolean := p_full;
    v_count int := 0;
    v_more int;
    v_began timestamptz;
    v_low bigint[] := array_fill(-9223372036854775808, ARRAY[cardinality(p_queues)]);
    v_high bigint[] := array_fill(9223372036854775807, ARRAY[cardinality(p_queues)]);
BEGIN
    refused := '{}';
    IF p_numbers <> '{}' OR p_others IS NOT NULL THEN
        refused := settle(p_under, p_numbers, p_tokens, p_leases, p_results, p_others, p_ends, p_work);
    END IF;
    IF p_done <> '{}' THEN
        PERFORM drop_leases(p_worker, p_done);
    END IF;
    IF p_limit > 0 THEN
        v_promoted := promote(v_due_after, v_now);
        v_full := v_full OR v_promoted > 0;
        IF NOT v_full AND is_anything_in(p_queue, p_after_rank, p_after, p_upto_rank, p_upto) THEN
            -- A sweep that has this worker's row takes back what it holds, and would not see a lease that is made now.
            PERFORM FROM workers w WHERE w.number = p_worker FOR KEY SHARE SKIP LOCKED;
            IF FOUND THEN
                RETURN QUERY SELECT t.*, NULL::bigint[], NULL::bigint[], NULL::float8, NULL::float8, NULL::float8
                FROM take(p_worker, p_limit, p_bytes, p_queue, p_after_rank, p_after, p_upto_rank, p_upto) t;
                GET DIAGNOSTICS v_count = ROW_COUNT;
            END IF;
        END IF;
        IF v_full OR (p_else_full AND v_count < p_limit) THEN
            v_full := true;
            v_began := clock_timestamp();
            IF is_anything_in(p_queues, v_low, v_low, v_high, v_high) THEN
                PERFORM FROM workers w WHERE w.number = p_worker FOR KEY SHARE SKIP LOCKED;
                IF FOUND THEN
                    RETURN QUERY SELECT t.*, NULL::bigint[], NULL::bigint[], NULL::float8, NULL::float8, NULL::float8
                    FROM take(p_worker, p_limit - v_count, p_bytes, p_queues, v_low, v_low, v_high, v_high) t;
                END IF;
            END IF;
            took := extract(epoch FROM clock_timestamp() - v_began);
        END IF;
    END IF;
    SELECT array_agg(c.job) || array_agg(c.nonce) INTO cancelled FROM (SELECT * FROM cancels x LIMIT 1000) c;
    SELECT CASE WHEN d.task IS NULL THEN extract(epoch FROM greatest(d.due - clock_timestamp(), interval '0')) END
    INTO next_due FROM delayed d WHERE d.due > v_due_after ORDER BY d.due LIMIT 1;
    -- Not a moment too late: a transaction that put jobs due by now may commit after this one.
    seen := CASE WHEN p_limit > 0 AND v_promoted < 1000 THEN extract(epoch FROM v_now) END;
    RETURN NEXT;
END $$;

-- Have jobs among the first of each queue wait whose task is not known, so that they are in no job's way; returns how
-- many of each task. They are found by `recall`, and given up in so many seconds if they are not.
CREATE FUNCTION @schema@.set_aside(p_queues text[], p_known text[], p_limit int, p_seconds float8)
RETURNS TABLE (task text, jobs bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET enable_sort = off SET lock_timeout = '10s' SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    -- By their places in the table: a join with it could be made by reading all of it.
    WITH head AS MATERIALIZED (
        SELECT h.place
        FROM unnest(p_queues) AS q (name), LATERAL (
            SELECT r.ctid AS place, r.number FROM ready r WHERE r.queue = q.name
            ORDER BY r.rank, r.number LIMIT p_limit
        ) h JOIN jobs j ON j.number = h.number
        WHERE j.task <> ALL (p_known)
    ), mine AS MATERIALIZED (  -- those that no other is about to take
        SELECT r.ctid AS place FROM ready r WHERE r.ctid = ANY (ARRAY(SELECT h.place FROM head h))
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM ready r WHERE r.ctid = ANY (ARRAY(SELECT m.place FROM mine m))
        RETURNING r.queue, r.rank, r.number
    ), named AS MATERIALIZED (
        SELECT g.*, j.task FROM gone g JOIN jobs j ON j.number = g.number
    ), kept AS (
        INSERT INTO delayed (due, number, retry, queue, rank, task)
        SELECT clock_timestamp() + p_seconds * interval '1 second', n.number, false, n.queue, n.rank, n.task
        FROM named n
    )
    SELECT n.task, count(*) FROM named n GROUP BY n.task;
END $$;

-- Make jobs available again that were set aside and whose task is known, so many at most; returns how many.
CREATE FUNCTION @schema@.recall(p_queues text[], p_known text[], p_limit int) RETURNS int
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
            RETURNING d.queue, d.rank, d.number
        )
        INSERT INTO ready SELECT queue, rank, number FROM gone;
        GET DIAGNOSTICS v_more = ROW_COUNT;
        v_count := v_count + v_more;
    END LOOP;
    RETURN v_count;
END $$;

-- Discard jobs that were set aside for long enough, so many at most; returns how many of each task.
CREATE FUNCTION @schema@.give_up_unknown(p_limit int, p_reason text)
RETURNS TABLE (task text, jobs bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET lock_timeout = '10s'
AS $$
#variable_conflict use_column
DECLARE
    j jobs;
    v_tasks text[] := '{}';
BEGIN
    FOR j IN
        SELECT x.* FROM (
            SELECT d.number FROM delayed d WHERE d.due <= clock_timestamp() AND d.task IS NOT NULL
            ORDER BY d.due LIMIT p_limit
        ) o JOIN jobs x ON x.number = o.number ORDER BY x.number FOR UPDATE OF x SKIP LOCKED
    LOOP
        DELETE FROM delayed d WHERE d.number = j.number AND d.task IS NOT NULL;
        CONTINUE WHEN NOT FOUND;  -- it was recalled in between
        PERFORM end_job(j, 'discarded', NULL, p_reason, clock_timestamp());
        v_tasks := v_tasks || j.task;
    END LOOP;
    IF v_tasks <> '{}' THEN
        PERFORM notify_of_ends();
    END IF;
    RETURN QUERY SELECT t, count(*) FROM unnest(v_tasks) t GROUP BY t;
END $$;

-- Put back, attempts included, what the worker holds by the tables but does not know of: all that is out under its
-- leases but for these jobs under these leases. Of the leases that it knows, returns those that are no more; and what
-- is out under its leases then, (lease, number, lease, number, ...).
CREATE FUNCTION @schema@.reconcile(
    p_worker bigint, p_leases bigint[], p_numbers bigint[], OUT returned int, OUT lost bigint[], OUT still_out bigint[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    j jobs;
BEGIN
    returned := drop_leases(p_worker, ARRAY(
        SELECT l.number FROM leases l WHERE l.worker = p_worker AND l.number <> ALL (p_leases)));
    FOR j IN
        SELECT jobs.* FROM (
            SELECT u.number, max(u.token) AS token FROM leases l, unnest(l.numbers, l.tokens) AS u (number, token)
            WHERE l.worker = p_worker
              AND NOT EXISTS (SELECT FROM unnest(p_leases, p_numbers) k (lease, number)
                              WHERE k.lease = l.number AND k.number = u.number)
            GROUP BY u.number
        ) h JOIN jobs ON jobs.number = h.number AND jobs.returns = h.token - 1
        ORDER BY jobs.number FOR UPDATE OF jobs
    LOOP
        PERFORM put_back(j, 0, false, clock_timestamp());
        returned := returned + 1;
    END LOOP;
    IF returned > 0 THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    lost := ARRAY(SELECT DISTINCT k FROM unnest(p_leases) k
                  WHERE NOT EXISTS (SELECT FROM leases l WHERE l.number = k AND l.worker = p_worker));
    still_out := ARRAY(
        SELECT x.value
        FROM leases l, unnest(l.numbers, l.tokens) AS u (number, token)
        JOIN jobs o ON o.number = u.number AND o.returns = u.token - 1,
             unnest(ARRAY[l.number, u.number]) WITH ORDINALITY AS x (value, place)
        WHERE l.worker = p_worker ORDER BY l.number, u.number, x.place);
END $$;

-- Take back what gone workers held. One row for each such worker.
CREATE FUNCTION @schema@.sweep(p_max_losses int)
RETURNS TABLE (name text, returned int, discarded int) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    w record;
    j jobs;
    v_now timestamptz := clock_timestamp();
    v_any boolean := false;
BEGIN
    FOR w IN SELECT x.number, x.name FROM workers x WHERE x.until < v_now ORDER BY x.number FOR UPDATE SKIP LOCKED
    LOOP
        v_any := true;
        name := w.name;
        returned := 0;
        discarded := 0;
        FOR j IN
            SELECT jobs.* FROM (
                SELECT u.number, max(u.token) AS token FROM leases l, unnest(l.numbers, l.tokens) AS u (number, token)
                WHERE l.worker = w.number GROUP BY u.number
            ) h JOIN jobs ON jobs.number = h.number AND jobs.returns = h.token - 1
            ORDER BY jobs.number FOR UPDATE OF jobs
        LOOP
            j.attempt := j.attempt + 1;
            j.losses := j.losses + 1;
            INSERT INTO errors (job, attempt, outcome, type_name, message, traceback, at)
            VALUES (j.number, j.attempt, 'lost', '', 'its worker died, or was cut off for too long', '', v_now);
            IF EXISTS (SELECT FROM cancels c WHERE c.job = j.number) THEN
                PERFORM end_job(j, 'cancelled', NULL, '', v_now);
                discarded := discarded + 1;
            ELSIF j.losses >= p_max_losses THEN
                PERFORM end_job(j, 'discarded', NULL, format('it was lost with its worker %s times', j.losses), v_now);
                discarded := discarded + 1;
            ELSE
                PERFORM put_back(j, 0, true, v_now);
                returned := returned + 1;
            END IF;
        END LOOP;
        DELETE FROM leases l WHERE l.worker = w.number;
        DELETE FROM workers x WHERE x.number = w.number;
        RETURN NEXT;
    END LOOP;
    IF v_any THEN
        PERFORM pg_notify('@schema@.work', '');
        PERFORM notify_of_ends();
    END IF;
END $$;

-- Delete records whose time is over, and keys whose period is; returns how many.
CREATE FUNCTION @schema@.prune(p_limit int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_numbers bigint[];
    v_count int;
BEGIN
    SELECT array_agg(h.number) INTO v_numbers FROM (
        SELECT number FROM history WHERE keep_until <= v_now ORDER BY keep_until LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) h;
    IF v_numbers IS NOT NULL THEN
        DELETE FROM errors WHERE job = ANY (v_numbers);
        DELETE FROM keys k USING history h
        WHERE h.number = ANY (v_numbers) AND h.id IS NOT NULL AND k.scope = '' AND k.key = h.id AND k.job = h.number;
        DELETE FROM history WHERE number = ANY (v_numbers);
    END IF;
    v_count := coalesce(cardinality(v_numbers), 0);
    IF v_count < p_limit AND EXISTS (SELECT FROM keys WHERE until <= v_now) THEN
        WITH over AS MATERIALIZED (
            SELECT scope, key FROM keys WHERE until <= v_now LIMIT p_limit - v_count FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM keys k USING over o WHERE k.scope = o.scope AND k.key = o.key RETURNING 1
        )
        SELECT v_count + count(*) INTO v_count FROM gone;
    END IF;
    RETURN v_count;
END $$;


-- To change one job ---------------------------------------------------------------------------------------------------
-- Each returns the job as it was found. Its row is locked first; then only a claim or a promotion can still move it.

-- Take a job that waits out of its place, and say in which state it was; null if it runs.
CREATE FUNCTION @schema@.take_out(p @schema@.jobs) RETURNS text LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_is_due boolean;
    v_retry boolean;
BEGIN
    DELETE FROM ready WHERE queue = p.queue AND rank = p.rank AND number = p.number;
    IF FOUND THEN RETURN 'available'; END IF;
    DELETE FROM delayed WHERE number = p.number
    RETURNING due <= clock_timestamp() AND task IS NULL, retry INTO v_is_due, v_retry;
    IF FOUND THEN
        RETURN CASE WHEN v_is_due THEN 'available' WHEN v_retry THEN 'retryable' ELSE 'scheduled' END;
    END IF;
    DELETE FROM ready WHERE queue = p.queue AND rank = p.rank AND number = p.number;  -- promoted in between
    IF FOUND THEN RETURN 'available'; END IF;
    RETURN NULL;
END $$;

-- The next two say only in which state the job was, and null if there is none: who enqueues may call them, and reads
-- nothing. Without a nonce it is the job of that number, whichever.
CREATE FUNCTION @schema@.cancel(p_number bigint, p_nonce bigint) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    j jobs;
    v_state text;
BEGIN
    SELECT * INTO j FROM jobs WHERE number = p_number AND nonce = coalesce(p_nonce, nonce) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN (SELECT state FROM history WHERE number = p_number AND nonce = coalesce(p_nonce, nonce));
    END IF;
    v_state := coalesce(take_out(j), 'running');
    IF v_state = 'running' THEN
        INSERT INTO cancels VALUES (j.number, j.nonce) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('@schema@.work', '');
    ELSE
        PERFORM end_job(j, 'cancelled', NULL, '', clock_timestamp());
        PERFORM notify_of_ends();
    END IF;
    RETURN v_state;
END $$;

-- The same for an id that was chosen.
CREATE FUNCTION @schema@.cancel_chosen(p_id text) RETURNS text LANGUAGE sql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
    SELECT cancel(k.job, NULL) FROM keys k WHERE k.scope = '' AND k.key = p_id;
$$;

CREATE FUNCTION @schema@.discard(p_number bigint, p_nonce bigint, p_reason text)
RETURNS SETOF @schema@.live LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    j jobs;
    v_found live;
BEGIN
    SELECT * INTO j FROM jobs WHERE number = p_number AND nonce = p_nonce FOR UPDATE;
    IF NOT FOUND THEN RETURN QUERY SELECT * FROM ended WHERE number = p_number AND nonce = p_nonce; RETURN; END IF;
    SELECT * INTO v_found FROM live WHERE number = p_number;
    v_found.state := coalesce(take_out(j), 'running');
    IF v_found.state <> 'running' THEN
        PERFORM end_job(j, 'discarded', NULL, p_reason, clock_timestamp());
        PERFORM notify_of_ends();
    END IF;
    RETURN NEXT v_found;
END $$;

-- Its unique key may be in the hands of a transaction that stays open for long; others wait for this connection.
CREATE FUNCTION @schema@.retry(p_number bigint, p_nonce bigint)
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
                      options, payload)
    VALUES (h.number, h.nonce, h.id, h.queue, h.task, h.rank, h.returns, h.enqueued_at, h.keep, h.unique_key,
            h.unique_held, h.options, h.payload);
    INSERT INTO ready VALUES (h.queue, h.rank, h.number);
    PERFORM pg_notify('@schema@.work', '');
END $$;

CREATE FUNCTION @schema@.pause(p_queue text, p_paused boolean) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET lock_timeout = '10s'
AS $$
BEGIN
    INSERT INTO queues VALUES (p_queue, p_paused) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused;
    IF NOT p_paused THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
END $$;


-- Rights --------------------------------------------------------------------------------------------------------------

-- Give the three roles, those of them that exist, what they need and nothing else.
CREATE FUNCTION @schema@.grant_roles() RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_role text;
    v_what text;
BEGIN
    FOR v_role, v_what IN VALUES
        ('enqueuer', 'put'), ('enqueuer', 'put_json'), ('enqueuer', 'cancel'),
        ('enqueuer', 'cancel_chosen'), ('worker', 'cancel_chosen'),
        ('worker', 'put'), ('worker', 'put_json'), ('worker', 'cancel'), ('worker', 'discard'), ('worker', 'retry'),
        ('worker', 'pause'), ('worker', 'register'), ('worker', 'renew'), ('worker', 'leave'), ('worker', 'claim'),
        ('worker', 'reconcile'), ('worker', 'set_aside'), ('worker', 'recall'), ('worker', 'give_up_unknown'),
        ('worker', 'settle'), ('worker', 'sweep'), ('worker', 'prune'), ('worker', 'depths'),
        ('worker', 'report'), ('reader', 'depths')
    LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE @schema@.%I TO %I', v_what, '@schema@_' || v_role);
        END IF;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['enqueuer', 'worker', 'reader'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA @schema@ TO %I', '@schema@_' || v_role);
            EXECUTE format('GRANT SELECT ON versions TO %I', '@schema@_' || v_role);
            IF v_role <> 'enqueuer' THEN
                EXECUTE format('GRANT SELECT ON live, ended, listed_jobs, listed_ready, listed_delayed, held, job_errors, chosen_ids, queue_counts, queue_ages, '
                               'worker_counts TO %I', '@schema@_' || v_role);
            END IF;
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
