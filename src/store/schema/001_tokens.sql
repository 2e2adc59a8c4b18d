-- Times are milliseconds since 1970; expires_ms 0: never.
CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    owner TEXT NOT NULL CHECK (length(CAST(owner AS BLOB)) BETWEEN 1 AND 64),
    role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
    from_file INTEGER NOT NULL CHECK (from_file IN (0, 1)),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL CHECK (expires_ms >= 0)
) STRICT;
