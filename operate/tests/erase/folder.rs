//! A data folder of a hundred tenants, made by the consumer itself from records that the test puts on the stream; and what is in
//! it of a tenant.

use std::path::{Path, PathBuf};

use ingest_fn::publish::{EventStream, StreamRecord};
use local::data::{BUCKET, DataFolder};
use local::embedded::EmbeddedStream;
use rusqlite::Connection;
use serde_json::{Value, json};
use shared::config::Config;
use shared::digest::sha256;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::format::{key, record};
use shared::gzip::{self, Cap};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::tier::Tier;
use shared::time::{Clock, Timestamp};
use uuid::Uuid;

use crate::shard::Shard;

pub(crate) const TENANTS: usize = 100;
/// The tenant that is erased.
pub(crate) const ERASED: &str = "tenant-42";
const OTHER: &str = "tenant-43";

pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) config: Config,
    data: DataFolder,
    now: Timestamp,
    admissions: u128,
}

/// What only the texts of this event have.
fn token(tenant: &str, id: &str) -> String {
    format!("token-{id}-of-{tenant}-and-of-no-other-")
}

impl Site {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
        let mut config = Config::default();
        config.archive.object_bytes = 8_000;
        let now = Timestamp::from_unix_ms(Clock::system().now().unix_ms() - 5_000);
        let mut site = Self { folder, config, data, now, admissions: 0 };
        site.store().await;
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn copy(&self) -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            std::fs::create_dir_all(to).unwrap();
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                let to = to.join(entry.file_name());
                if entry.path().is_dir() {
                    copy(&entry.path(), &to);
                } else {
                    std::fs::copy(entry.path(), to).unwrap();
                }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(self.path(), folder.path());
        folder
    }

    fn event(&mut self, tenant: &str, id: &str, text: &str) -> Event {
        self.admissions += 1;
        let mut event = Event::of_facts(Facts {
            id: EventId::parse(id).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128((0xABCD << 64) + self.admissions)),
            tenant: TenantId::parse(tenant).unwrap(),
            tier: Tier::parse("pro").unwrap(),
            source: Source::JsonUpload,
            received_at: self.now,
            event_time: None,
            trace: None,
        });
        event.text = format!("{}{text}", token(tenant, id));
        event
    }

    async fn put(&self, events: &[Event]) {
        let stream =
            EmbeddedStream::open(self.data.database().unwrap(), 1, Clock::fixed(self.now)).await.unwrap();
        let lines: Vec<_> = events.iter().map(Event::line).collect();
        let partition_key = events[0].facts.tenant.to_string();
        stream.put(&[StreamRecord { partition_key, data: record::pack(&lines).into() }]).await.unwrap();
    }

    /// An event that no invocation has seen.
    pub(crate) async fn put_pending(&mut self) {
        let pending = self.event(ERASED, "pending", "");
        self.put(&[pending]).await;
    }

    fn shard(&self) -> Shard<'_> {
        Shard { folder: self.path(), data: &self.data, now: self.now }
    }

    pub(crate) async fn consume(&self) {
        self.shard().consume(&self.config).await;
    }

    fn message(&self, queue: &str, body: &str) {
        let insert = "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES (?1, ?2, ?3, ?3)";
        let database = Connection::open(self.data.database_file()).unwrap();
        database.execute(insert, rusqlite::params![queue, body, self.now.unix_ms()]).unwrap();
    }

    async fn store(&mut self) {
        // An event of each tenant, in shared objects; of one of them more.
        for number in 0..TENANTS {
            let tenant = format!("tenant-{number}");
            let mut events = vec![self.event(&tenant, "a", "")];
            if tenant == ERASED {
                events.extend(["b", "c"].map(|id| self.event(&tenant, id, "")));
            }
            self.put(&events).await;
        }
        self.consume().await;
        let mut random = fastrand::Rng::with_seed(7);
        let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(20_000).collect();
        for tenant in [ERASED, OTHER] {
            let large = self.event(tenant, "large", &noise);
            self.put(&[large]).await;
            let claimed = self.event(tenant, "claimed", &"x".repeat(100));
            let claimed = self.shard().check_in(claimed).await;
            self.put(&[claimed]).await;
        }
        self.consume().await;
        // Quarantine: two tenants in an object. One line was redriven.
        for tenant in [ERASED, OTHER] {
            let reused = self.event(tenant, "a", "another text");
            self.put(&[reused]).await;
        }
        let filler = self.event("tenant-1", "b", "");
        self.put(&[filler]).await;
        self.consume().await;
        let bucket = bucket(self.path());
        let quarantined = objects(&bucket)
            .into_iter()
            .find(|(key, _)| key.starts_with("errors/") && !key.ends_with('/'))
            .unwrap();
        let lines = QuarantineLine::read_all(&quarantined.1).unwrap();
        assert_eq!(lines.len(), 2);
        let note = json!({"v": 1, "origins": [lines[1].origin]}).to_string();
        self.shard()
            .put_object(&key::redriven_marker(&quarantined.0, &sha256(note.as_bytes())), note.into())
            .await;
        // A failed batch of two tenants.
        for tenant in [ERASED, OTHER] {
            let failed = self.event(tenant, "failed", "");
            self.put(&[failed]).await;
        }
        self.shard().fail(1).await;
        // Queues.
        for tenant in [ERASED, OTHER] {
            let [spilled, dead, again] = ["spilled", "dead", "a"].map(|id| self.event(tenant, id, "").line());
            self.message("spill", SpillMessage::of(tenant, &[spilled]).body());
            self.message("spill-dead", SpillMessage::of(tenant, &[dead, again]).body());
            let letter = self.event(tenant, "a", "of a letter").line();
            let letter = SpillMessage::of(tenant, &[letter]);
            let note = key::redriven_marker("dead-letters", &sha256(letter.body().as_bytes()));
            self.shard().put_object(&note, letter.body().to_owned().into()).await;
        }
        self.sidecar().await;
    }

    /// Every second row has its ranges in an object of their own, as for thousands of tenants.
    async fn sidecar(&self) {
        let rows: Vec<(String, String)> = {
            let database = Connection::open(self.data.database_file()).unwrap();
            let mut select =
                database.prepare("SELECT object_key, tenants FROM manifest WHERE rowid % 2 = 0").unwrap();
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.unwrap().collect::<Result<_, _>>().unwrap()
        };
        for (object, tenants) in rows {
            let sidecar = key::manifest_sidecar(&object);
            let bytes = gzip::compress(tenants.as_bytes(), gzip::Level::FAST);
            self.shard().put_object(&sidecar, bytes.into()).await;
            let update = "UPDATE manifest SET tenants = NULL, tenants_key = ?1 WHERE object_key = ?2";
            let database = Connection::open(self.data.database_file()).unwrap();
            database.execute(update, [&sidecar, &object]).unwrap();
        }
    }
}

