-- Version 2: schedules; tags of jobs; what limits, batches, dependencies, notes and figures are kept in.
--
-- A worker of version 1 goes on beside later ones. It calls the functions of version 1, which keep their signatures,
-- and may get other bodies here; what is new has a new name. Jobs that a limit or a dependency holds back are in tables
-- of their own: a worker of version 1 does not look there, so it never runs one too early.
--
-- Order of locks: rows of schedules by name come before everything else. A put that gives a job that waits other
-- arguments locks it where it waits, in `ready` or `delayed`, and its row second: so a claim passes it over, whatever
-- becomes of the transaction. Who changes that job by hand at the same moment may run into a deadlock, and is sent again.

ALTER TABLE @schema@.jobs ADD COLUMN tags text[], ADD COLUMN gates text COLLATE "C", ADD COLUMN batch bigint;
ALTER TABLE @schema@.history ADD COLUMN tags text[], ADD COLUMN gates text COLLATE "C", ADD COLUMN batch bigint;
ALTER TABLE @schema@.jobs ADD COLUMN on_discarded text;  -- the job that is put when this one is given up, as JSON
ALTER TABLE @schema@.history ADD COLUMN on_discarded text, ADD COLUMN worker text, ADD COLUMN started_at timestamptz;
ALTER TABLE @schema@.errors ADD COLUMN worker text, ADD COLUMN started_at timestamptz;
-- With its gates: the lane of a job that limits hold back (`durable.engine.turns`). Whether it has gates, once it is due.
ALTER TABLE @schema@.jobs ADD COLUMN lane text COLLATE "C";
ALTER TABLE @schema@.history ADD COLUMN lane text COLLATE "C";
ALTER TABLE @schema@.delayed ADD COLUMN gated boolean NOT NULL DEFAULT false;
-- The queues that it claims from, and the tasks that it knows; null: it has not said.
ALTER TABLE @schema@.workers ADD COLUMN queues text[], ADD COLUMN tasks text[];
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

-- Limits: a row for what the code says, and one for what was set by hand, of the limit or of one of its keys.
CREATE TABLE @schema@.limits (
    name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,  -- empty: the limit's own
    by_hand boolean NOT NULL,
    running int,
    starts int,
    per double precision,
    burst int,
    over text NOT NULL DEFAULT 'wait',
    app text,  -- the program that declares it, and its release
    release text,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (name, key, by_hand)
);

