-- Version 2, batches.
--
-- A row of `batches` says how many members a batch has, and how many of them have ended. Who adds members, and who ends
-- some, inserts a row into `batch_parts`, and waits for no lock: a transaction of a user's that stays open is in no
-- worker's way. `fold_batch` adds these rows up, with the row of the batch locked, and deletes them. If the batch is
-- sealed then, and as many have ended as it has, it puts the jobs that follow, in the same transaction, under ids that
-- are theirs alone: so each is put once.
--
-- * Every settlement folds the batches of its members, at its very end. If another settlement has the batch's row, this
--   one leaves the folding to it, unless few members are left: then this one waits for the row. Parts that the other
--   settlement could not see, since they were not committed, are folded by `tend_batches`, which a worker calls each
--   second; likewise the seal of a transaction that commits between, and members that end in other ways.
-- * A member that adds others commits them before it ends: the sum is not reached in between.
-- * A member that was given up and is run again by hand takes back what it has counted (`revive`). So `then` comes when all
--   have completed in the end, and `finally` is not put a second time: `then_at` and `finished_at` say what was put.
-- * A child counts as one member of its parent: what it has counted there is in `counted`, and changes with it.
--
-- Order of locks: the row of a batch, and that of its parent after it, comes after all rows of jobs, edges and `waiting`.

CREATE VIEW @schema@.listed_batches AS
SELECT b.number, b.name, b.parent, b.on_failure, b.total + p.n AS total, b.ended + p.ended AS ended,
       b.failed + p.failed AS failed, b.cancelled + p.cancelled AS cancelled, b.sealed OR p.seal AS sealed,
       extract(epoch FROM b.made_at)::float8 AS made_at, extract(epoch FROM b.cancelled_at)::float8 AS cancelled_at,
       extract(epoch FROM b.then_at)::float8 AS then_at, extract(epoch FROM b.finished_at)::float8 AS finished_at,
       b.then_job IS NOT NULL AS has_then, b.finally_job IS NOT NULL AS has_finally
FROM @schema@.batches b, LATERAL (
    SELECT coalesce(sum(x.n), 0)::bigint AS n, coalesce(sum(x.ended), 0)::bigint AS ended,
           coalesce(sum(x.failed), 0)::bigint AS failed, coalesce(sum(x.cancelled), 0)::bigint AS cancelled,
           coalesce(bool_or(x.seal), false) AS seal
    FROM @schema@.batch_parts x WHERE x.batch = b.number) p;

CREATE VIEW @schema@.batch_members AS
SELECT number, batch, 'live' AS state FROM @schema@.jobs WHERE batch IS NOT NULL
UNION ALL
SELECT number, batch, state FROM @schema@.history WHERE batch IS NOT NULL;

