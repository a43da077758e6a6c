//! An audit of a data folder with something in each store that is not as Tidegate writes it: each is a finding that names
//! it, and the rest is audited.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use local::adapters::Plain;
use local::data::DataFolder;
use local::embedded::EmbeddedStream;
use operate::audit::audit;
use rusqlite::Connection;
use serde_json::Value;
use shared::config::Config;
use shared::time::Clock;

const SHARD: &str = "shardId-000000000000";

/// A folder with one event on the stream, that is not processed yet.
async fn with_an_event() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    data.objects().unwrap();
    let database = Connection::open(data.database_file()).unwrap();
    let event = br#"{"tenant_id":"acme","id":"1","text":"x"}"#;
    let now = Clock::system().now().unix_ms();
    let put = "INSERT INTO records (shard, partition_key, arrival_ms, data) VALUES (?1, 'acme', ?2, ?3)";
    database.execute(put, (SHARD, now, &event[..])).unwrap();
    (folder, database)
}

/// The findings of an audit that counts the event, as kind, object and detail.
async fn findings(folder: &Path) -> Vec<String> {
    audited(folder, false).await
}

async fn audited(folder: &Path, deep: bool) -> Vec<String> {
    let deployment = local::deployment::open(folder, &Plain).await.unwrap();
    let report = audit(&deployment, &Config::default(), None, None, deep, &|_, _, _| {}).await.unwrap();
    let report = serde_json::to_value(report).unwrap();
    assert_eq!(report["total"]["foreign_producers"]["in_flight"], 1, "{report:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|one| format!("{} {} {}", text(&one["kind"]), text(&one["object"]), text(&one["detail"])))
        .collect()
}

#[track_caller]
fn check(findings: &[String], named: &[&str]) {
    assert_eq!(findings.len(), 1, "{findings:#?}");
    for name in [&["unreadable"], named].concat() {
        assert!(findings[0].contains(name), "`{name}` is not in: {}", findings[0]);
    }
}

#[tokio::test]
async fn an_audit_says_how_far_it_is_with_each_store() {
    let (folder, _database) = with_an_event().await;
    let deployment = local::deployment::open(folder.path(), &Plain).await.unwrap();
    let said = Mutex::new(BTreeMap::new());
    let progress = |what: &str, done: u64, _: Option<u64>| {
        said.lock().unwrap().insert(what.to_owned(), done);
    };
    audit(&deployment, &Config::default(), None, None, true, &progress).await.unwrap();
    let said = said.into_inner().unwrap();
    for (what, done) in
        [("items", 0), ("events on the stream", 1), ("events judged", 1), ("pages of the stream compared", 1)]
    {
        assert_eq!(said.get(what), Some(&done), "{what}: {said:?}");
    }
}

#[tokio::test]
async fn an_item_row_that_cannot_be_read_is_named_by_its_key() {
    let (folder, database) = with_an_event().await;
    let insert = "INSERT INTO items (pk, sk, source, tier, received_at, processed_at, origin, admission, hash)
        VALUES ('tenants/beta', 'processed_logs/7', 'webhook', 'pro', '2026-11-21T09:30:00Z', '', '0:7', 'AAAAAAAAAAAAAAAAAAAAAQ', 'ab')";
    for (column, value, why) in [
        ("pk", "'tenants/-'", "it is not the key of an item"),
        ("pk", "'beta'", "it is not the key of an item"),
        ("sk", "'7'", "it is not the key of an item"),
        ("sk", "'processed_logs/%00'", "it is not the key of an item"),
        ("received_at", "'yesterday'", "when it was received is missing or malformed"),
        ("admission", "'1'", "`admission` is missing or malformed"),
        ("origin", "'0:4950x'", "`origin` is missing or malformed"),
        ("origin", "'0:'", "`origin` is missing or malformed"),
        ("origin", "'0:7.-1'", "`origin` is missing or malformed"),
        ("origin", "'0:7.4294967296'", "`origin` is missing or malformed"),
    ] {
        database.execute(insert, []).unwrap();
        database.execute(&format!("UPDATE items SET {column} = {value}"), []).unwrap();
        let [pk, sk] = ["pk", "sk"].map(|name| {
            database
                .query_row(&format!("SELECT {name} FROM items"), [], |row| row.get::<_, String>(0))
                .unwrap()
        });
        check(&findings(folder.path()).await, &[&format!("`{pk} {sk}`"), why]);
        database.execute("DELETE FROM items", []).unwrap();
    }
}

#[tokio::test]
async fn a_manifest_row_that_cannot_be_read_is_named_by_its_key() {
    let (folder, database) = with_an_event().await;
    let insert = "INSERT INTO manifest (pk, sk, object_key, first_sequence_number, first_position, end_sequence_number, end_position, object_bytes, object_sha256, object_lines, oldest_received_at, youngest_received_at, tenants)
        VALUES ('shard/shardId-000000000000', 'object/001-5/0000000000', 'events/x', '5', 0, '6', 0, 1, 'ab', 1, '2026-11-21T09:30:00Z', '2026-11-21T09:30:00Z', '[]')";
    for (column, value) in [
        ("tenants", "'['"),
        ("tenants", "NULL"),
        ("oldest_received_at", "'yesterday'"),
        ("end_position", "-1"),
        ("object_bytes", "-1"),
    ] {
        database.execute(insert, []).unwrap();
        database.execute(&format!("UPDATE manifest SET {column} = {value}"), []).unwrap();
        for deep in [false, true] {
            check(&audited(folder.path(), deep).await, &["object/001-5/0000000000", column]);
        }
        database.execute("UPDATE manifest SET sk = 'object/?'", []).unwrap();
        check(&findings(folder.path()).await, &["object/?"]);
        database.execute("DELETE FROM manifest", []).unwrap();
    }
}

#[tokio::test]
async fn a_ledger_row_or_a_checkpoint_that_cannot_be_read_is_named_by_its_shard() {
    let (folder, database) = with_an_event().await;
    for (number, position) in [("'49'", "-1"), ("'49x'", "0"), ("''", "0")] {
        let row = format!("INSERT INTO ledger VALUES ('{SHARD}', 1, {number}, {position}, NULL, NULL, NULL)");
        database.execute(&row, []).unwrap();
        check(&findings(folder.path()).await, &["ledger row", SHARD]);
        // It may also say that the shard ends before such a number.
        let deep = audited(folder.path(), true).await;
        assert!(deep.iter().any(|one| one.contains("ledger row") && one.contains(SHARD)), "{deep:#?}");
        database.execute("DELETE FROM ledger", []).unwrap();
    }
    database.execute("INSERT INTO checkpoints VALUES (?1, 'the third')", [SHARD]).unwrap();
    check(&findings(folder.path()).await, &["checkpoint", SHARD, "`the third`"]);
}

#[tokio::test]
async fn a_message_or_a_saved_object_that_cannot_be_read_is_named() {
    let (folder, database) = with_an_event().await;
    for (queue, named) in
        [("spill", "of the spill queue,"), ("spill-dead", "of the spill queue's dead letters,")]
    {
        for body in ["", "garbage", "{}", r#"{"v":1,"lines":[]}"#] {
            let send =
                "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES (?1, ?2, 1795253400000, 0)";
            database.execute(send, (queue, body)).unwrap();
            check(&findings(folder.path()).await, &[named, "2026-11-21T"]);
            database.execute("DELETE FROM messages", []).unwrap();
        }
    }
    for key in ["errors/dt=2026-11-21/x.ndjson", "aws/lambda/x/y.json"] {
        for bytes in [&b"\x00"[..], b"{}", b"[]", b"{\"payload\":\"{}\"}"] {
            let path = folder.path().join("s3/tidegate-local").join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            check(&findings(folder.path()).await, &[key]);
            std::fs::remove_file(path).unwrap();
        }
    }
}
