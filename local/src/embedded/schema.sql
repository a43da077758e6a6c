-- One row: the id of the data folder, which is also in `s3/.id`, and when a run last used it, in Unix milliseconds.
CREATE TABLE data_folder (
    id TEXT NOT NULL,
    last_run_ms INTEGER NOT NULL
) STRICT;

-- The stream. A shard takes the partition keys whose MD5 is in its range of hashes (32 hexadecimal digits each).
CREATE TABLE shards (
    id TEXT PRIMARY KEY,
    parent TEXT,
    first_hash TEXT NOT NULL,
    last_hash TEXT NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0
) STRICT;

-- `sequence` rises over the whole stream and is never reused (AUTOINCREMENT), even after records expire.
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    shard TEXT NOT NULL REFERENCES shards (id),
    partition_key TEXT NOT NULL,
    arrival_ms INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_shard ON records (shard, sequence);

-- The last sequence number of each shard that the event source mapping has processed.
CREATE TABLE checkpoints (
    shard TEXT PRIMARY KEY,
    sequence_number TEXT NOT NULL
) STRICT;

-- The items table: one column for each attribute.
CREATE TABLE items (
    pk TEXT NOT NULL,
    sk TEXT NOT NULL,
    source TEXT NOT NULL,
    tier TEXT NOT NULL,
    received_at TEXT NOT NULL,
    processed_at TEXT NOT NULL,
    origin TEXT NOT NULL,
    admission TEXT NOT NULL,
    hash TEXT NOT NULL,
    original_text TEXT,
    modified_data TEXT,
    fields TEXT,
    event_time TEXT,
    truncated INTEGER,
    original_text_bytes INTEGER,
    modified_data_bytes INTEGER,
    fields_bytes INTEGER,
    expires_at INTEGER,
    received_partition TEXT,
    trace TEXT,
    dispatch_status TEXT,
    dispatch_attempts INTEGER,
    dispatch_reason TEXT,
    PRIMARY KEY (pk, sk)
) STRICT;
-- The index by time: of the items that have a partition in it.
CREATE INDEX items_by_received_at ON items (received_partition, received_at, sk) WHERE received_partition IS NOT NULL;
CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;

-- The ledger table, one row for each shard: up to where it is committed, and which object is being written.
CREATE TABLE ledger (
    shard TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    committed_end_sequence_number TEXT,
    committed_end_position INTEGER,
    intent_key TEXT,
    intent_sequence_number TEXT,
    intent_position INTEGER
) STRICT;

-- The manifest rows of the ledger table, one for each archive object. `sk` sorts in the order of the shard. `tenants` is
-- [[tenant, offset, length, lines], …]; if that is too large, it is in the object `tenants_key`.
CREATE TABLE manifest (
    pk TEXT NOT NULL,
    sk TEXT NOT NULL,
    object_key TEXT NOT NULL,
    first_sequence_number TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    end_sequence_number TEXT NOT NULL,
    end_position INTEGER NOT NULL,
    object_bytes INTEGER NOT NULL,
    object_sha256 TEXT NOT NULL,
    object_lines INTEGER NOT NULL,
    oldest_received_at TEXT NOT NULL,
    youngest_received_at TEXT NOT NULL,
    tenants TEXT,
    tenants_key TEXT,
    PRIMARY KEY (pk, sk)
) STRICT;

-- The metadata that S3 stores with an object, by the object's key and the checksum of its bytes.
CREATE TABLE object_metadata (
    key TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    end_sequence_number TEXT NOT NULL,
    end_position INTEGER NOT NULL,
    PRIMARY KEY (key, sha256)
) STRICT;

-- The messages of all queues. A message is visible from `visible_ms`. A receive moves that time and counts.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    body TEXT NOT NULL,
    sent_ms INTEGER NOT NULL,
    visible_ms INTEGER NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX messages_by_queue ON messages (queue, visible_ms);

-- The slot counter of dispatch, one row: when the next free slot begins, in microseconds since the Unix epoch.
CREATE TABLE rate (
    pk TEXT PRIMARY KEY,
    next_slot INTEGER NOT NULL
) STRICT;
