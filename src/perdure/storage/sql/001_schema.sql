-- The first schema. Times are nanoseconds since the epoch. Blobs belong to the engine unless a comment says otherwise.

-- One row a run. The run id is 16 bytes here because it is indexed; the text form is in `visibility`.
CREATE TABLE executions (
    run_key      INTEGER PRIMARY KEY,
    namespace_id TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    run_id       BLOB NOT NULL,
    core         BLOB NOT NULL
);
CREATE UNIQUE INDEX executions_run_id ON executions (run_id);

-- The newest run of each workflow id, open or closed.
CREATE TABLE current (
    namespace_id TEXT NOT NULL,
    workflow_id  TEXT NOT NULL,
    run_key      INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, workflow_id)
) WITHOUT ROWID;

-- What a run waits for. Deadlines and backlogs are the two partial indexes, which hold all that their readers need.
CREATE TABLE pending (
    run_key  INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    key      TEXT NOT NULL,
    due_ns   INTEGER,
    queue    TEXT,
    "order"  INTEGER NOT NULL,
    blob     BLOB NOT NULL,
    PRIMARY KEY (run_key, kind, key)
) WITHOUT ROWID;
CREATE INDEX pending_due ON pending (due_ns, run_key, kind, key) WHERE due_ns IS NOT NULL;
CREATE INDEX pending_ready ON pending (queue, "order", run_key, kind, key) WHERE queue IS NOT NULL;

-- Batches of events as sent to clients (serialized temporal.api.history.v1.History).
-- The key is run_key << 20 | id of the first event.
CREATE TABLE history (
    id   INTEGER PRIMARY KEY,
    blob BLOB NOT NULL
);

-- Runs that are deleted but whose history still takes room; the writer clears it in small steps.
CREATE TABLE garbage (
    run_key INTEGER PRIMARY KEY
);

-- What listings show; written in the transaction of the transition. `memo` and `attributes` are serialized messages,
-- `search_attributes` is a JSON object.
CREATE TABLE visibility (
    run_key                INTEGER PRIMARY KEY,
    namespace_id           TEXT NOT NULL,
    workflow_id            TEXT NOT NULL,
    run_id                 TEXT NOT NULL,
    workflow_type          TEXT NOT NULL,
    task_queue             TEXT NOT NULL,
    status                 INTEGER NOT NULL,
    start_time             INTEGER NOT NULL,
    execution_time         INTEGER NOT NULL,
    root_workflow_id       TEXT NOT NULL,
    root_run_id            TEXT NOT NULL,
    close_time             INTEGER,
    history_length         INTEGER,
    history_size_bytes     INTEGER,
    execution_duration     INTEGER,
    state_transition_count INTEGER,
    parent_workflow_id     TEXT,
    parent_run_id          TEXT,
    search_attributes      TEXT,
    memo                   BLOB,
    attributes             BLOB
);
-- The order of listings, and the ids people look for. Each further index would cost every workflow about 3 %.
CREATE INDEX visibility_time ON visibility
    (namespace_id, coalesce(close_time, 9223372036854775807) DESC, start_time DESC, run_key DESC);
CREATE INDEX visibility_workflow_id ON visibility (namespace_id, workflow_id);

-- All are held in memory by the server, which also keeps names unique (a removed namespace is renamed first).
CREATE TABLE namespaces (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    blob BLOB NOT NULL
) WITHOUT ROWID;

-- Everything else that is small: search attributes, cluster metadata, task queue and deployment data, ...
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
