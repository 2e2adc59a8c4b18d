-- Which manager this is, as workers know it. A copy of the file is the same manager.
CREATE TABLE identity (
    row INTEGER NOT NULL PRIMARY KEY CHECK (row = 1),
    id TEXT NOT NULL CHECK (length(id) = 32)
) STRICT;
INSERT INTO identity (row, id) VALUES (1, lower(hex(randomblob(16))));