-- Available jobs with gates, lane by lane: instead of `ready`.
CREATE TABLE @schema@.gated (
    queue text NOT NULL,
    gates text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    rank bigint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (queue, gates, lane, rank, number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX gated_job ON @schema@.gated (number);

-- Who holds a place of a limit: one row for each running job and gate, which lives as long as its claim.
CREATE TABLE @schema@.holders (
    gate text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (gate, key, number)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX holders_job ON @schema@.holders (number);

-- Of each gate whose starts are counted: when the next is due if they come evenly spaced, by the clock of schedules.
-- Starts that are given back are rows of their own: who gives one back waits for no claim.
CREATE TABLE @schema@.gate_states (
    gate text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    tat double precision NOT NULL,
    PRIMARY KEY (gate, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX gate_states_idle ON @schema@.gate_states (tat);
CREATE TABLE @schema@.refunds (gate text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL);
CREATE INDEX refunds_of_gate ON @schema@.refunds (gate, key);

-- Batches: how many members each has, and how many of them have ended; `batch_parts`: what is to be added to that. How they
-- go together: `0002_batches.sql`.
CREATE TABLE @schema@.batches (
    number bigint PRIMARY KEY DEFAULT @schema@.random_number(),
    name text NOT NULL,
    parent bigint,
    then_job text,     -- what is put when all have completed, as `put_json` takes it
    finally_job text,  -- what is put when all have ended
    on_failure text NOT NULL,
    total bigint NOT NULL DEFAULT 0,
    ended bigint NOT NULL DEFAULT 0,  -- the next two included
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    sealed boolean NOT NULL DEFAULT false,  -- no more are added but by members
    cancelling boolean NOT NULL DEFAULT false,  -- there may be members that are to be cancelled
    counted text,      -- as what it counts in its parent
    told boolean NOT NULL DEFAULT false,  -- a worker has emitted that it has finished
    made_at timestamptz NOT NULL,
    cancelled_at timestamptz,
    then_at timestamptz,
    finished_at timestamptz,
    keep_until timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX batches_cancelling ON @schema@.batches (number) WHERE cancelling;
CREATE INDEX batches_to_tell ON @schema@.batches (number) WHERE finished_at IS NOT NULL AND NOT told;
CREATE INDEX batches_of_parent ON @schema@.batches (parent) WHERE parent IS NOT NULL;
CREATE INDEX batches_to_prune ON @schema@.batches (keep_until) WHERE keep_until IS NOT NULL;
CREATE INDEX batches_to_list ON @schema@.batches (made_at, number);
CREATE TABLE @schema@.batch_parts (
    batch bigint NOT NULL,
    part bigint NOT NULL DEFAULT @schema@.random_number(),
    n int NOT NULL DEFAULT 0,
    ended int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0,
    cancelled int NOT NULL DEFAULT 0,
    seal boolean NOT NULL DEFAULT false,
    PRIMARY KEY (batch, part)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

-- Which job waits for which. `waiting` is where a job stands meanwhile, instead of `ready`; `due`: not before that. How
-- they go together: `0002_links.sql`.
CREATE TABLE @schema@.edges (
    before bigint NOT NULL,
    job bigint NOT NULL,
    nonce bigint NOT NULL,   -- of `before`
    place int NOT NULL,      -- among those that the job waits for
    needs text NOT NULL,     -- success, end
    state text NOT NULL,     -- open; met; failed: `before` was given up, and so was the job
    checked boolean NOT NULL,  -- false: `tend_edges` is to look at it
    PRIMARY KEY (before, job)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX edges_of_job ON @schema@.edges (job, place);
CREATE INDEX edges_open ON @schema@.edges (job) WHERE state = 'open';
CREATE INDEX edges_unchecked ON @schema@.edges (before) WHERE NOT checked;
CREATE TABLE @schema@.waiting (
    job bigint PRIMARY KEY,
    due timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

-- What jobs have saved for their next run, and in which run that was (`durable.engine.notes`).
CREATE TABLE @schema@.notes (
    job bigint PRIMARY KEY,
    token int NOT NULL,
    saves bigint NOT NULL,
    state bytea NOT NULL,
    at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

-- A job that waits for the end of another that runs and has its unique key. It stands in `delayed`, due in the year 9999,
-- and `due` says when it may run after that. Who puts jobs inserts rows here, and changes only those of the same key.
CREATE TABLE @schema@.behind (
    owner bigint PRIMARY KEY,
    number bigint NOT NULL,
    scope text NOT NULL,
    key text NOT NULL,
    due timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX behind_of_job ON @schema@.behind (number);

-- What ended in each minute.
CREATE TABLE @schema@.minutes (
    queue text NOT NULL,
    task text NOT NULL,
    minute timestamptz NOT NULL,
    completed bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,     -- attempts
    discarded bigint NOT NULL DEFAULT 0,  -- jobs
    ran double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, task, minute)
) WITH (fillfactor = 50);
CREATE INDEX minutes_by_time ON @schema@.minutes (minute);
CREATE INDEX errors_latest ON @schema@.errors (at, entry);


-- To look at: tags, and who has run a job ------------------------------------------------------------------------------

CREATE OR REPLACE VIEW @schema@.live AS
SELECT j.number, j.nonce, coalesce(j.id, 'job-' || j.number || '-' || lpad(to_hex(j.nonce), 10, '0')) AS id,
       j.task, j.queue,
       CASE WHEN r.number IS NOT NULL OR g.number IS NOT NULL THEN 'available'
            WHEN w.job IS NOT NULL THEN 'waiting'
            WHEN d.due IS NULL THEN 'running'
            WHEN d.due <= clock_timestamp() AND d.task IS NULL THEN 'available'  -- the next claim says so
            WHEN d.retry THEN 'retryable'
            ELSE 'scheduled' END AS state,
       -j.rank AS priority,
       j.attempt + (r.number IS NULL AND g.number IS NULL AND d.due IS NULL AND w.job IS NULL)::int AS attempt,
       j.crashes, j.losses, j.enqueued_at,
       CASE WHEN w.job IS NOT NULL THEN w.due WHEN d.task IS NULL AND d.due < '9999-01-01Z' THEN d.due END AS due_at,
       NULL::timestamptz AS ended_at, j.payload, NULL::bytea AS result,
       CASE WHEN d.task IS NOT NULL THEN '@set_aside@' WHEN d.due >= '9999-01-01Z' THEN '@behind@' ELSE '' END AS reason,
       c.job IS NOT NULL AS cancelling, j.tags, NULL::text AS worker,
       NULL::timestamptz AS started_at, j.gates, j.lane
FROM @schema@.jobs j
LEFT JOIN @schema@.ready r ON r.queue = j.queue AND r.rank = j.rank AND r.number = j.number
LEFT JOIN @schema@.gated g ON g.number = j.number AND j.gates IS NOT NULL
LEFT JOIN @schema@.delayed d ON d.number = j.number
LEFT JOIN @schema@.waiting w ON w.job = j.number
LEFT JOIN @schema@.cancels c ON c.job = j.number;

CREATE OR REPLACE VIEW @schema@.ended AS
SELECT h.number, h.nonce, coalesce(h.id, 'job-' || h.number || '-' || lpad(to_hex(h.nonce), 10, '0')) AS id, h.task,
       h.queue, h.state, -h.rank AS priority, h.attempt, h.crashes, h.losses, h.enqueued_at,
       NULL::timestamptz AS due_at, h.ended_at, h.payload, h.result, h.reason, false AS cancelling, h.tags,
       h.worker, h.started_at, h.gates, h.lane
FROM @schema@.history h;

CREATE OR REPLACE VIEW @schema@.job_errors AS
SELECT e.job, e.entry, e.attempt, e.outcome, e.type_name, e.message, e.traceback, e.at, e.worker, e.started_at
FROM @schema@.errors e;

CREATE OR REPLACE VIEW @schema@.listed_jobs AS
SELECT number, queue, task, tags, enqueued_at, payload, nonce,
       coalesce(id, 'job-' || number || '-' || lpad(to_hex(nonce), 10, '0')) AS id FROM @schema@.jobs;

CREATE OR REPLACE VIEW @schema@.worker_counts AS
SELECT w.number, w.name, w.until >= clock_timestamp() AS alive,
       (SELECT count(*) FROM @schema@.held h WHERE h.worker = w.number) AS running, w.since, w.queues
FROM @schema@.workers w;

-- As `register`, for a worker that says what it works on.
CREATE FUNCTION @schema@.register_for(p_name text, p_seconds float8, p_queues text[], p_tasks text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_number bigint;
BEGIN
    INSERT INTO workers (name, since, until, queues, tasks)
    VALUES (p_name, clock_timestamp(), clock_timestamp() + p_seconds * interval '1 second', p_queues, p_tasks)
    RETURNING number INTO v_number;
    RETURN v_number;
END $$;

-- Which of these tasks no live worker knows; none while a live worker has not said which it knows.
CREATE FUNCTION @schema@.unknown_tasks(p_tasks text[]) RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
    WITH alive AS MATERIALIZED (SELECT w.tasks FROM workers w WHERE w.until >= pg_catalog.clock_timestamp())
    SELECT t FROM unnest(p_tasks) t
    WHERE EXISTS (SELECT FROM alive) AND NOT EXISTS (SELECT FROM alive a WHERE a.tasks IS NULL)
      AND t NOT IN (SELECT unnest(a.tasks) FROM alive a)
$$;


-- To put: with tags, and what becomes of a taken key ------------------------------------------------------------------

-- As `put`, with tags (each the text of an array), with what is put when a job is given up, and with gates and lanes. Jobs
-- with none of these are put by `put` itself, which is as fast as it was.
CREATE FUNCTION @schema@.put_jobs(
    p_payload bytea[], p_task text[], p_queue text[], p_rank bigint[], p_delay float8[], p_at float8[], p_id text[],
    p_unique text[], p_unique_for float8[], p_total float8[], p_keep float8[], p_options bytea[], p_notify boolean,
    p_lock_timeout text, p_tags text[], p_on_discarded text[], p_gates text[], p_lane text[],
    OUT numbers bigint[], OUT nonce bigint, OUT taken int[], OUT owner_nonces bigint[], OUT owners text[])
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    SELECT * INTO numbers, nonce, taken, owner_nonces, owners
    FROM put(p_payload, p_task, p_queue, p_rank, p_delay, p_at, p_id, p_unique, p_unique_for, p_total, p_keep,
             p_options, p_notify, p_lock_timeout);
    UPDATE jobs j
    SET tags = p_tags[least(g.i, cardinality(p_tags))]::text[],
        on_discarded = p_on_discarded[least(g.i, cardinality(p_on_discarded))]
    FROM unnest(numbers) WITH ORDINALITY AS o (number, ordinal), LATERAL (SELECT o.ordinal::int) AS g (i)
    WHERE j.number = o.number AND g.i <> ALL (taken)
      AND (array_remove(p_tags, NULL) <> '{}' OR array_remove(p_on_discarded, NULL) <> '{}');
    IF array_remove(p_gates, NULL) <> '{}' THEN
        PERFORM put_in_lanes(numbers, taken, p_gates, p_lane);
    END IF;
END $$;

-- Lock a job where it waits, and say where: a claim passes it over from then on. 'runs': it does not wait; 'gone': it has
-- ended. In the order of a claim's locks, before the job's own row.
CREATE FUNCTION @schema@.lock_waiting(p_number bigint) RETURNS text LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    j jobs;
BEGIN
    SELECT * INTO j FROM jobs WHERE number = p_number;
    IF NOT FOUND THEN RETURN 'gone'; END IF;
    PERFORM FROM ready WHERE queue = j.queue AND rank = j.rank AND number = p_number FOR UPDATE;
    IF FOUND THEN RETURN 'ready'; END IF;
    PERFORM FROM gated WHERE number = p_number FOR UPDATE;
    IF FOUND THEN RETURN 'gated'; END IF;
    PERFORM FROM waiting WHERE job = p_number FOR UPDATE;
    IF FOUND THEN RETURN 'waiting'; END IF;
    PERFORM FROM delayed WHERE number = p_number FOR UPDATE;
    IF FOUND THEN RETURN 'delayed'; END IF;
    PERFORM FROM ready WHERE queue = j.queue AND rank = j.rank AND number = p_number FOR UPDATE;  -- promoted in between
    IF FOUND THEN RETURN 'ready'; END IF;
    PERFORM FROM gated WHERE number = p_number FOR UPDATE;
    IF FOUND THEN RETURN 'gated'; END IF;
    IF EXISTS (SELECT FROM jobs WHERE number = p_number) THEN RETURN 'runs'; END IF;
    RETURN 'gone';
END $$;

-- Give a job that waits, and is locked there, the arguments of a later call; and with at_most, its time.
CREATE FUNCTION @schema@.put_into(p_number bigint, p_place text, p_job json) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    j jobs;
    v_now timestamptz := clock_timestamp();
    v_due timestamptz := coalesce(to_timestamp((p_job ->> 'at')::float8),
                                  v_now + coalesce((p_job ->> 'delay')::float8, 0) * interval '1 second');
BEGIN
    UPDATE jobs
    SET payload = decode(p_job ->> 'payload', 'base64'), options = decode(p_job ->> 'options', 'base64'),
        tags = texts_of(p_job -> 'tags'), on_discarded = p_job ->> 'on_discarded', keep = (p_job ->> 'keep')::float8,
        expires_at = v_now + (p_job ->> 'total_timeout')::float8 * interval '1 second',
        gates = p_job ->> 'gates', lane = p_job ->> 'lane'
    WHERE number = p_number RETURNING * INTO j;
    IF p_place <> 'waiting' THEN
        PERFORM move_to_lane(j, p_place);
    END IF;
    IF p_job ->> 'on_taken' <> 'push_back' THEN RETURN; END IF;
    v_due := least(v_due, j.enqueued_at + (p_job ->> 'at_most')::float8 * interval '1 second');
    IF p_place = 'delayed' THEN
        UPDATE behind SET due = v_due WHERE number = p_number;
        IF NOT FOUND THEN
            UPDATE delayed SET due = v_due WHERE number = p_number AND task IS NULL;
        END IF;
    ELSIF p_place = 'waiting' THEN
        UPDATE waiting SET due = v_due WHERE job = p_number;
    ELSIF v_due > v_now THEN
        DELETE FROM ready WHERE queue = j.queue AND rank = j.rank AND number = p_number;
        DELETE FROM gated WHERE number = p_number;
        INSERT INTO delayed VALUES (v_due, p_number, false, j.queue, j.rank, NULL, j.gates IS NOT NULL);
    END IF;
END $$;

CREATE FUNCTION @schema@.texts_of(p_texts json) RETURNS text[] LANGUAGE sql IMMUTABLE
SET search_path = @schema@, pg_temp
AS $$ SELECT CASE WHEN json_typeof(p_texts) = 'array' THEN ARRAY(SELECT json_array_elements_text(p_texts)) END $$;

-- One job as JSON, see `put_json`; with a key, or without.
CREATE FUNCTION @schema@.put_one(
    p_job json, p_key text,
    OUT numbers bigint[], OUT nonce bigint, OUT taken int[], OUT owner_nonces bigint[], OUT owners text[])
LANGUAGE sql
SET search_path = @schema@, pg_temp
AS $$
    SELECT p.* FROM put_jobs(
        ARRAY[decode(p_job ->> 'payload', 'base64')], ARRAY[p_job ->> 'task'], ARRAY[p_job ->> 'queue'],
        ARRAY[(p_job ->> 'rank')::bigint], ARRAY[(p_job ->> 'delay')::float8], ARRAY[(p_job ->> 'at')::float8],
        ARRAY[p_job ->> 'id'], ARRAY[p_key], ARRAY[(p_job ->> 'unique_for')::float8],
        ARRAY[(p_job ->> 'total_timeout')::float8], ARRAY[(p_job ->> 'keep')::float8],
        ARRAY[decode(p_job ->> 'options', 'base64')], true, NULL, ARRAY[texts_of(p_job -> 'tags')::text],
        ARRAY[p_job ->> 'on_discarded'], ARRAY[p_job ->> 'gates'], ARRAY[p_job ->> 'lane']) p
$$;

-- Put a job whose unique key runs under p_owner: it waits for the end of that one, and takes the place of p_waits, which
-- does so no more (null: no job did). Its number; null if another transaction was quicker.
CREATE FUNCTION @schema@.put_behind(p_job json, p_owner bigint, p_waits bigint, OUT number bigint, OUT nonce bigint)
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    j jobs;
    v_due timestamptz;
BEGIN
    SELECT p.numbers[1], p.nonce INTO number, nonce FROM put_one(p_job, NULL) p;
    UPDATE jobs x SET unique_key = p_job ->> 'unique', unique_held = true WHERE x.number = put_behind.number
    RETURNING x.* INTO j;
    DELETE FROM ready r WHERE r.queue = j.queue AND r.rank = j.rank AND r.number = j.number;
    DELETE FROM gated g WHERE g.number = j.number;
    DELETE FROM delayed d WHERE d.number = j.number RETURNING d.due INTO v_due;
    INSERT INTO behind VALUES (p_owner, j.number, j.task, j.unique_key, v_due)
    ON CONFLICT (owner) DO UPDATE SET number = excluded.number, due = excluded.due WHERE behind.number = p_waits;
    IF FOUND THEN
        INSERT INTO delayed VALUES ('9999-12-31Z', j.number, false, j.queue, j.rank, NULL, j.gates IS NOT NULL);
        RETURN;
    END IF;
    DELETE FROM jobs x WHERE x.number = j.number;
    DELETE FROM keys k WHERE k.scope = '' AND k.key = j.id AND k.job = j.number;
    number := NULL;
END $$;

-- Put one job of which `on_taken` says what becomes of it if its unique key is taken.
CREATE FUNCTION @schema@.put_over(
    p_job json, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    p record;
    v_waits bigint;
    v_place text;
    v_chosen text := p_job ->> 'id';
BEGIN
    -- What was found may have moved on by the time it is locked; then once more.
    FOR i IN 1 .. 100 LOOP
        SELECT * INTO p FROM put_one(p_job, p_job ->> 'unique');
        enqueued := p.taken = '{}';
        number := p.numbers[1];
        nonce := CASE WHEN enqueued THEN p.nonce ELSE coalesce(p.owner_nonces[1], 0) END;
        id := CASE WHEN enqueued THEN v_chosen ELSE p.owners[1] END;
        EXIT WHEN enqueued OR EXISTS (SELECT FROM keys k WHERE k.scope = '' AND k.key = v_chosen AND k.job = number)
               OR coalesce(p_job ->> 'on_taken', 'keep') = 'keep';
        v_waits := (SELECT b.number FROM behind b WHERE b.owner = put_over.number);
        v_place := lock_waiting(coalesce(v_waits, number));
        IF v_place IN ('ready', 'gated', 'waiting', 'delayed') THEN
            number := coalesce(v_waits, number);
            PERFORM put_into(number, v_place, p_job);
            SELECT j.nonce, j.id INTO nonce, id FROM jobs j WHERE j.number = put_over.number;
            EXIT;
        END IF;
        IF v_waits IS NOT NULL OR v_place = 'runs' THEN
            SELECT b.number, b.nonce INTO p FROM put_behind(p_job, number, v_waits) b;
            IF p.number IS NOT NULL THEN
                SELECT p.number, p.nonce, v_chosen, true INTO number, nonce, id, enqueued;
                EXIT;
            END IF;
        END IF;
        -- The job that has the key has ended: the key is free by now, unless it was taken for a period.
        EXIT WHEN EXISTS (SELECT FROM keys k WHERE k.scope = p_job ->> 'task' AND k.key = p_job ->> 'unique'
                          AND k.job = number AND k.until > clock_timestamp());
    END LOOP;
    id := coalesce(id, 'job-' || number || '-' || lpad(to_hex(nonce), 10, '0'));
END $$;

-- Put such jobs one by one, in their order; p_lock_timeout: see `put`.
CREATE FUNCTION @schema@.put_each(
    p_jobs text, p_lock_timeout text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
BEGIN
    IF p_lock_timeout IS NOT NULL THEN
        PERFORM set_config('lock_timeout', p_lock_timeout, true);
    END IF;
    RETURN QUERY
    SELECT p.* FROM json_array_elements(p_jobs::json) WITH ORDINALITY AS g (job, place), LATERAL put_over(g.job) p
    ORDER BY g.place;
END $$;

CREATE OR REPLACE FUNCTION @schema@.put_json(
    p_jobs text, p_database text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
RETURNS SETOF record LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp
AS $$
BEGIN
    IF p_database <> current_database() THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, current_database()::text, false;
    ELSIF p_jobs LIKE '%"after":%' OR p_jobs LIKE '%"batch":%' THEN
        RETURN QUERY SELECT * FROM put_linked(p_jobs, NULL);
    ELSE
        RETURN QUERY SELECT * FROM put_rows(p_jobs);
    END IF;
END $$;

-- The same in the right database, without what is between jobs.
CREATE FUNCTION @schema@.put_rows(
    p_jobs text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
RETURNS SETOF record LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
BEGIN
    IF p_jobs LIKE '%"on_taken":%' THEN
        RETURN QUERY SELECT * FROM put_each(p_jobs, NULL);
        RETURN;
    END IF;
    RETURN QUERY
    WITH given AS (
        SELECT array_agg(decode(payload, 'base64') ORDER BY o) AS payloads, array_agg(task ORDER BY o) AS tasks,
               array_agg(queue ORDER BY o) AS queues, array_agg(rank ORDER BY o) AS ranks,
               array_agg(delay ORDER BY o) AS delays, array_agg(at ORDER BY o) AS ats, array_agg(g.id ORDER BY o) AS ids,
               array_agg("unique" ORDER BY o) AS uniques, array_agg(unique_for ORDER BY o) AS periods,
               array_agg(total_timeout ORDER BY o) AS totals, array_agg(keep ORDER BY o) AS keeps,
               array_agg(decode(options, 'base64') ORDER BY o) AS options,
               array_agg(texts_of(tags)::text ORDER BY o) AS tags, array_agg(on_discarded ORDER BY o) AS on_discarded,
               array_agg(gates ORDER BY o) AS gates, array_agg(lane ORDER BY o) AS lanes
        FROM ROWS FROM (json_to_recordset(p_jobs::json) AS (
            payload text, task text, queue text, rank bigint, delay float8, at float8, id text, "unique" text,
            unique_for float8, total_timeout float8, keep float8, options text,
            tags json, on_discarded text, gates text, lane text))
        WITH ORDINALITY AS g (payload, task, queue, rank, delay, at, id, "unique", unique_for, total_timeout, keep,
                              options, tags, on_discarded, gates, lane, o)
    ), done AS MATERIALIZED (
        SELECT given.ids, p.* FROM given, put_jobs(payloads, tasks, queues, ranks, delays, ats, given.ids, uniques, periods,
                                              totals, keeps, options, true, NULL,
                                                  tags, on_discarded, given.gates, given.lanes) p
    )
    SELECT n.number, m.nonce, coalesce(m.id, 'job-' || n.number || '-' || lpad(to_hex(m.nonce), 10, '0')), p.at IS NULL
    FROM done, unnest(done.numbers) WITH ORDINALITY AS n (number, o),
         LATERAL (SELECT array_position(done.taken, n.o::int)) AS p (at),
         LATERAL (SELECT CASE WHEN p.at IS NULL THEN done.nonce ELSE coalesce(done.owner_nonces[p.at], 0) END,
                         CASE WHEN p.at IS NULL THEN done.ids[n.o] ELSE done.owners[p.at] END) AS m (nonce, id)
    ORDER BY n.o;
END $$;


-- A job's tags, gates and batch go with it into its history, and come back -----------------------------------------------

-- A job has ended whose key is held until then: the key goes to the job that waits behind it, which may run now; or it is
-- free. What a transaction that stays open has locked is left alone: `release_behind` has it later.
CREATE FUNCTION @schema@.hand_on_key(p_number bigint, p_scope text, p_key text) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_next bigint;
BEGIN
    IF EXISTS (SELECT FROM behind) THEN
        DELETE FROM behind WHERE number = p_number;  -- it was given up while it waited itself
        SELECT number INTO v_next FROM behind WHERE owner = p_number FOR UPDATE SKIP LOCKED;
        IF v_next IS NOT NULL AND release(p_number, v_next) THEN
            UPDATE keys SET job = v_next WHERE scope = p_scope AND key = p_key AND job = p_number;
            RETURN;
        END IF;
    END IF;
    DELETE FROM keys WHERE scope = p_scope AND key = p_key AND job = p_number;
END $$;

-- Let a job run that waits behind p_owner, by its row in `behind`, which is locked. False: it does not wait there.
CREATE FUNCTION @schema@.release(p_owner bigint, p_number bigint) RETURNS boolean LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    d delayed;
    v_due timestamptz;
BEGIN
    SELECT * INTO d FROM delayed WHERE number = p_number AND due >= '9999-01-01Z' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Locked by a transaction that gives it other arguments; or it was moved on by hand.
        DELETE FROM behind b WHERE b.owner = p_owner
            AND NOT EXISTS (SELECT FROM delayed x WHERE x.number = p_number AND x.due >= '9999-01-01Z');
        RETURN false;
    END IF;
    DELETE FROM behind WHERE owner = p_owner RETURNING due INTO v_due;
    DELETE FROM delayed WHERE number = p_number;
    IF v_due > clock_timestamp() THEN
        INSERT INTO delayed VALUES (v_due, d.number, false, d.queue, d.rank, NULL, d.gated);
    ELSE
        PERFORM make_available(d.number);
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    RETURN true;
END $$;

-- Let jobs run that wait behind one that has ended, and were not seen then: they were put by a transaction that was not
-- committed yet.
CREATE FUNCTION @schema@.release_behind() RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '20ms'
AS $$
DECLARE
    b behind;
BEGIN
    FOR b IN SELECT x.* FROM behind x WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.number = x.owner)
             LIMIT 100 FOR UPDATE SKIP LOCKED
    LOOP
        IF release(b.owner, b.number) THEN
            INSERT INTO keys VALUES (b.scope, b.key, b.number, NULL) ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
EXCEPTION WHEN lock_not_available THEN
    NULL;  -- the key is being put at this moment; the next look has it
END $$;

-- A job is given up, and says what is to run then: with its id and the reason, where that takes them.
CREATE FUNCTION @schema@.put_on_discarded(p @schema@.jobs, p_reason text) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_job json := p.on_discarded::json;
    v_id text := coalesce(p.id, 'job-' || p.number || '-' || lpad(to_hex(p.nonce), 10, '0'));
    v_payload bytea;
BEGIN
    SELECT '{'::bytea || coalesce(string_agg(x.part, ','::bytea ORDER BY x.place), '') || '}'::bytea INTO v_payload
    FROM (VALUES
        (1, nullif(decode(v_job ->> 'arguments', 'base64'), '')),
        (2, CASE WHEN v_job ->> 'takes_id' IS NOT NULL
                 THEN convert_to('"job_id":' || to_json(v_id)::text, 'UTF8') END),
        (3, CASE WHEN v_job ->> 'takes_reason' IS NOT NULL
                 THEN convert_to('"reason":' || to_json(p_reason)::text, 'UTF8') END)) AS x (place, part)
    WHERE x.part IS NOT NULL;
    PERFORM put_jobs(
        ARRAY[v_payload], ARRAY[v_job ->> 'task'], ARRAY[v_job ->> 'queue'], ARRAY[(v_job ->> 'rank')::bigint],
        ARRAY[(v_job ->> 'delay')::float8], NULL, NULL, NULL, NULL, ARRAY[(v_job ->> 'total_timeout')::float8],
        ARRAY[(v_job ->> 'keep')::float8], ARRAY[decode(v_job ->> 'options', 'base64')], true, NULL,
        ARRAY[texts_of(v_job -> 'tags')::text], NULL, NULL, NULL);
END $$;

CREATE FUNCTION @schema@.end_job(
    p @schema@.jobs, p_state text, p_result bytea, p_reason text, p_now timestamptz, p_worker text, p_started timestamptz)
RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    -- What was given up is kept for a while at least: its user may want to run it again.
    v_keep float8 := CASE WHEN p_state = 'completed' THEN p.keep ELSE greatest(p.keep, @keep_given_up@) END;
    v_needed boolean := false;
BEGIN
    DELETE FROM jobs WHERE number = p.number;
    DELETE FROM cancels WHERE job = p.number;
    IF EXISTS (SELECT FROM notes) THEN
        DELETE FROM notes WHERE job = p.number;
    END IF;
    IF p.gates IS NOT NULL THEN
        DELETE FROM holders WHERE number = p.number;
    END IF;
    IF p.unique_held THEN
        PERFORM hand_on_key(p.number, p.task, p.unique_key);
    END IF;
    IF p_state = 'discarded' AND p.on_discarded IS NOT NULL THEN
        PERFORM put_on_discarded(p, p_reason);
    END IF;
    IF EXISTS (SELECT FROM edges) THEN
        v_needed := end_edges(p.number, p_state);
    END IF;
    IF p.batch IS NOT NULL THEN
        INSERT INTO batch_parts (batch, ended, failed, cancelled)
        VALUES (p.batch, 1, (p_state = 'discarded')::int, (p_state = 'cancelled')::int);
    END IF;
    IF v_keep > 0 OR v_needed THEN
        INSERT INTO history VALUES (
            p.number, p.nonce, p.id, p.queue, p.task, p.rank, p.attempt, p.crashes, p.losses, p.returns + 1,
            p.enqueued_at, p.keep, p.unique_key, p.unique_held,
            CASE WHEN p_state <> 'completed' THEN p.options END, CASE WHEN p_state <> 'completed' THEN p.payload END,
            p_state, p_now, p_now + v_keep * interval '1 second', p_result, p_reason, p.tags, p.gates, p.batch,
            CASE WHEN p_state <> 'completed' THEN p.on_discarded END, p_worker, p_started, p.lane);
    ELSE
        DELETE FROM errors WHERE job = p.number;
        IF p.id IS NOT NULL THEN
            DELETE FROM keys WHERE scope = '' AND key = p.id AND job = p.number;
        END IF;
    END IF;
END $$;

-- For a job that has not run, or of which that is not known.
CREATE OR REPLACE FUNCTION @schema@.end_job(p @schema@.jobs, p_state text, p_result bytea, p_reason text, p_now timestamptz)
RETURNS void LANGUAGE sql
SET search_path = @schema@, pg_temp
AS $$ SELECT end_job(p, p_state, p_result, p_reason, p_now, NULL, NULL) $$;

CREATE OR REPLACE FUNCTION @schema@.settle_completed(
    p_numbers bigint[], p_tokens int[], p_leases bigint[], p_results bytea[], p_lost bigint[], p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_held bigint[];
    v_numbers bigint[];
    v_scopes text[];
    v_keys text[];
    v_batches bigint[];
    v_behind boolean := EXISTS (SELECT FROM behind);
    v_edges boolean := EXISTS (SELECT FROM edges);  -- or the row says by then that it is to be kept, see `tend_edges`
BEGIN
    WITH under AS MATERIALIZED (
        SELECT l.number AS lease, w.name AS worker, l.since FROM leases l LEFT JOIN workers w ON w.number = l.worker
        WHERE l.number = ANY (p_leases)
    ), gone AS (
        -- The fence. Should another transaction have the row, this waits, and looks at `returns` again.
        DELETE FROM jobs j USING unnest(p_numbers, p_tokens, p_leases, p_results) AS s (number, token, lease, result)
        WHERE j.number = s.number AND j.returns = s.token - 1 AND s.lease <> ALL (p_lost)
        RETURNING j.number, j.nonce, j.id, j.queue, j.task, j.rank, j.attempt, j.crashes, j.losses, j.returns,
                  j.enqueued_at, j.keep, j.unique_key, j.unique_held, s.result, s.lease, j.tags, j.gates, j.batch, j.lane
    ), kept AS (
        INSERT INTO history (number, nonce, id, queue, task, rank, attempt, crashes, losses, returns, enqueued_at, keep,
                             unique_key, unique_held, state, ended_at, keep_until, result, tags, gates, batch, worker,
                             started_at, lane)
        SELECT number, nonce, id, queue, task, rank, attempt + 1, crashes, losses, returns + 1, enqueued_at, keep,
               unique_key, unique_held, 'completed', p_now, p_now + keep * interval '1 second', result, tags, gates,
               batch, u.worker, u.since, lane
        FROM gone LEFT JOIN under u ON u.lease = gone.lease
        WHERE keep > 0 OR (v_edges AND EXISTS (SELECT FROM edges e WHERE e.before = gone.number))
    ), unlocked AS (
        DELETE FROM keys k USING gone g
        WHERE g.unique_held AND NOT v_behind AND k.scope = g.task AND k.key = g.unique_key AND k.job = g.number
    ), unnamed AS (
        DELETE FROM keys k USING gone g
        WHERE g.keep <= 0 AND g.id IS NOT NULL AND k.scope = '' AND k.key = g.id AND k.job = g.number
          AND NOT (v_edges AND EXISTS (SELECT FROM edges e WHERE e.before = g.number))
    ), unremembered AS (
        DELETE FROM errors e USING gone g
        WHERE g.keep <= 0 AND g.returns > 0 AND e.job = g.number
          AND NOT (v_edges AND EXISTS (SELECT FROM edges x WHERE x.before = g.number))
    )
    SELECT array_agg(number), CASE WHEN v_behind THEN array_agg(number) FILTER (WHERE unique_held) END,
           CASE WHEN v_behind THEN array_agg(task) FILTER (WHERE unique_held) END,
           CASE WHEN v_behind THEN array_agg(unique_key) FILTER (WHERE unique_held) END,
           array_agg(batch) FILTER (WHERE batch IS NOT NULL)
    INTO v_held, v_numbers, v_scopes, v_keys, v_batches FROM gone;
    IF v_batches IS NOT NULL THEN
        INSERT INTO batch_parts (batch, ended) SELECT x, count(*) FROM unnest(v_batches) x GROUP BY x;
    END IF;
    IF v_behind THEN
        PERFORM hand_on_key(u.number, u.scope, u.key) FROM unnest(v_numbers, v_scopes, v_keys) AS u (number, scope, key);
    END IF;
    IF EXISTS (SELECT FROM holders) THEN
        DELETE FROM holders WHERE number = ANY (v_held);
    END IF;
    IF EXISTS (SELECT FROM cancels) THEN
        DELETE FROM cancels WHERE job = ANY (v_held);
    END IF;
    IF EXISTS (SELECT FROM notes) THEN
        DELETE FROM notes WHERE job = ANY (v_held);
    END IF;
    IF cardinality(v_held) = cardinality(p_numbers) THEN RETURN '{}'; END IF;
    RETURN (
        SELECT array_agg(x.value ORDER BY s.number, x.place)
        FROM unnest(p_numbers, p_leases) AS s (number, lease),
             unnest(ARRAY[s.number, s.lease]) WITH ORDINALITY AS x (value, place)
        WHERE v_held IS NULL OR s.number <> ALL (v_held)
    );
END $$;

-- What jobs save for their next run. A note gives way to a later one alone: of a later run, or of more saves.
CREATE VIEW @schema@.saved_notes AS SELECT job, state AS saved, at AS saved_at FROM @schema@.notes;

CREATE FUNCTION @schema@.keep_note(p_job bigint, p_token int, p_saves bigint, p_state bytea, p_now timestamptz)
RETURNS void LANGUAGE sql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
    INSERT INTO notes VALUES (p_job, p_token, p_saves, p_state, p_now) ON CONFLICT (job) DO UPDATE
    SET token = excluded.token, saves = excluded.saves, state = excluded.state, at = excluded.at
    WHERE (notes.token, notes.saves) < (excluded.token, excluded.saves);
$$;

-- Keep notes of claims that hold. Returns (number, lease, number, lease, ...) of the refused.
CREATE FUNCTION @schema@.save_notes(
    p_numbers bigint[], p_tokens int[], p_leases bigint[], p_saves bigint[], p_states bytea[])
RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    n record;
    v_now timestamptz := clock_timestamp();
    v_refused bigint[] := '{}';
BEGIN
    FOR n IN
        SELECT * FROM unnest(p_numbers, p_tokens, p_leases, p_saves, p_states) AS u (number, token, lease, saves, state)
        ORDER BY u.number
    LOOP
        -- The fence. Should another transaction have the row, this waits, and looks at `returns` again.
        PERFORM FROM jobs j WHERE j.number = n.number AND j.returns = n.token - 1
            AND EXISTS (SELECT FROM leases l WHERE l.number = n.lease) FOR SHARE OF j;
        IF FOUND THEN
            PERFORM keep_note(n.number, n.token, n.saves, n.state, v_now);
        ELSE
            v_refused := v_refused || ARRAY[n.number, n.lease];
        END IF;
    END LOOP;
    RETURN v_refused;
END $$;

CREATE OR REPLACE FUNCTION @schema@.settle_others(p_settlements text, p_lost bigint[], p_now timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    s record;
    j jobs;
    l record;
    v_verdict text;
    v_refused bigint[] := '{}';
BEGIN
    FOR s IN SELECT * FROM json_to_recordset(p_settlements::json) AS (
        number bigint, token int, lease bigint, verdict text, result text, delay float8, reason text, crashed boolean,
        attempt int, outcome text, type_name text, message text, traceback text, gates text, lane text, aside boolean,
        saves bigint, state text)
    LOOP
        SELECT * INTO j FROM jobs
        WHERE number = s.number AND returns = s.token - 1 AND s.lease <> ALL (p_lost) FOR UPDATE;
        IF NOT FOUND THEN
            v_refused := v_refused || ARRAY[s.number, s.lease];
            CONTINUE;
        END IF;
        IF s.gates IS NOT NULL THEN
            UPDATE jobs SET gates = s.gates, lane = s.lane WHERE number = s.number RETURNING * INTO j;
        END IF;
        SELECT w.name, x.since INTO l FROM leases x LEFT JOIN workers w ON w.number = x.worker WHERE x.number = s.lease;
        v_verdict := s.verdict;
        IF v_verdict IN ('retry', 'return') AND EXISTS (SELECT FROM cancels WHERE job = s.number) THEN
            v_verdict := 'cancel';  -- its worker has not heard: it must not run again
        END IF;
        IF v_verdict <> 'return' THEN
            j.attempt := j.attempt + 1;
            j.crashes := j.crashes + s.crashed::int;
        END IF;
        IF s.outcome IS NOT NULL AND v_verdict IN ('retry', 'return', 'discard', 'cancel') THEN
            INSERT INTO errors (job, attempt, outcome, type_name, message, traceback, at, worker, started_at)
            VALUES (s.number, s.attempt, s.outcome, s.type_name, s.message, s.traceback, p_now, l.name, l.since);
        END IF;
        CASE v_verdict
            WHEN 'complete' THEN PERFORM end_job(j, 'completed', decode(s.result, 'base64'), '', p_now, l.name, l.since);
            WHEN 'discard' THEN PERFORM end_job(j, 'discarded', NULL, s.reason, p_now, l.name, l.since);
            WHEN 'cancel' THEN PERFORM end_job(j, 'cancelled', NULL, '', p_now, l.name, l.since);
            WHEN 'retry' THEN PERFORM put_back(j, s.delay, true, p_now);
            WHEN 'return' THEN PERFORM put_back(j, s.delay, false, p_now);
        END CASE;
        IF v_verdict IN ('retry', 'return') AND s.state IS NOT NULL THEN
            PERFORM keep_note(s.number, s.token, s.saves, decode(s.state, 'base64'), p_now);
        END IF;
        IF v_verdict = 'return' AND s.aside THEN
            UPDATE delayed SET task = j.task WHERE number = s.number;
        END IF;
    END LOOP;
    RETURN v_refused;
END $$;

CREATE OR REPLACE FUNCTION @schema@.settle(
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
    IF EXISTS (SELECT FROM edges) THEN
        PERFORM release_after(p_numbers || ARRAY(
            SELECT (o ->> 'number')::bigint FROM json_array_elements(p_others::json) o), v_now);
        DELETE FROM edges WHERE job = ANY (p_numbers) AND job <> ALL (v_refused);
    END IF;
    IF EXISTS (SELECT FROM batch_parts) THEN
        PERFORM fold_batches(v_now);
    END IF;
    IF p_ends THEN
        PERFORM notify_of_ends();
    END IF;
    IF p_work THEN
        PERFORM pg_notify('@schema@.work', '');
    END IF;
    RETURN v_refused;
END $$;

CREATE OR REPLACE FUNCTION @schema@.sweep(p_max_losses int)
RETURNS TABLE (name text, returned int, discarded int) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    w record;
    h record;
    j jobs;
    v_true timestamptz := pg_catalog.clock_timestamp();
    v_now timestamptz := clock_timestamp();
    v_any boolean := false;
BEGIN
    FOR w IN SELECT x.number, x.name FROM workers x WHERE x.until < v_true ORDER BY x.number FOR UPDATE SKIP LOCKED
    LOOP
        v_any := true;
        name := w.name;
        returned := 0;
        discarded := 0;
        FOR h IN
            SELECT x AS job, t.since FROM (
                SELECT u.number, max(u.token) AS token, max(l.since) AS since
                FROM leases l, unnest(l.numbers, l.tokens) AS u (number, token)
                WHERE l.worker = w.number GROUP BY u.number
            ) t JOIN jobs x ON x.number = t.number AND x.returns = t.token - 1
            ORDER BY x.number FOR UPDATE OF x
        LOOP
            j := h.job;
            j.attempt := j.attempt + 1;
            j.losses := j.losses + 1;
            INSERT INTO errors (job, attempt, outcome, type_name, message, traceback, at, worker, started_at)
            VALUES (j.number, j.attempt, 'lost', '', 'its worker died, or was cut off for too long', '', v_now, w.name,
                    h.since);
            IF EXISTS (SELECT FROM cancels c WHERE c.job = j.number) THEN
                PERFORM end_job(j, 'cancelled', NULL, '', v_now, w.name, h.since);
                discarded := discarded + 1;
            ELSIF j.losses >= p_max_losses THEN
                PERFORM end_job(j, 'discarded', NULL, format('it was lost with its worker %s times', j.losses), v_now,
                                w.name, h.since);
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

CREATE OR REPLACE FUNCTION @schema@.prune(p_limit int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_numbers bigint[];
    v_count int;
BEGIN
    IF EXISTS (SELECT FROM behind) THEN
        PERFORM release_behind();
    END IF;
    PERFORM forget_idle_gates();
    SELECT array_agg(h.number) INTO v_numbers FROM (
        SELECT number FROM history WHERE keep_until <= v_now ORDER BY keep_until LIMIT p_limit FOR UPDATE SKIP LOCKED
    ) h;
    v_count := coalesce(cardinality(v_numbers), 0);
    IF v_numbers IS NOT NULL AND EXISTS (SELECT FROM edges) THEN
        v_numbers := without_needed(v_numbers, v_now);
    END IF;
    IF v_numbers IS NOT NULL AND EXISTS (SELECT FROM batches) THEN
        v_numbers := without_members(v_numbers, v_now);
    END IF;
    DELETE FROM batches WHERE keep_until <= v_now;
    IF v_numbers IS NOT NULL THEN
        DELETE FROM errors WHERE job = ANY (v_numbers);
        DELETE FROM keys k USING history h
        WHERE h.number = ANY (v_numbers) AND h.id IS NOT NULL AND k.scope = '' AND k.key = h.id AND k.job = h.number;
        DELETE FROM history WHERE number = ANY (v_numbers);
    END IF;
    IF v_count < p_limit AND EXISTS (SELECT FROM keys WHERE until <= v_now) THEN
        WITH over AS MATERIALIZED (
            SELECT scope, key FROM keys WHERE until <= v_now LIMIT p_limit - v_count FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM keys k USING over o WHERE k.scope = o.scope AND k.key = o.key RETURNING 1
        )
        SELECT v_count + count(*) INTO v_count FROM gone;
    END IF;
    DELETE FROM minutes WHERE minute <= v_now - @keep_minutes@ * interval '1 second';
    RETURN v_count;
END $$;

CREATE FUNCTION @schema@.retry_job(p_number bigint, p_nonce bigint)
RETURNS SETOF @schema@.live LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
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
            DELETE FROM behind WHERE number = p_number;
            PERFORM make_available(j.number);
            PERFORM pg_notify('@schema@.work', '');
        END IF;
        RETURN NEXT v_found;
        RETURN;
    END IF;
    SELECT * INTO h FROM history WHERE number = p_number AND nonce = p_nonce FOR UPDATE;
    IF NOT FOUND THEN RETURN QUERY SELECT * FROM live WHERE number = p_number AND nonce = p_nonce; RETURN; END IF;
    RETURN QUERY SELECT * FROM ended WHERE number = p_number;
    IF h.state = 'completed' OR has_failed_edges(h) THEN RETURN; END IF;
    IF h.unique_held AND take_key(h.task, h.unique_key, h.number, NULL, clock_timestamp()) IS NOT NULL THEN RETURN; END IF;
    PERFORM revive(h);
    IF EXISTS (SELECT FROM edges) THEN
        PERFORM bring_back(ARRAY(SELECT e.job FROM edges e WHERE e.before = p_number AND e.state = 'open'));
    END IF;
    PERFORM pg_notify('@schema@.work', '');
END $$;

-- A job that was given up is there again, and its unique key is its own.
CREATE FUNCTION @schema@.revive(h @schema@.history) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM history WHERE number = h.number;
    INSERT INTO jobs (number, nonce, id, queue, task, rank, returns, enqueued_at, keep, unique_key, unique_held,
                      options, payload, tags, gates, batch, on_discarded, lane)
    VALUES (h.number, h.nonce, h.id, h.queue, h.task, h.rank, h.returns, h.enqueued_at, h.keep, h.unique_key,
            h.unique_held, h.options, h.payload, h.tags, h.gates, h.batch, h.on_discarded, h.lane);
    IF h.batch IS NOT NULL THEN
        INSERT INTO batch_parts (batch, ended, failed, cancelled)
        VALUES (h.batch, -1, -(h.state = 'discarded')::int, -(h.state = 'cancelled')::int);
    END IF;
    IF EXISTS (SELECT FROM edges) AND waits_again(h.number) THEN RETURN; END IF;
    PERFORM make_available(h.number);
END $$;

CREATE OR REPLACE FUNCTION @schema@.retry(p_number bigint, p_nonce bigint)
RETURNS SETOF @schema@.live LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET lock_timeout = '1s'
AS $$
BEGIN
    RETURN QUERY SELECT * FROM retry_job(p_number, p_nonce);
END $$;

-- Retry, cancel or discard these jobs; a row for each that is there: in which state it was, and whether it was changed.
-- 'taken': it would be retried, and another job has its unique key, or is being put with it.
CREATE FUNCTION @schema@.change_many(p_change text, p_numbers bigint[], p_nonces bigint[], p_reason text)
RETURNS TABLE (number bigint, was text, changed boolean) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '50ms'
AS $$
#variable_conflict use_column
DECLARE
    k record;
BEGIN
    -- In the order in which all lock rows of jobs.
    FOR k IN SELECT * FROM unnest(p_numbers, p_nonces) AS u (number, nonce) ORDER BY 1 LOOP
        number := k.number;
        was := NULL;
        BEGIN
            PERFORM lock_waiting(k.number);  -- else one that a transaction which stays open has locked is waited for
            PERFORM FROM jobs j WHERE j.number = k.number FOR UPDATE;
            CASE p_change
                WHEN 'cancel' THEN was := cancel(k.number, k.nonce);
                WHEN 'discard' THEN SELECT d.state INTO was FROM discard(k.number, k.nonce, p_reason) d;
                WHEN 'retry' THEN SELECT r.state INTO was FROM retry_job(k.number, k.nonce) r;
            END CASE;
            CONTINUE WHEN was IS NULL;
            changed := CASE p_change
                WHEN 'cancel' THEN was NOT IN ('completed', 'discarded', 'cancelled')
                WHEN 'discard' THEN was IN ('available', 'scheduled', 'retryable', 'waiting')
                ELSE was IN ('scheduled', 'retryable') OR (was IN ('discarded', 'cancelled')
                     AND EXISTS (SELECT FROM jobs j WHERE j.number = k.number)) END;
        EXCEPTION WHEN lock_not_available THEN
            -- Another has this job in its hands, or its key: it is left as it is.
            was := coalesce((SELECT l.state FROM live l WHERE l.number = k.number),
                            (SELECT e.state FROM ended e WHERE e.number = k.number));
            changed := false;
        END;
        RETURN NEXT;
    END LOOP;
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

-- Keep a schedule; says what happened. p_was: the `due` that was read, if it must not have changed.
CREATE FUNCTION @schema@.put_schedule(
    p_name text, p_origin text, p_definition text, p_job text, p_hash text, p_due float8, p_app text, p_release text,
    p_was float8)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    s schedules;
    v_now timestamptz := engine_clock();
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
    v_now timestamptz := engine_clock();
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
            last_skip_at = CASE WHEN d.whys = '{}' THEN x.last_skip_at ELSE engine_clock() END,
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
    v_now timestamptz := engine_clock();
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


-- Figures -------------------------------------------------------------------------------------------------------------

CREATE VIEW @schema@.minute_counts AS
SELECT queue, task, minute, completed, failed, discarded, ran FROM @schema@.minutes;

-- Add to the present minute what has ended: for each queue and task, in their order, so that no two wait in a circle.
CREATE FUNCTION @schema@.add_to_minute(
    p_queues text[], p_tasks text[], p_completed bigint[], p_failed bigint[], p_discarded bigint[], p_ran float8[])
RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
    INSERT INTO minutes AS m (queue, task, minute, completed, failed, discarded, ran)
    SELECT u.queue, u.task, date_trunc('minute', clock_timestamp()), u.completed, u.failed, u.discarded, u.ran
    FROM unnest(p_queues, p_tasks, p_completed, p_failed, p_discarded, p_ran)
         AS u (queue, task, completed, failed, discarded, ran)
    ORDER BY u.queue, u.task
    ON CONFLICT (queue, task, minute) DO UPDATE
    SET completed = m.completed + excluded.completed, failed = m.failed + excluded.failed,
        discarded = m.discarded + excluded.discarded, ran = m.ran + excluded.ran;
$$;

-- Queues that hold jobs, are paused, have discarded jobs or have ended some of late: a step in an index for each; and
-- those of the earliest delayed jobs, so many.
CREATE FUNCTION @schema@.queue_names(p_most int) RETURNS TABLE (name text) LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
    WITH RECURSIVE
    available (queue) AS (
        (SELECT queue FROM ready ORDER BY queue LIMIT 1) UNION ALL
        SELECT (SELECT r.queue FROM ready r WHERE r.queue > a.queue ORDER BY r.queue LIMIT 1)
        FROM available a WHERE a.queue IS NOT NULL),
    held_back (queue) AS (
        (SELECT queue FROM gated ORDER BY queue LIMIT 1) UNION ALL
        SELECT (SELECT g.queue FROM gated g WHERE g.queue > b.queue ORDER BY g.queue LIMIT 1)
        FROM held_back b WHERE b.queue IS NOT NULL),
    given_up (queue) AS (
        (SELECT queue FROM history WHERE state = 'discarded' ORDER BY queue LIMIT 1) UNION ALL
        SELECT (SELECT h.queue FROM history h WHERE h.state = 'discarded' AND h.queue > g.queue
                ORDER BY h.queue LIMIT 1)
        FROM given_up g WHERE g.queue IS NOT NULL),
    of_late (queue) AS (
        (SELECT queue FROM minutes ORDER BY queue LIMIT 1) UNION ALL
        SELECT (SELECT m.queue FROM minutes m WHERE m.queue > o.queue ORDER BY m.queue LIMIT 1)
        FROM of_late o WHERE o.queue IS NOT NULL)
    SELECT x.queue FROM (
        SELECT queue FROM available UNION SELECT queue FROM held_back UNION SELECT queue FROM given_up UNION SELECT queue FROM of_late
        UNION SELECT queue FROM (SELECT queue FROM delayed ORDER BY due, number LIMIT p_most) d
        UNION SELECT j.queue FROM held h JOIN jobs j ON j.number = h.number
        UNION SELECT q.name FROM queues q WHERE q.paused) x
    WHERE x.queue IS NOT NULL
$$;


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
        ('worker', 'register_for'), ('worker', 'unknown_tasks'), ('reader', 'unknown_tasks'), ('worker', 'claim_except'), ('worker', 'save_notes'), ('enqueuer', 'put_linked'), ('worker', 'put_linked'), ('worker', 'tend_edges'),
        ('worker', 'waiting_depths'), ('reader', 'waiting_depths'),
        ('enqueuer', 'batch_json'), ('worker', 'batch_json'), ('enqueuer', 'cancel_batch'), ('worker', 'cancel_batch'),
        ('enqueuer', 'seal_batch'), ('worker', 'seal_batch'),
        ('worker', 'tend_batches'),
        ('enqueuer', 'put_jobs'), ('enqueuer', 'put_each'),
        ('worker', 'put_jobs'), ('worker', 'put_each'), ('worker', 'change_many'),
        ('enqueuer', 'engine_clock'), ('enqueuer', 'statement_clock'),
        ('enqueuer', 'put_schedule'), ('enqueuer', 'remove_schedule'),
        ('worker', 'engine_clock'), ('worker', 'statement_clock'),
        ('worker', 'put_schedule'), ('worker', 'remove_schedule'),
        ('worker', 'due_schedules'), ('worker', 'fire_schedules'), ('worker', 'pause_schedule'),
        ('worker', 'see_schedules'), ('reader', 'engine_clock'), ('reader', 'statement_clock'),
        ('worker', 'is_gated'), ('worker', 'claim_turns'), ('worker', 'claim_gated'), ('worker', 'declare_limits'),
        ('worker', 'set_limit'), ('worker', 'reset_limit'), ('worker', 'rooms'), ('reader', 'rooms'),
        ('worker', 'limit_counts'), ('reader', 'limit_counts'),
        ('worker', 'add_to_minute'), ('worker', 'queue_names'), ('reader', 'queue_names')
    LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT EXECUTE ON ROUTINE @schema@.%I TO %I', v_what, '@schema@_' || v_role);
        END IF;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['worker', 'reader'] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '@schema@_' || v_role) THEN
            EXECUTE format('GRANT SELECT ON scheduled, minute_counts, saved_notes, listed_gated, listed_limits, listed_waiting, links, listed_batches, batch_members '
                           'TO %I', '@schema@_' || v_role);
        END IF;
    END LOOP;
END $$;


-- The clock -----------------------------------------------------------------------------------------------------------

-- The engine's clock, now and when the statement began. The planner puts the bodies where they are called, so they cost
-- nothing; `move_clock` changes the bodies.
CREATE FUNCTION @schema@.engine_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() $$;
CREATE FUNCTION @schema@.statement_clock() RETURNS timestamptz LANGUAGE sql STABLE
AS $$ SELECT statement_timestamp() $$;

-- For tests, by the owner of the tables: have it go ahead by so many seconds more.
CREATE FUNCTION @schema@.move_clock(p_seconds float8) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_shift float8 := coalesce((SELECT shift FROM clock), 0) + p_seconds;
    v_clock text;
    v_body text;
BEGIN
    DELETE FROM clock;
    INSERT INTO clock VALUES (v_shift);
    FOR v_clock, v_body IN VALUES
        ('engine_clock() RETURNS timestamptz LANGUAGE sql VOLATILE', 'clock_timestamp()'),
        ('statement_clock() RETURNS timestamptz LANGUAGE sql STABLE', 'statement_timestamp()')
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION @schema@.%s AS $f$ SELECT %s + float8 %L * interval ''1 second'' $f$',
                       v_clock, v_body, v_shift);
    END LOOP;
END $$;

-- Everything goes by it, what an earlier file has made included; but for leases, which run on by the true time. A
-- function that needs that one says pg_catalog.clock_timestamp().
ALTER TABLE @schema@.leases ALTER COLUMN since SET DEFAULT @schema@.engine_clock();
DO $do$
DECLARE
    v_true constant text := '(?<!pg_catalog\.)clock_timestamp\(\)';
    v_what record;
BEGIN
    FOR v_what IN
        SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc p
        WHERE p.pronamespace = '@schema@'::regnamespace AND p.prosrc ~ v_true
          AND p.proname NOT IN ('engine_clock', 'move_clock', 'register', 'register_for', 'renew')
        UNION ALL
        SELECT format('CREATE OR REPLACE VIEW @schema@.%I AS %s', v.viewname, v.definition) FROM pg_views v
        WHERE v.schemaname = '@schema@' AND v.definition ~ v_true AND v.viewname <> 'worker_counts'
    LOOP
        EXECUTE regexp_replace(v_what.text, v_true, '@schema@.engine_clock()', 'g');
    END LOOP;
END $do$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
