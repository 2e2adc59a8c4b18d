-- Workers that were added through the API; spec is the JSON of worker_spec.h.
CREATE TABLE worker (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 41),
    spec TEXT NOT NULL CHECK (length(CAST(spec AS BLOB)) BETWEEN 2 AND 4096),
    created_ms INTEGER NOT NULL
) STRICT;

-- Workers, wherever they are written down, that take no fresh runner.
CREATE TABLE drained_worker (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 41)
) STRICT;
