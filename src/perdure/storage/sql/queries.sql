-- The statements of perdure.storage.sqlite, each under its name.

-- Writing: one transition of a workflow takes about ten of these, so they are as small as they can be.

-- name: insert_run
INSERT INTO executions (run_key, namespace_id, workflow_id, run_id, core) VALUES (?, ?, ?, ?, ?)

-- name: update_run
UPDATE executions SET core = ?2 WHERE run_key = ?1

-- name: delete_run
DELETE FROM executions WHERE run_key = ?

-- name: insert_history
INSERT INTO history (id, blob) VALUES (?, ?)

-- name: put_pending
REPLACE INTO pending (run_key, kind, key, due_ns, queue, "order", blob) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: delete_pending
DELETE FROM pending WHERE run_key = ? AND kind = ? AND key = ?

-- name: delete_all_pending
DELETE FROM pending WHERE run_key = ?

-- Only what may change in the life of a run is set again, so that the index on workflow ids is left alone.
-- name: put_visibility
INSERT INTO visibility VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_key) DO UPDATE SET
    task_queue = excluded.task_queue,
    status = excluded.status,
    execution_time = excluded.execution_time,
    close_time = excluded.close_time,
    history_length = excluded.history_length,
    history_size_bytes = excluded.history_size_bytes,
    execution_duration = excluded.execution_duration,
    state_transition_count = excluded.state_transition_count,
    search_attributes = excluded.search_attributes,
    memo = excluded.memo,
    attributes = excluded.attributes

-- name: delete_visibility
DELETE FROM visibility WHERE run_key = ?

-- name: put_current
REPLACE INTO current (namespace_id, workflow_id, run_key) VALUES (?, ?, ?)

-- name: delete_current
DELETE FROM current WHERE namespace_id = ? AND workflow_id = ?

-- name: put_namespace
REPLACE INTO namespaces (id, name, blob) VALUES (?, ?, ?)

-- name: delete_namespace
DELETE FROM namespaces WHERE id = ?

-- name: put_meta
REPLACE INTO meta (key, value) VALUES (?, ?)

-- name: delete_meta
DELETE FROM meta WHERE key = ?

-- name: put_garbage
REPLACE INTO garbage (run_key) VALUES (?)

-- name: delete_garbage
DELETE FROM garbage WHERE run_key = ?

-- name: oldest_garbage
SELECT run_key FROM garbage ORDER BY run_key LIMIT 1

-- The length of a blob is read without the blob itself.
-- name: history_sizes
SELECT id, length(blob) FROM history WHERE id >= ? AND id < ? ORDER BY id LIMIT ?

-- name: delete_history
DELETE FROM history WHERE id >= ? AND id <= ?

-- Reading.

-- name: find_current
SELECT run_key FROM current WHERE namespace_id = ? AND workflow_id = ?

-- name: find_run
SELECT run_key FROM executions WHERE run_id = ? AND namespace_id = ? AND workflow_id = ?

-- name: load_run
SELECT namespace_id, workflow_id, run_id, core FROM executions WHERE run_key = ?

-- name: load_pending
SELECT kind, key, due_ns, queue, "order", blob FROM pending WHERE run_key = ? ORDER BY kind, key

-- name: history
SELECT id, blob FROM history WHERE id >= ? AND id < ? ORDER BY id LIMIT ?

-- name: history_reverse
SELECT id, blob FROM history WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?

-- name: due
SELECT due_ns, run_key, kind, key FROM pending
WHERE due_ns IS NOT NULL AND (due_ns, run_key, kind, key) > (?, ?, ?, ?) AND due_ns <= ?
ORDER BY due_ns, run_key, kind, key LIMIT ?

-- name: ready
SELECT "order", run_key, kind, key FROM pending
WHERE queue = ? AND ("order", run_key, kind, key) > (?, ?, ?, ?)
ORDER BY "order", run_key, kind, key LIMIT ?

-- name: ready_count
SELECT count(*) FROM pending WHERE queue = ? AND "order" >= ? AND "order" < ?

-- name: max_order
SELECT max("order") FROM pending WHERE queue = ?

-- One search in the index a queue, however many tasks wait in each.
-- name: ready_queues
WITH RECURSIVE names (name) AS (
    SELECT min(queue) FROM pending WHERE queue >= ?1 AND queue < ?2
    UNION ALL
    SELECT (SELECT min(queue) FROM pending WHERE queue > names.name AND queue < ?2) FROM names
    WHERE names.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL

-- The index on times, backwards; the constant stands for "open" there and sorts behind all times. The position is a
-- range of the index only if its first part stands alone, too.
-- name: closed
SELECT coalesce(close_time, 9223372036854775807), start_time, run_key FROM visibility
WHERE namespace_id = ?1
AND coalesce(close_time, 9223372036854775807) >= ?2
AND coalesce(close_time, 9223372036854775807) < 9223372036854775807
AND (coalesce(close_time, 9223372036854775807), start_time, run_key) > (?2, ?3, ?4)
ORDER BY coalesce(close_time, 9223372036854775807), start_time, run_key LIMIT ?5

-- name: namespaces
SELECT id, name, blob FROM namespaces ORDER BY id

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: meta_all
SELECT key, value FROM meta WHERE key >= ? AND key < ? ORDER BY key

-- A run that is being deleted may be known by nothing but its history. Each of these looks at the end of one index.
-- name: max_run_key
SELECT max(
    coalesce((SELECT max(run_key) FROM executions), 0),
    coalesce((SELECT max(id) FROM history), 0) >> 20,
    coalesce((SELECT max(run_key) FROM visibility), 0),
    coalesce((SELECT max(run_key) FROM pending), 0)
)
