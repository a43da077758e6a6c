//! A data folder with one of everything that is stored, made by the consumer itself from records that the test puts on the
//! stream.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ingest_fn::publish::{EventStream, StreamRecord};
use local::adapters::Plain;
use local::data::{BUCKET, DataFolder};
use local::embedded::EmbeddedStream;
use operate::deployment::Deployment;
use rusqlite::Connection;
use serde_json::json;
use shared::config::{Config, ItemContent};
use shared::digest::sha256;
use shared::format::dispatch_message::DispatchMessage;
use shared::format::event_line::Event;
use shared::format::facts::{Facts, Source};
use shared::format::spill_message::SpillMessage;
use shared::format::{key, record};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::Origin;
use shared::tier::Tier;
use shared::time::{Clock, Timestamp};
use uuid::Uuid;

use crate::shard::Shard;

/// In the far future, so that the stream still has what arrived then, and each run stores the same bytes.
pub(crate) const NOW: i64 = 4_102_444_800_123;
/// The stream does not have it any more.
const LONG_AGO: i64 = 1_767_225_601_456;

pub(crate) const TENANT: &str = "acme";

pub(crate) struct Site {
    _folder: tempfile::TempDir,
    pub(crate) bucket: PathBuf,
    pub(crate) database: Connection,
    pub(crate) config: Config,
    data: DataFolder,
    path: PathBuf,
    /// When all of it happened.
    now: Timestamp,
    admissions: u128,
    /// What became of the record with this sequence.
    pub(crate) records: BTreeMap<i64, &'static str>,
}

/// Text that does not compress.
fn noise(length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.alphanumeric()).take(length).collect()
}