pub(crate) fn bucket(folder: &Path) -> PathBuf {
    folder.join("s3").join(BUCKET)
}

/// Files below a folder, by their paths in it.
fn objects(folder: &Path) -> Vec<(String, Vec<u8>)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                // A folder's name may be a tenant's.
                found.push((format!("{}/", path.strip_prefix(root).unwrap().display()), Vec::new()));
                walk(&path, root, found);
            } else {
                let key = path.strip_prefix(root).unwrap().display().to_string();
                found.push((key, std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

/// Deletes all records, as the end of the stream's retention does.
pub(crate) fn forget_stream(folder: &Path) {
    let database = Connection::open(folder.join("tidegate.sqlite")).unwrap();
    let forget = "PRAGMA secure_delete = ON; DELETE FROM records; PRAGMA wal_checkpoint(TRUNCATE);";
    database.execute_batch(forget).unwrap();
}

/// Where the data folder has a text of the erased events, in any file, also compressed or in base64; and keys with them.
pub(crate) fn traces(folder: &Path, event: Option<&str>) -> Vec<String> {
    let token = match event {
        None => format!("-of-{ERASED}-and-of-no-other-"),
        Some(event) => self::token(ERASED, event),
    };
    let name = match event {
        None => format!("/{ERASED}/"),
        Some(event) => format!("/{ERASED}/{event}/"),
    };
    let mut needles = vec![token.clone().into_bytes()];
    for shift in 0..3 {
        // Base64 of it, as it is at each of the three alignments, without the characters that its neighbours share.
        let encoded = base64_simd::STANDARD.encode_to_string([&vec![0; shift], token.as_bytes()].concat());
        needles.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    let has = |bytes: &[u8]| {
        needles.iter().any(|needle| bytes.windows(needle.len()).any(|part| part == needle.as_slice()))
    };
    let found = |(key, bytes): &(String, Vec<u8>)| {
        let inflated = gzip::inflate(bytes, Cap { bytes: 100_000_000, ratio: u32::MAX }).unwrap_or_default();
        let is_note = key.contains("/erased/");
        has(bytes) || has(&inflated) || (key.contains(&name) && !is_note)
    };
    objects(folder).into_iter().filter(found).map(|(key, _)| key).collect()
}

/// What is stored of all others, besides archive objects and the stream: rows, messages, objects, lines of saved objects.
pub(crate) fn others(folder: &Path, event: Option<&str>) -> Vec<String> {
    let database = Connection::open(folder.join("tidegate.sqlite")).unwrap();
    let is_erased = |tenant: &str, id: &str| super::is_erased(event, tenant, id);
    let mut others = Vec::new();
    let mut select = database.prepare("SELECT * FROM items").unwrap();
    let columns = select.column_count();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<rusqlite::types::Value> = (0..columns).map(|index| row.get(index).unwrap()).collect();
        let name =
            key::item_name(&row.get::<_, String>(0).unwrap(), &row.get::<_, String>(1).unwrap()).unwrap();
        if !is_erased(name.0.as_str(), name.1.as_str()) {
            others.push(format!("{values:?}"));
        }
    }
    let mut select = database.prepare("SELECT queue, body FROM messages").unwrap();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (queue, body): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        if let Ok(message) = shared::format::dispatch_message::DispatchMessage::read(&body) {
            let line = message.line().unwrap();
            if !is_erased(line.facts.tenant.as_str(), line.facts.id.as_str()) {
                others.push(body);
            }
            continue;
        }
        others.extend(of_letter(&body, &is_erased).into_iter().map(|line| format!("{queue} {line}")));
    }
    for (key, bytes) in objects(&bucket(folder)) {
        let text = || String::from_utf8(bytes.clone()).unwrap();
        if let Some(stored) = key::StoredLineKey::parse(&key) {
            if !is_erased(stored.tenant.as_str(), stored.id.as_str()) {
                others.push(format!("{key} {}", sha256(&bytes)));
            }
        } else if key.starts_with("errors/") && !key.ends_with('/') {
            let lines = text();
            let lines = lines.lines().filter(|line| {
                let line: QuarantineLine = serde_json::from_str(line).unwrap();
                !is_erased(line.tenant.unwrap().as_str(), line.id.unwrap().as_str())
            });
            others.extend(lines.map(str::to_owned));
        } else if key.starts_with("aws/lambda/") && !key.ends_with('/') {
            let object: Value = serde_json::from_str(&text()).unwrap();
            let payload: Value = serde_json::from_str(object["payload"].as_str().unwrap()).unwrap();
            let others_records = payload["Records"].as_array().unwrap().iter().filter(|record| {
                event.is_some_and(|event| event != "failed") || record["kinesis"]["partitionKey"] != ERASED
            });
            others.extend(others_records.map(ToString::to_string));
        } else if key.starts_with("redriven/dead-letters/") && !key.ends_with('/') {
            others.extend(of_letter(&text(), &is_erased));
        } else if key.starts_with("redriven/") && !key.ends_with('/') {
            others.push(text());
        }
    }
    others.sort();
    others
}

fn of_letter(body: &str, is_erased: &impl Fn(&str, &str) -> bool) -> Vec<String> {
    let lines = SpillMessage::read(body).unwrap().into_iter().filter_map(|line| {
        let event: Event = serde_json::from_slice(&line.line).unwrap();
        let is_other = !is_erased(event.facts.tenant.as_str(), event.facts.id.as_str());
        is_other.then(|| String::from_utf8(line.line.to_vec()).unwrap())
    });
    lines.collect()
}
