//! Reads what is stored in a data folder: the database with SQL, the objects with gunzip. It uses Tidegate's code only
//! for the format of records on the stream, and for the time.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use shared::format::item::short;
use shared::time::Clock;

pub struct StoredData {
    data: PathBuf,
}

/// Some columns of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// `json_upload`, `text_upload`, `webhook` or `otlp`.
    pub source: String,
    /// Empty, if the item has none.
    pub original_text: String,
    pub modified_data: String,
    pub tier: String,
    /// The request's trace header.
    pub trace: Option<String>,
}

/// Status, attempts and reason.
pub type StoredDispatch = (Option<String>, u32, Option<String>);

impl StoredData {
    pub fn of(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// All items by `(pk, sk)`.
    pub fn items(&self) -> BTreeMap<(String, String), StoredItem> {
        let Some(database) = self.database() else { return BTreeMap::new() };
        let mut select = database
            .prepare("SELECT pk, sk, source, coalesce(original_text, ''), coalesce(modified_data, ''), tier, trace FROM items")
            .unwrap();
        let rows = select.query_map([], |row| {
            let item = StoredItem {
                source: row.get(2)?,
                original_text: row.get(3)?,
                modified_data: row.get(4)?,
                tier: row.get(5)?,
                trace: row.get(6)?,
            };
            Ok(((row.get(0)?, row.get(1)?), item))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// `dispatch_status`, `dispatch_attempts` and `dispatch_reason` of each item, by `(pk, sk)`.
    pub fn dispatches(&self) -> BTreeMap<(String, String), StoredDispatch> {
        let Some(database) = self.database() else { return BTreeMap::new() };
        let columns = "pk, sk, dispatch_status, coalesce(dispatch_attempts, 0), dispatch_reason";
        let mut select = database.prepare(&format!("SELECT {columns} FROM items")).unwrap();
        let rows = select
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?, row.get(4)?))));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// All partitions of the index by time.
    pub fn received_partitions(&self) -> Vec<String> {
        let database = self.database().unwrap();
        let mut select =
            database.prepare("SELECT DISTINCT received_partition FROM items WHERE received_partition IS NOT NULL ORDER BY 1").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// The number of records on the stream.
    pub fn records(&self) -> u32 {
        let Some(database) = self.database() else { return 0 };
        database.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap()
    }

    /// The number of events on the stream. A record can hold several.
    pub fn events(&self) -> usize {
        let Some(database) = self.database() else { return 0 };
        let mut select = database.prepare("SELECT data FROM records").unwrap();
        let records = select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let entries = |data: Vec<u8>| shared::format::record::unpack(&data, &[]).unwrap().entries.len();
        records.map(|data| entries(data.unwrap())).sum()
    }

    /// The data of the record with this sequence number.
    pub fn data_at(&self, sequence_number: &str) -> Vec<u8> {
        let sequence: i64 = sequence_number.strip_prefix("49").unwrap().parse().unwrap();
        let database = self.database().unwrap();
        database
            .query_row("SELECT data FROM records WHERE sequence = ?1", [sequence], |row| row.get(0))
            .unwrap()
    }

    /// All partition keys on the stream.
    pub fn partition_keys(&self) -> Vec<String> {
        let database = self.database().unwrap();
        let mut select = database.prepare("SELECT DISTINCT partition_key FROM records ORDER BY 1").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Puts a record on the stream, as a foreign producer does.
    pub fn put_foreign(&self, partition_key: &str, data: &[u8]) {
        let database = self.database().unwrap();
        let now = Clock::system().now().unix_ms();
        database
            .execute(
                "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES ('shardId-000000000000', ?1, ?2, ?3)",
                (partition_key, now, data),
            )
            .unwrap();
    }

    /// Puts an event on the stream as a redrive does. Its item exists, but names a former origin that is not archived;
    /// the event names that origin in `redrive_of`.
    pub fn strand(&self, tenant: &str, id: &str) {
        let admission = format!("019aa553-4a00-7000-8000-{}", &shared::digest::sha256(id.as_bytes())[..12]);
        let event = serde_json::json!({
            "v": 1, "id": id, "admission_id": admission, "tenant": tenant, "tier": "pro",
            "source": "webhook", "received_at": "2026-11-21T09:30:00.123Z", "text": "x",
            "redrive_of": [{"shard": "shardId-000000000000", "sequence_number": format!("48{:054}", 0), "position": 0}],
        });
        let line = event.to_string();
        let event: shared::format::event_line::Event = serde_json::from_str(&line).unwrap();
        let former = &event.redrive_of[0];
        let insert = "INSERT INTO items (pk, sk, source, tier, received_at, processed_at, origin, admission, hash, original_text, modified_data, received_partition)
             VALUES (?1, ?2, 'webhook', 'pro', ?3, ?3, ?4, ?5, ?6, 'x', 'x', ?1)";
        let row = rusqlite::params![
            shared::format::key::item_partition(&event.facts.tenant),
            shared::format::key::item_sort(&event.facts.id),
            event.facts.received_at.to_string(),
            short::origin(former),
            short::admission(event.facts.admission_id),
            event.content_hash(),
        ];
        self.database().unwrap().execute(insert, row).unwrap();
        self.put_foreign(tenant, line.as_bytes());
    }

    /// The bodies of the messages in a queue: `spill`, `spill-dead`, `dispatch` or `dispatch-dead`.
    pub fn messages(&self, queue: &str) -> Vec<String> {
        let Some(database) = self.database() else { return Vec::new() };
        let mut select = database.prepare("SELECT body FROM messages WHERE queue = ?1 ORDER BY id").unwrap();
        select.query_map([queue], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Puts a message into the spill queue.
    pub fn send_message(&self, body: &str) {
        let database = self.database().unwrap();
        let sent = "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES ('spill', ?1, 0, 0)";
        database.execute(sent, [body]).unwrap();
    }

    /// The objects in the folder `prefix`, by their keys.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let bucket = self.data.join("s3/tidegate-local");
        let mut objects = BTreeMap::new();
        walk(&bucket.join(prefix), &mut |path| {
            let key = path.strip_prefix(&bucket).unwrap().to_str().unwrap().to_owned();
            objects.insert(key, std::fs::read(path).unwrap());
        });
        objects
    }

    /// The keys of the archive objects that have a manifest row.
    pub fn manifest(&self) -> Vec<String> {
        let Some(database) = self.database() else { return Vec::new() };
        let mut select = database.prepare("SELECT object_key FROM manifest ORDER BY 1").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub fn lines(&self) -> Vec<Value> {
        self.objects("events").values().flat_map(|object| self.lines_of(object)).collect()
    }

    pub fn lines_of(&self, object: &[u8]) -> Vec<Value> {
        inflated(object).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All archive lines as they are written.
    pub fn archive_text(&self) -> String {
        self.objects("events").values().map(|object| inflated(object)).collect()
    }

    /// How often each `(tenant, id)` is in the archive.
    pub fn archived(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for line in self.lines() {
            let name = |member: &str| line[member].as_str().unwrap().to_owned();
            *counts.entry((name("tenant"), name("id"))).or_default() += 1;
        }
        counts
    }

    pub fn quarantined(&self) -> Vec<Value> {
        let objects = self.objects("errors");
        let lines = objects.values().flat_map(|object| object.split(|byte| *byte == b'\n'));
        lines.filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    fn database(&self) -> Option<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(self.data.join("tidegate.sqlite"), flags).ok()?;
        database.busy_timeout(crate::site::DEADLINE).unwrap();
        Some(database)
    }
}

fn inflated(object: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(object).read_to_string(&mut text).unwrap();
    text
}

/// Whether an archive object has no lines: it was written as a fence.
pub fn is_empty(object: &[u8]) -> bool {
    MultiGzDecoder::new(object).read(&mut [0]).unwrap() == 0
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() { walk(&entry.path(), visit) } else { visit(&entry.path()) }
    }
}
