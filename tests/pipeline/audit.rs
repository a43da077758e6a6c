//! `tidegate audit` and `tidegate cat`, as an operator types them, on runs whose truth is known; and on runs that
//! somebody tampered with.

use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use shared::time::{Clock, Timestamp};
use tests::site::{Pipeline, Site, eventually};

/// Runs `tidegate` with `arguments` on the site's data: its exit code, stdout and stderr.
fn tidegate(site: &Site, command: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut tidegate = Command::new(crate::program());
    let output = tidegate.arg(command).arg("--data").arg(site.data()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn send(pipeline: &Pipeline, tenant: &str, id: &str, text: &str) {
    let (status, body) = pipeline.send(&json!({"tenant_id": tenant, "id": id, "text": text})).await;
    assert_eq!(status, 202, "{body}");
}

/// The findings of an audit that must find something: `(kind, tenant, id)`.
fn findings(site: &Site) -> Vec<(String, String, String)> {
    let (code, report) = site.audit();
    assert_eq!((code, &report["balanced"]), (1, &json!(false)), "{report:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| (text(&finding["kind"]), text(&finding["tenant"]), text(&finding["id"]))).collect()
}

fn named(kind: &str, tenant: &str, id: &str) -> (String, String, String) {
    (kind.to_owned(), tenant.to_owned(), id.to_owned())
}

#[tokio::test]
async fn a_run_with_events_of_every_fate_balances_while_it_runs() {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    for n in 0..6 {
        send(&pipeline, &format!("t{}", n % 2), &format!("e{n}"), "x").await;
    }
    eventually("the first six", || (site.books().archived().len() == 6).then_some(())).await;
    send(&pipeline, "t0", "e0", "x").await;
    send(&pipeline, "t0", "e0", "something else").await;
    send(&pipeline, "t1", "deadly", "x").await;
    site.books().put_foreign("t9", b"\x00poison");
    site.books().put_foreign("t9", br#"{"tenant_id":"t9","id":"f1","payload":"from elsewhere"}"#);
    eventually("what failed", || (site.books().objects("aws/lambda").len() == 1).then_some(())).await;
    eventually("the quarantine", || (site.books().quarantined().len() == 2).then_some(())).await;
    eventually("the foreign one", || (site.books().archived().len() == 7).then_some(())).await;
    site.fault_now("StreamPut", Some("refuse"));
    send(&pipeline, "t0", "spilled", "x").await;
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    let dead =
        "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES ('spill-dead', 'garbage', 0, 0)";
    database.busy_timeout(tests::site::DEADLINE).unwrap();
    database.execute(dead, []).unwrap();

    let (code, report) = site.audit();
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let counts = |of: &Value| {
        let names = ["admissions", "stored", "deduplicated", "quarantined", "failed", "in_flight", "missing"];
        names.map(|name| of[name].as_u64().unwrap())
    };
    assert_eq!(counts(&report["total"]["door"]), [10, 6, 1, 1, 1, 1, 0], "{report:#}");
    assert_eq!(counts(&report["total"]["other_producers"]), [2, 1, 0, 1, 0, 0, 0], "{report:#}");
    assert_eq!(report["tenants"]["t1"]["door"]["failed"], 1, "{report:#}");
    assert_eq!(report["unreadable_messages"], 1, "{report:#}");

    let (code, text, _) = tidegate(&site, "audit", &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Balanced: nothing is missing, doubled or foreign."), "{text}");
    let of_then = ["--from", "1999-01-01T00:00:00Z", "--to", "2000-01-01T00:00:00Z"];
    let (code, text, _) = tidegate(&site, "audit", &of_then);
    let all: Vec<_> = text.lines().find(|line| line.starts_with("all")).unwrap().split_whitespace().collect();
    assert_eq!((code, all), (0, vec!["all", "0", "0", "0", "0", "0", "0", "0", "0"]), "{text}");
}

#[tokio::test]
async fn whatever_somebody_tampers_with_is_named() {
    let site = crate::site();
    let pipeline = site.start();
    for tenant in ["acme", "beta"] {
        send(&pipeline, tenant, "1", "x").await;
        send(&pipeline, tenant, "2", "x").await;
    }
    eventually("all in the archive", || (site.books().archived().len() == 4).then_some(())).await;
    pipeline.stop();
    assert_eq!(site.audit().0, 0);

    let bucket = site.data().join("s3/tidegate-local");
    let objects = site.books().objects("events");
    let (key, bytes) = objects.iter().next().unwrap();
    let ids: Vec<_> = site
        .books()
        .lines_of(bytes)
        .iter()
        .map(|line| (line["tenant"].clone(), line["id"].clone()))
        .collect();
    let path = bucket.join(key);

    std::fs::remove_file(&path).unwrap();
    let found = findings(&site);
    for (tenant, id) in &ids {
        assert!(
            found.contains(&named("missing", tenant.as_str().unwrap(), id.as_str().unwrap())),
            "{found:?}"
        );
    }
    assert!(found.contains(&named("manifest", "", "")), "{found:?}");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(site.audit().0, 0, "as it was");

    let second = bucket.join(key.replace("-0.ndjson.gz", "-7.ndjson.gz"));
    std::fs::write(&second, bytes).unwrap();
    let found = findings(&site);
    for (tenant, id) in &ids {
        assert!(
            found.contains(&named("doubled", tenant.as_str().unwrap(), id.as_str().unwrap())),
            "{found:?}"
        );
    }
    std::fs::remove_file(second).unwrap();

    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    let copied = "INSERT INTO items SELECT 'tenants/thief', 'processed_logs/9', source, original_text, modified_data, processed_at, received_at, event_time, tier, fields, truncated, original_text_bytes, modified_data_bytes, fields_bytes, shard, sequence_number, position, admission_id, content_hash, expires_at, received_partition, trace FROM items LIMIT 1";
    database.execute(copied, []).unwrap();
    assert_eq!(findings(&site), [named("foreign", "thief", "9")]);
    database.execute("DELETE FROM items WHERE pk = 'tenants/thief'", []).unwrap();

    database.execute("DELETE FROM items WHERE pk = 'tenants/acme' AND sk = 'processed_logs/2'", []).unwrap();
    assert_eq!(findings(&site), [named("missing", "acme", "2")]);
    assert_eq!(tidegate(&site, "audit", &[]).0, 1, "for scripts");
}

/// A site with records of ten days ago and of today, not read yet: an event and one for quarantine each.
fn with_a_backlog() -> Site {
    let site = crate::site();
    site.start().stop();
    site.books().put_foreign("t9", br#"{"tenant_id":"t9","id":"old","payload":"x"}"#);
    site.books().put_foreign("t9", b"\x00old poison");
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.execute("UPDATE records SET arrival_ms = arrival_ms - 10 * 86400000", []).unwrap();
    site.books().put_foreign("t9", br#"{"tenant_id":"t9","id":"today","payload":"x"}"#);
    site.books().put_foreign("t9", b"\x00poison");
    site
}

/// An audit of the last hour that must balance: how many another producer's are there, stored, and in quarantine.
fn of_the_last_hour(site: &Site) -> [u64; 3] {
    let (code, report, _) = tidegate(site, "audit", &["--json", "--from", &hour_ago()]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let others = &report["total"]["other_producers"];
    ["admissions", "stored", "quarantined"].map(|name| others[name].as_u64().unwrap())
}

fn hour_ago() -> String {
    Timestamp::from_unix_ms(Clock::system().now().unix_ms() - 3_600_000).to_string()
}

#[tokio::test]
async fn a_batch_that_began_days_before_the_time_that_is_audited_balances() {
    let site = with_a_backlog();
    let pipeline = site.start();
    eventually("both in the archive", || (site.books().archived().len() == 2).then_some(())).await;
    pipeline.stop();
    assert_eq!(
        site.books().objects("events").len(),
        1,
        "one batch, one object, named after its first record"
    );
    assert_eq!(of_the_last_hour(&site), [2, 1, 1]);
    let (_, printed, said) = tidegate(&site, "cat", &["--tenant", "t9", "--from", &hour_ago()]);
    assert!(printed.contains(r#""id":"today""#) && printed.lines().count() == 1, "{printed}{said}");
}

#[tokio::test]
async fn an_object_that_began_days_before_is_found_while_the_manifest_does_not_have_it() {
    let site = with_a_backlog();
    site.fault_now("ManifestNote", Some("refuse"));
    let pipeline = site.start();
    eventually("both in the archive", || (site.books().archived().len() == 2).then_some(())).await;
    pipeline.kill();
    assert_eq!(site.books().manifest(), Vec::<String>::new());
    assert_eq!(of_the_last_hour(&site), [2, 1, 1], "the ledger announces the object");
}

#[tokio::test]
async fn an_audit_of_nothing_is_neither_balanced_nor_unbalanced() {
    let site = crate::site();
    let (code, text, error) = tidegate(&site, "audit", &[]);
    assert_eq!((code, text.as_str()), (2, ""), "{error}");
    assert!(error.contains("holds no data of `tidegate local`"), "{error}");
    assert!(!site.data().exists(), "nothing is created");
    assert_eq!(tidegate(&site, "audit", &["--from", "yesterday"]).0, 2);
}

#[tokio::test]
async fn cat_prints_one_tenants_events_and_what_it_read_of_the_objects() {
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..30 {
        send(&pipeline, &format!("t{}", n % 10), &format!("e{n}"), "x").await;
    }
    eventually("all in the archive", || (site.books().archived().len() == 30).then_some(())).await;
    pipeline.stop();

    let (code, text, error) = tidegate(&site, "cat", &["--tenant", "t3"]);
    assert_eq!(code, 0, "{error}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["e13", "e23", "e3"]);
    assert!(lines.iter().all(|line| line["tenant"] == "t3"));
    assert!(error.starts_with("3 events of t3: read "), "{error}");
    let (code, text, _) = tidegate(&site, "cat", &["--tenant", "t3", "--to", "2000-01-01T00:00:00Z"]);
    assert_eq!((code, text.as_str()), (0, ""));

    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.execute("DELETE FROM manifest", []).unwrap();
    let (_, text, error) = tidegate(&site, "cat", &["--tenant", "t3"]);
    assert_eq!(text, "");
    for key in site.books().objects("events").keys() {
        assert!(
            error.contains(&format!("left out, since the manifest does not have it (yet): {key}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_has_had_enough_is_no_error_to_either_command() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "t3", "e", "x").await;
    eventually("it in the archive", || (site.books().archived().len() == 1).then_some(())).await;
    pipeline.stop();
    for arguments in [&["cat", "--tenant", "t3"][..], &["audit"]] {
        let mut tidegate = Command::new(crate::program());
        tidegate.args(arguments).arg("--data").arg(site.data()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = tidegate.spawn().unwrap();
        drop(process.stdout.take());
        assert!(process.wait().unwrap().success(), "{arguments:?}");
    }
}