-- Make a batch, or seal one, as JSON: see `put_json`. Rows are inserted, and none is locked.
CREATE FUNCTION @schema@.batch_json(
    p_what text, p_database text, OUT number bigint, OUT nonce bigint, OUT id text, OUT enqueued boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    w json := p_what::json;
BEGIN
    IF p_database <> current_database() THEN
        id := current_database();
        enqueued := false;
        RETURN;
    END IF;
    nonce := 0;
    enqueued := true;
    number := (w ->> 'seal')::bigint;
    IF number IS NOT NULL THEN
        INSERT INTO batch_parts (batch, seal) VALUES (number, true);
        RETURN;
    END IF;
    INSERT INTO batches (name, parent, then_job, finally_job, on_failure, made_at)
    VALUES (w ->> 'name', (w ->> 'parent')::bigint, w ->> 'then_job', w ->> 'finally_job', w ->> 'on_failure',
            engine_clock())
    RETURNING batches.number INTO number;
    IF w ->> 'parent' IS NOT NULL THEN
        INSERT INTO batch_parts (batch, n) VALUES ((w ->> 'parent')::bigint, 1);
    END IF;
END $$;

-- Jobs that were put are members of a batch.
CREATE FUNCTION @schema@.put_members(p_jobs text, p_numbers bigint[], p_put boolean[]) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    WITH given AS MATERIALIZED (
        SELECT p_numbers[g.place] AS number, (g.job ->> 'batch')::bigint AS batch
        FROM json_array_elements(p_jobs::json) WITH ORDINALITY AS g (job, place)
        WHERE p_put[g.place] AND g.job ->> 'batch' IS NOT NULL
    ), told AS (
        UPDATE jobs j SET batch = g.batch FROM given g WHERE j.number = g.number
    )
    INSERT INTO batch_parts (batch, n) SELECT g.batch, count(*) FROM given g GROUP BY g.batch;
END $$;

CREATE FUNCTION @schema@.fold_batches(p_now timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_batch bigint;
BEGIN
    FOR v_batch IN SELECT DISTINCT x.batch FROM (SELECT batch FROM batch_parts LIMIT 10000) x ORDER BY 1 LIMIT 100 LOOP
        PERFORM fold_batch(v_batch, p_now);
    END LOOP;
END $$;

-- Add up what has been added to a batch, and what has ended of it; and put what follows.
CREATE FUNCTION @schema@.fold_batch(p_batch bigint, p_now timestamptz) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    b batches;
    v record;
    v_has_ended boolean;
    v_status text;
BEGIN
    SELECT * INTO b FROM batches WHERE number = p_batch FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        -- Another folds it, and may not see what is not committed yet. If it may be the last of it, that is waited for.
        SELECT * INTO b FROM batches WHERE number = p_batch AND total - ended <= 100 FOR UPDATE;
        IF NOT FOUND THEN
            DELETE FROM batch_parts WHERE batch = p_batch AND NOT EXISTS (SELECT FROM batches WHERE number = p_batch);
            RETURN;
        END IF;
    END IF;
    WITH gone AS (DELETE FROM batch_parts WHERE batch = p_batch RETURNING n, ended, failed, cancelled, seal)
    SELECT coalesce(sum(n), 0) AS n, coalesce(sum(ended), 0) AS ended, coalesce(sum(failed), 0) AS failed,
           coalesce(sum(cancelled), 0) AS cancelled, coalesce(bool_or(seal), false) AS seal
    INTO v FROM gone;
    b.total := b.total + v.n;
    b.ended := b.ended + v.ended;
    b.failed := b.failed + v.failed;
    b.cancelled := b.cancelled + v.cancelled;
    b.sealed := b.sealed OR v.seal;
    b.cancelling := b.cancelling OR (v.n > 0 AND b.cancelled_at IS NOT NULL)
        OR (b.on_failure = 'cancel_rest' AND b.failed > 0 AND (v.n > 0 OR v.failed > 0));
    v_has_ended := b.total = b.ended AND (b.sealed OR b.cancelled_at IS NOT NULL);
    v_status := CASE WHEN NOT v_has_ended THEN NULL WHEN b.failed > 0 THEN 'failed'
                     WHEN b.cancelled > 0 OR NOT b.sealed THEN 'cancelled' ELSE 'completed' END;
    IF v_has_ended AND b.finished_at IS NULL THEN
        b.finished_at := p_now;
        b.keep_until := p_now + @keep_given_up@ * interval '1 second';
        IF b.finally_job IS NOT NULL AND b.sealed THEN
            PERFORM put_following(p_batch, 'finally', b.finally_job);
        END IF;
    END IF;
    IF v_status = 'completed' AND b.then_at IS NULL AND b.cancelled_at IS NULL THEN
        b.then_at := p_now;
        IF b.then_job IS NOT NULL THEN
            PERFORM put_following(p_batch, 'then', b.then_job);
        END IF;
    END IF;
    IF b.parent IS NOT NULL AND v_status IS DISTINCT FROM b.counted THEN
        INSERT INTO batch_parts (batch, ended, failed, cancelled)
        VALUES (b.parent, (v_status IS NOT NULL)::int - (b.counted IS NOT NULL)::int,
                coalesce(v_status = 'failed', false)::int - coalesce(b.counted = 'failed', false)::int,
                coalesce(v_status = 'cancelled', false)::int - coalesce(b.counted = 'cancelled', false)::int);
    END IF;
    UPDATE batches
    SET total = b.total, ended = b.ended, failed = b.failed, cancelled = b.cancelled, sealed = b.sealed,
        cancelling = b.cancelling, then_at = b.then_at, finished_at = b.finished_at, keep_until = b.keep_until,
        counted = v_status
    WHERE number = p_batch;
    IF b.parent IS NOT NULL AND v_status IS DISTINCT FROM b.counted THEN
        PERFORM fold_batch(b.parent, p_now);
    END IF;
END $$;

-- Put the job that follows a batch.
CREATE FUNCTION @schema@.put_following(p_batch bigint, p_which text, p_job text) RETURNS void LANGUAGE plpgsql
SET search_path = @schema@, pg_temp
AS $$
DECLARE
    v_job jsonb := p_job::jsonb || jsonb_build_object('id', format('batch:%s:%s', p_batch, p_which));
BEGIN
    PERFORM put_rows(jsonb_build_array(v_job)::text);
END $$;

-- No more members are added but by members. On a connection of the queue's own, so that what follows can be put at once.
CREATE FUNCTION @schema@.seal_batch(p_batch bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
BEGIN
    INSERT INTO batch_parts (batch, seal) VALUES (p_batch, true);
    PERFORM fold_batch(p_batch, engine_clock());
    PERFORM pg_notify('@schema@.work', '');
    PERFORM notify_of_ends();
END $$;

-- Cancel a batch: no more of its members are to run. By hand, or since its block was left by an error.
CREATE FUNCTION @schema@.cancel_batch(p_batch bigint, p_seal boolean) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '10s'
AS $$
DECLARE
    v_is_open boolean;
BEGIN
    UPDATE batches SET cancelled_at = coalesce(cancelled_at, engine_clock()), cancelling = true
    WHERE number = p_batch AND finished_at IS NULL;
    v_is_open := FOUND;
    INSERT INTO batch_parts (batch, seal) SELECT p_batch, p_seal WHERE v_is_open;
    PERFORM fold_batch(p_batch, engine_clock());
    PERFORM pg_notify('@schema@.work', '');
    PERFORM notify_of_ends();
    RETURN v_is_open;
END $$;

-- Fold, and go on cancelling, some p_limit members at most. A row for each batch that has finished since the last call;
-- the last one has no number, and `more` says whether there may be more to do at once. One such call works at a time.
CREATE FUNCTION @schema@.tend_batches(p_limit int)
RETURNS TABLE (number bigint, more boolean) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := engine_clock();
    v_left int := p_limit;
    v_batch bigint;
    v_number bigint;
    j jobs;
BEGIN
    more := false;
    IF (EXISTS (SELECT FROM batch_parts) OR EXISTS (SELECT FROM batches WHERE cancelling)
        OR EXISTS (SELECT FROM batches WHERE finished_at IS NOT NULL AND NOT told))
       AND pg_try_advisory_xact_lock(hashtext('@schema@.batches')) THEN
        -- No row of a batch is locked meanwhile: those of jobs come first.
        FOR v_batch IN SELECT b.number FROM batches b WHERE b.cancelling ORDER BY 1 LIMIT 100 LOOP
            FOR v_number IN
                SELECT x.number FROM jobs x
                WHERE x.batch = v_batch AND NOT EXISTS (SELECT FROM cancels c WHERE c.job = x.number)
                ORDER BY x.number LIMIT greatest(v_left, 0)
            LOOP
                SELECT x.* INTO j FROM jobs x WHERE x.number = v_number FOR UPDATE SKIP LOCKED;
                CONTINUE WHEN NOT FOUND;
                v_left := v_left - 1;
                IF take_out(j) IS NULL THEN
                    INSERT INTO cancels VALUES (j.number, j.nonce) ON CONFLICT DO NOTHING;
                ELSE
                    PERFORM end_job(j, 'cancelled', NULL, 'its batch was cancelled', v_now);
                END IF;
            END LOOP;
            WITH children AS (
                UPDATE batches b SET cancelled_at = v_now, cancelling = true
                WHERE b.parent = v_batch AND b.finished_at IS NULL AND b.cancelled_at IS NULL RETURNING b.number
            )
            INSERT INTO batch_parts (batch) SELECT c.number FROM children c;  -- so they are folded, members or none
            UPDATE batches b SET cancelling = false
            WHERE b.number = v_batch AND NOT EXISTS (
                SELECT FROM jobs x WHERE x.batch = v_batch AND NOT EXISTS (SELECT FROM cancels c WHERE c.job = x.number));
        END LOOP;
        IF v_left < p_limit THEN
            PERFORM pg_notify('@schema@.work', '');
            PERFORM notify_of_ends();
        END IF;
        PERFORM fold_batches(v_now);
        more := v_left <= 0;
        RETURN QUERY
        UPDATE batches b SET told = true WHERE b.number IN (
            SELECT x.number FROM batches x WHERE x.finished_at IS NOT NULL AND NOT x.told LIMIT 100 FOR UPDATE SKIP LOCKED)
        RETURNING b.number, false;
        IF FOUND THEN
            PERFORM pg_notify('@schema@.work', '');
            PERFORM notify_of_ends();
        END IF;
    END IF;
    number := NULL;
    RETURN NEXT;
END $$;

-- Of these members whose time is over, those of batches that are open have time again, for a month at most.
CREATE FUNCTION @schema@.without_members(p_numbers bigint[], p_now timestamptz) RETURNS bigint[] LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    v_needed bigint[] := ARRAY(
        SELECT h.number FROM history h JOIN batches b ON b.number = h.batch
        WHERE h.number = ANY (p_numbers) AND b.finished_at IS NULL AND b.made_at > p_now - interval '30 days');
BEGIN
    UPDATE history SET keep_until = p_now + greatest((p_now - ended_at) / 2, interval '5 seconds')
    WHERE number = ANY (v_needed);
    RETURN ARRAY(SELECT n FROM unnest(p_numbers) n WHERE n <> ALL (v_needed));
END $$;

REVOKE ALL ON ALL ROUTINES IN SCHEMA @schema@ FROM PUBLIC;