impl Site {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let data = DataFolder::open(&path).unwrap();
        let now = Timestamp::from_unix_ms(NOW);
        EmbeddedStream::open(data.database().unwrap(), 1, Clock::fixed(now)).await.unwrap();
        let mut config = Config::default();
        config.archive.object_bytes = 20_000;
        config.reads.enabled = Some(true);
        let tier = |name| Tier::parse(name).unwrap();
        config.items.days_to_live = BTreeMap::from([(tier("free"), 1), (tier("pro"), 100_000)]);
        let mut site = Self {
            bucket: path.join("s3").join(BUCKET),
            database: Connection::open(data.database_file()).unwrap(),
            _folder: folder,
            config,
            data,
            path,
            now,
            admissions: 0,
            records: BTreeMap::new(),
        };
        // Damages need not survive a power cut, and may leave records without their shard.
        site.database.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF").unwrap();
        site.store().await;
        site
    }

    pub(crate) async fn deployment(&self) -> impl Deployment + use<> {
        local::deployment::open(&self.path, Box::leak(Box::new(Plain))).await.unwrap()
    }

    fn event(&mut self, id: &str, text: &str, fields: &str) -> Event {
        self.admissions += 1;
        let facts = Facts {
            id: EventId::parse(id).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128((0xABCD << 64) + self.admissions)),
            tenant: TenantId::parse(TENANT).unwrap(),
            tier: Tier::parse("pro").unwrap(),
            source: Source::JsonUpload,
            received_at: self.now,
            event_time: serde_json::from_value(json!("2024-01-11T01:42:50.234200Z")).unwrap(),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        };
        let mut event = Event::of_facts(facts);
        text.clone_into(&mut event.text);
        event.fields = serde_json::from_str(fields).unwrap();
        event
    }

    async fn put(&mut self, role: &'static str, data: Vec<u8>) -> i64 {
        let stream =
            EmbeddedStream::open(self.data.database().unwrap(), 1, Clock::fixed(self.now)).await.unwrap();
        let record = StreamRecord { partition_key: TENANT.to_owned(), data: data.into() };
        stream.put(&[record]).await.unwrap();
        let sequence =
            self.database.query_row("SELECT max(sequence) FROM records", [], |row| row.get(0)).unwrap();
        self.records.insert(sequence, role);
        sequence
    }

    async fn put_event(&mut self, role: &'static str, event: &Event) -> Origin {
        let sequence = self.put(role, record::pack(&[event.line()])).await;
        Origin {
            shard: "shardId-000000000000".into(),
            sequence_number: format!("49{sequence:054}").into(),
            position: 0,
        }
    }

    fn shard(&self) -> Shard<'_> {
        Shard { folder: &self.path, data: &self.data, now: self.now }
    }

    async fn consume(&self) {
        self.shard().consume(&self.config).await;
    }

    async fn consume_with(&mut self, content: ItemContent) {
        self.config.items.content = content;
        self.consume().await;
        self.config.items.content = ItemContent::Both;
    }

    fn message(&self, queue: &str, body: &str) {
        let insert = "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES (?1, ?2, ?3, ?3)";
        self.database.execute(insert, rusqlite::params![queue, body, self.now.unix_ms()]).unwrap();
    }

    async fn store(&mut self) {
        // Events of long ago: the stream does not have them any more. Of one the item has expired, too.
        let today = self.now;
        self.now = Timestamp::from_unix_ms(LONG_AGO);
        let off_stream = self.event("off-stream", "hello", "{}");
        self.put_event("", &off_stream).await;
        let mut expired = self.event("expired", "hello", "{}");
        expired.facts.tier = Tier::parse("free").unwrap();
        self.put_event("", &expired).await;
        self.consume().await;
        let bare = self.event("off-stream-bare", "User 555-0199 accessed /reports", r#"{"level":3}"#);
        self.put_event("", &bare).await;
        self.consume_with(ItemContent::Reference).await;
        self.database.execute("DELETE FROM items WHERE sk = 'processed_logs/expired'", []).unwrap();
        self.database.execute("DELETE FROM records", []).unwrap();
        self.records.clear();
        self.now = today;

        // Stored events of each kind, in two batches.
        let plain = self.event("plain", "hello", r#"{"level":3}"#);
        self.put_event("stored", &plain).await;
        let redacted = self.event("redacted", "User 555-0199 accessed /reports", "{}");
        self.put_event("stored", &redacted).await;
        let mut flat = self.event("flat", "level=3", r#"{"level":3}"#);
        (flat.is_flattened, flat.facts.event_time, flat.facts.trace) = (true, None, None);
        self.put_event("stored", &flat).await;
        let mut named = self.event("message", "from a webhook", "{}");
        named.is_message = true;
        self.put_event("stored", &named).await;
        self.put(
            "stored, of a foreign producer",
            br#"{"tenant_id":"acme","id":"foreign","payload":"x"}"#.to_vec(),
        )
        .await;
        self.consume().await;
        let cut = self.event("cut", &"a line of a log\n".repeat(10_000), "{}");
        self.put_event("stored", &cut).await;
        let wide = self.event("wide", "hello", &json!({ "x": "wide ".repeat(13_000) }).to_string());
        self.put_event("stored", &wide).await;
        for (id, length) in [("large", 40_000), ("larger", 41_000)] {
            let large = self.event(id, &noise(length), "{}");
            self.put_event("stored", &large).await;
        }
        let claimed = self.event("claimed", &"claimed ".repeat(100), "{}");
        let claimed = self.shard().check_in(claimed).await;
        self.put_event("stored, with a claim check", &claimed).await;
        // Its message is the same again.
        self.put_event("stored twice by us", &plain).await;
        let again = Event { facts: self.event("plain", "", "{}").facts, ..plain.clone() };
        self.put_event("the same sent again", &again).await;
        self.consume().await;

        // Items that do not have everything.
        for (id, content) in [("changed", ItemContent::Changed), ("bare", ItemContent::Reference)] {
            let same = self.event(id, "nothing to redact", r#"{"level":4}"#);
            self.put_event("stored", &same).await;
            let redacted = self.event(&format!("{id}-redacted"), "User 555-0199", "{}");
            self.put_event("stored", &redacted).await;
            self.consume_with(content).await;
        }

        // Quarantine, in two batches.
        for (id, text) in [("plain", "another text"), ("redacted", "another text")] {
            let reused = self.event(id, text, "{}");
            self.put_event("in quarantine", &reused).await;
            self.put("in quarantine, unreadable", format!("\0poison {id}").into_bytes()).await;
            let claimed = self.event(id, &"quarantined ".repeat(100), "{}");
            let claimed = self.shard().check_in(claimed).await;
            self.put_event("in quarantine, with a claim check", &claimed).await;
            self.consume().await;
        }

        // Failed batches. One is redriven.
        let mut redriven = self.event("redriven", "hello", "{}");
        let origin = self.put_event("failed and redriven", &redriven).await;
        self.shard().fail(1).await;
        let failed = self.event("failed", "hello", "{}");
        self.put_event("failed", &failed).await;
        let claimed = self.event("failed-claim", &"failed ".repeat(100), "{}");
        let claimed = self.shard().check_in(claimed).await;
        self.put_event("failed, with a claim check", &claimed).await;
        self.shard().fail(2).await;
        redriven.redrive_of.push(origin.clone());
        self.put_event("stored after a redrive", &redriven).await;
        self.consume().await;
        let source = format!("aws/lambda/mapping/{}/2026/11/28/2026-11-28T07.00.01-x", origin.shard);
        let note = json!({"v": 1, "origins": [origin]}).to_string();
        self.shard().put_object(&key::redriven_marker(&source, &sha256(note.as_bytes())), note.into()).await;
        let letter = SpillMessage::of(TENANT, &[r#"{"a":1}"#]);
        let note = key::redriven_marker("dead-letters", &sha256(letter.body().as_bytes()));
        self.shard().put_object(&note, letter.body().to_owned().into()).await;

        // Pending, in all places.
        let pending = self.event("pending", "hello", "{}");
        self.put_event("not processed yet", &pending).await;
        let claimed = self.event("pending-claim", &"pending ".repeat(100), "{}");
        let claimed = self.shard().check_in(claimed).await;
        self.put_event("not processed yet, with a claim check", &claimed).await;
        for (queue, id) in [("spill", "spilled"), ("spill", "spilled-2"), ("spill-dead", "dead-letter")] {
            let event = self.event(id, "hello", "{}");
            let claimed = self.event(&format!("{id}-claim"), &format!("{id} ").repeat(100), "{}");
            let claimed = self.shard().check_in(claimed).await;
            let message = SpillMessage::of(TENANT, &[event.line(), claimed.line()]);
            self.message(queue, message.body());
        }
        self.dead_letter_of_dispatch();
        self.sidecar().await;
    }

    /// Of the messages to the target, only those of two events are left; one is a dead letter.
    fn dead_letter_of_dispatch(&self) {
        let mut select = self
            .database
            .prepare("SELECT id, body FROM messages WHERE queue = 'dispatch' ORDER BY id LIMIT 2 OFFSET 3")
            .unwrap();
        let messages: Vec<(i64, String)> = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let message = DispatchMessage::read(&messages[1].1).unwrap();
        let dead = message.failed("the target refused it", 3, self.now).body();
        let update = "UPDATE messages SET queue = 'dispatch-dead', body = ?1 WHERE id = ?2";
        self.database.execute(update, rusqlite::params![dead, messages[1].0]).unwrap();
        let delete = "DELETE FROM messages WHERE queue = 'dispatch' AND id <> ?1";
        self.database.execute(delete, [messages[0].0]).unwrap();
        let failed = "UPDATE items SET dispatch_status = 'failed', dispatch_attempts = 3, dispatch_reason = 'refused' WHERE sk = 'processed_logs/redacted'";
        self.database.execute(failed, []).unwrap();
        self.database.execute("INSERT INTO rate VALUES ('target', 1)", []).unwrap();
        self.database.execute("INSERT INTO data_folder VALUES ('id', 1)", []).unwrap();
    }

    /// Two rows get their ranges in an object of their own, as for thousands of tenants.
    async fn sidecar(&self) {
        let mut select =
            self.database.prepare("SELECT object_key, tenants FROM manifest ORDER BY sk LIMIT 2").unwrap();
        let rows: Vec<(String, String)> = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for (object, tenants) in rows {
            let sidecar = key::manifest_sidecar(&object);
            let bytes = shared::gzip::compress(tenants.as_bytes(), shared::gzip::Level::FAST);
            self.shard().put_object(&sidecar, bytes.into()).await;
            let update = "UPDATE manifest SET tenants = NULL, tenants_key = ?1 WHERE object_key = ?2";
            self.database.execute(update, [&sidecar, &object]).unwrap();
        }
    }
}
