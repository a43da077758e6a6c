//! `tidegate audit` and `tidegate cat`, on runs with a known result and on data that the test has changed.

use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use shared::time::{Clock, Timestamp};
use tests::site::{LocalRun, Site, eventually};

/// Runs a command on the site's data. Returns exit code, stdout and stderr.
fn tidegate(site: &Site, command: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut tidegate = Command::new(crate::program());
    let output = tidegate.arg(command).arg("--data").arg(site.data()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn send(pipeline: &LocalRun, tenant: &str, id: &str, text: &str) {
    let (status, body) = pipeline.send(&json!({"tenant_id": tenant, "id": id, "text": text})).await;
    assert_eq!(status, 202, "{body}");
}

/// The findings of an audit that must find something, as `(kind, tenant, id)`.
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
async fn an_audit_of_a_running_pipeline_balances_with_events_of_every_kind() {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    for n in 0..6 {
        send(&pipeline, &format!("t{}", n % 2), &format!("e{n}"), "x").await;
    }
    eventually("the first six", || (site.stored().archived().len() == 6).then_some(())).await;
    send(&pipeline, "t0", "e0", "x").await;
    send(&pipeline, "t0", "e0", "something else").await;
    send(&pipeline, "t1", "deadly", "x").await;
    site.stored().put_foreign("t9", b"\x00poison");
    site.stored().put_foreign("t9", br#"{"tenant_id":"t9","id":"f1","payload":"from elsewhere"}"#);
    eventually("the failed batch", || (site.stored().objects("aws/lambda").len() == 1).then_some(())).await;
    eventually("the quarantine", || (site.stored().quarantined().len() == 2).then_some(())).await;
    eventually("the foreign event", || (site.stored().archived().len() == 7).then_some(())).await;
    site.fault_now("StreamPut", Some("refuse"));
    send(&pipeline, "t0", "spilled", "x").await;
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    let dead =
        "INSERT INTO messages (queue, body, sent_ms, visible_ms) VALUES ('spill-dead', 'garbage', 0, 0)";
    database.busy_timeout(tests::site::DEADLINE).unwrap();
    database.execute(dead, []).unwrap();

    let (code, report) = site.audit();
    assert_eq!((code, report["findings"].as_array().unwrap().len()), (1, 2), "{report:#}");
    let details =
        ["a message of the spill queue's dead letters", "is damaged: the body is not a spilled message"];
    for (found, detail) in report["findings"].as_array().unwrap().iter().zip(details) {
        assert!(found["detail"].as_str().unwrap().contains(detail), "{report:#}");
    }
    let counts = |of: &Value| {
        let names = ["admissions", "stored", "deduplicated", "quarantined", "failed", "in_flight", "missing"];
        names.map(|name| of[name].as_u64().unwrap())
    };
    assert_eq!(counts(&report["total"]["ingest"]), [10, 6, 1, 1, 1, 1, 0], "{report:#}");
    assert_eq!(counts(&report["total"]["foreign_producers"]), [2, 1, 0, 1, 0, 0, 0], "{report:#}");
    assert_eq!(report["tenants"]["t1"]["ingest"]["failed"], 1, "{report:#}");
    assert_eq!(report["unreadable_messages"], 1, "{report:#}");

    database.execute("DELETE FROM messages WHERE body = 'garbage'", []).unwrap();
    let (code, text, _) = tidegate(&site, "audit", &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Balanced: nothing is missing, doubled or foreign."), "{text}");
    let of_then = ["--from", "1999-01-01T00:00:00Z", "--to", "2000-01-01T00:00:00Z"];
    let (code, text, _) = tidegate(&site, "audit", &of_then);
    let all: Vec<_> = text.lines().find(|line| line.starts_with("all")).unwrap().split_whitespace().collect();
    assert_eq!((code, all), (0, vec!["all", "0", "0", "0", "0", "0", "0", "0", "0"]), "{text}");
}

#[tokio::test]
async fn an_audit_names_everything_that_was_changed() {
    let site = crate::site();
    let pipeline = site.start();
    for tenant in ["acme", "beta"] {
        send(&pipeline, tenant, "1", "x").await;
        send(&pipeline, tenant, "2", "x").await;
    }
    eventually("all in the archive", || (site.stored().archived().len() == 4).then_some(())).await;
    pipeline.stop();
    assert_eq!(site.audit().0, 0);

    let bucket = site.data().join("s3/tidegate-local");
    let objects = site.stored().objects("events");
    let (key, bytes) = objects.iter().next().unwrap();
    let ids: Vec<_> = site
        .stored()
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
    assert_eq!(site.audit().0, 0, "restored");

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
    let copy = "CREATE TEMP TABLE copy AS SELECT * FROM items LIMIT 1;
        UPDATE copy SET pk = 'tenants/thief', sk = 'processed_logs/9';
        INSERT INTO items SELECT * FROM copy;";
    database.execute_batch(copy).unwrap();
    assert_eq!(findings(&site), [named("foreign", "thief", "9")]);
    database.execute("DELETE FROM items WHERE pk = 'tenants/thief'", []).unwrap();

    database.execute("DELETE FROM items WHERE pk = 'tenants/acme' AND sk = 'processed_logs/2'", []).unwrap();
    assert_eq!(findings(&site), [named("missing", "acme", "2")]);
    assert_eq!(tidegate(&site, "audit", &[]).0, 1, "the exit code for scripts");
}

#[tokio::test]
async fn lines_with_another_events_admission_are_events_of_their_own() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "acme", "1", "x").await;
    eventually("the event", || (site.stored().archived().len() == 1).then_some(())).await;
    let stolen = &site.stored().lines()[0]["admission_id"];
    for (tenant, id, text) in [("thief", "1", "x"), ("acme", "2", "x"), ("acme", "1", "another")] {
        let line = json!({
            "v": 1, "id": id, "admission_id": stolen, "tenant": tenant, "tier": "pro", "source": "webhook",
            "received_at": Clock::system().now().to_string(), "text": text,
        });
        site.stored().put_foreign(tenant, line.to_string().as_bytes());
    }
    eventually("two more", || (site.stored().archived().len() == 3).then_some(())).await;
    eventually("the quarantine", || (site.stored().quarantined().len() == 1).then_some(())).await;
    assert_eq!(site.stored().quarantined()[0]["reason"], "id_reused");
    let (code, report) = site.audit();
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let counts = ["admissions", "stored", "quarantined"].map(|name| report["total"]["ingest"][name].as_u64());
    assert_eq!(counts, [4, 3, 1].map(Some), "{report:#}");
}

/// The ledger announces its object until the shard's next batch. Before, the audit said that the manifest should have it.
#[tokio::test]
async fn a_batch_that_failed_for_good_after_its_object_was_written_is_stored() {
    let site = crate::site().options(&["--retries", "1"]).faults(&[("manifest_note", 1, 10, "die_before")]);
    let pipeline = site.start();
    send(&pipeline, "acme", "1", "x").await;
    let saved = || (site.stored().objects("aws/lambda").len() == 1).then_some(());
    eventually("the failed batch", saved).await;
    pipeline.stop();
    assert!(site.stored().manifest().is_empty());
    let (code, report) = site.audit();
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    assert_eq!(report["total"]["ingest"]["stored"], 1, "{report:#}");
}

/// A site with unread records of ten days ago and of today: an event and a poison record of each day.
fn with_a_backlog() -> Site {
    let site = crate::site();
    site.start().stop();
    site.stored().put_foreign("t9", br#"{"tenant_id":"t9","id":"old","payload":"x"}"#);
    site.stored().put_foreign("t9", b"\x00old poison");
    let database = Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.execute("UPDATE records SET arrival_ms = arrival_ms - 10 * 86400000", []).unwrap();
    site.stored().put_foreign("t9", br#"{"tenant_id":"t9","id":"today","payload":"x"}"#);
    site.stored().put_foreign("t9", b"\x00poison");
    site
}

/// Audits the last hour, which must balance. Returns the counts of foreign producers: admissions, stored, quarantined.
fn of_the_last_hour(site: &Site) -> [u64; 3] {
    let (code, report, _) = tidegate(site, "audit", &["--json", "--from", &hour_ago()]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((code, &report["findings"]), (0, &json!([])), "{report:#}");
    let others = &report["total"]["foreign_producers"];
    ["admissions", "stored", "quarantined"].map(|name| others[name].as_u64().unwrap())
}

fn hour_ago() -> String {
    Timestamp::from_unix_ms(Clock::system().now().unix_ms() - 3_600_000).to_string()
}

#[tokio::test]
async fn a_batch_that_began_days_before_the_audited_time_balances() {
    let site = with_a_backlog();
    let pipeline = site.start();
    eventually("both in the archive", || (site.stored().archived().len() == 2).then_some(())).await;
    pipeline.stop();
    assert_eq!(
        site.stored().objects("events").len(),
        1,
        "one batch, one object, named after its first record"
    );
    assert_eq!(of_the_last_hour(&site), [2, 1, 1]);
    let (_, printed, errors) = tidegate(&site, "cat", &["--tenant", "t9", "--from", &hour_ago()]);
    assert!(printed.contains(r#""id":"today""#) && printed.lines().count() == 1, "{printed}{errors}");
}

#[tokio::test]
async fn an_old_object_without_a_manifest_row_is_found_through_the_ledger() {
    let site = with_a_backlog();
    site.fault_now("ManifestNote", Some("refuse"));
    let pipeline = site.start();
    eventually("both in the archive", || (site.stored().archived().len() == 2).then_some(())).await;
    pipeline.kill();
    assert_eq!(site.stored().manifest(), Vec::<String>::new());
    assert_eq!(of_the_last_hour(&site), [2, 1, 1], "the ledger announces the object");
}

#[tokio::test]
async fn an_audit_without_data_is_an_error_and_creates_nothing() {
    let site = crate::site();
    let (code, text, error) = tidegate(&site, "audit", &[]);
    assert_eq!((code, text.as_str()), (2, ""), "{error}");
    assert!(error.contains("holds no data of `tidegate local`"), "{error}");
    assert!(!site.data().exists(), "nothing is created");
    assert_eq!(tidegate(&site, "audit", &["--from", "yesterday"]).0, 2);
    let span = ["--from", "2026-11-21T09:00:00Z", "--to", "2026-11-21T08:00:00Z"];
    for arguments in [&["audit"][..], &["redrive"], &["replay"], &["cat", "--tenant", "t"]] {
        let (code, text, error) = tidegate(&site, arguments[0], &[&arguments[1..], &span].concat());
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(
            error.contains("--from 2026-11-21T09:00:00.000Z is not before --to 2026-11-21T08:"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn cat_prints_the_events_of_one_tenant_and_how_much_it_read() {
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..30 {
        send(&pipeline, &format!("t{}", n % 10), &format!("e{n}"), "x").await;
    }
    eventually("all in the archive", || (site.stored().archived().len() == 30).then_some(())).await;
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
    for key in site.stored().objects("events").keys() {
        assert!(
            error.contains(&format!("left out, since the manifest does not have it (yet): {key}")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_closes_the_pipe_is_not_an_error_for_either_command() {
    let site = crate::site();
    let pipeline = site.start();
    send(&pipeline, "t3", "e", "x").await;
    eventually("the event in the archive", || (site.stored().archived().len() == 1).then_some(())).await;
    pipeline.stop();
    for arguments in [&["cat", "--tenant", "t3"][..], &["audit"]] {
        let mut tidegate = Command::new(crate::program());
        tidegate.args(arguments).arg("--data").arg(site.data()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = tidegate.spawn().unwrap();
        drop(process.stdout.take());
        assert!(process.wait().unwrap().success(), "{arguments:?}");
    }
}
