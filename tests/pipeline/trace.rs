//! `tidegate trace`, for events at each end of their way.

use std::process::Command;

use serde_json::{Value, json};
use shared::noise::noise;
use tests::site::{Site, answer, eventually};

/// Runs `tidegate trace`. Returns exit code and stdout.
fn trace(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = site.command(&[&["trace"], arguments].concat(), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// The one event that it finds.
fn traced(site: &Site, arguments: &[&str]) -> Value {
    let (code, printed) = trace(site, &[arguments, &["--json"]].concat());
    let mut traced: Value = serde_json::from_str(&printed).unwrap();
    let events = traced["events"].as_array_mut().unwrap();
    assert_eq!((code, events.len()), (0, 1), "{printed}");
    events.remove(0)
}

/// What the shell prints for the command.
fn run(command: &Value) -> Value {
    let output = Command::new("sh").args(["-c", command.as_str().unwrap()]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn a_stored_event_is_traced_to_its_line_by_id_admission_and_trace() {
    let site = crate::site();
    let pipeline = site.start();
    for id in ["other", "order-17", "last"] {
        let event = json!({"tenant_id": "acme", "id": id, "text": format!("text of {id}")});
        let traceparent = format!("00-{:0>32x}-00f067aa0ba902b7-01", id.len());
        let request = pipeline.post("/ingest").header("traceparent", traceparent).json(&event);
        assert_eq!(answer(request).await.0, 202);
    }
    eventually("the lines", || (site.stored().lines().len() == 3).then_some(())).await;
    let event = traced(&site, &["order-17", "--tenant", "acme"]);
    assert_eq!(event["end"], "stored", "{event:#}");
    let line = run(&event["command"]);
    assert_eq!((&line["id"], &line["text"]), (&json!("order-17"), &json!("text of order-17")));
    let object = site.stored().objects("events");
    assert!(object.contains_key(event["object"]["key"].as_str().unwrap()), "{event:#}");
    assert_eq!(event["records"][0]["sequence_number"], line["sequence_number"]);
    assert_eq!(event["item"]["sequence_number"], line["sequence_number"]);
    assert_eq!(event["request"]["received_at"], line["received_at"]);

    // Without its tenant, by what else is stored of its request. The stations are the same.
    let admission = line["admission_id"].as_str().unwrap();
    for other in ["order-17", admission, "00000000000000000000000000000008-00f067"] {
        assert_eq!(traced(&site, &[other])["line"], event["line"], "{other}");
    }
    let (_, text) = trace(&site, &["order-17", "--tenant", "acme"]);
    for part in [
        "acme order-17\n",
        "  request     20",
        "  member      at byte ",
        "  => stored: it has an item and an",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("Searched"), "an event with an item is read by keys: {text}");
}

#[tokio::test]
async fn a_quarantined_event_is_traced_to_its_reason_and_the_command_brings_it_back() {
    let site = crate::site();
    let pipeline = site.start();
    let send = async |text: &str| {
        let (status, _) = pipeline.send(&json!({"tenant_id": "acme", "id": "twice", "text": text})).await;
        assert_eq!(status, 202);
    };
    send("one").await;
    eventually("the line", || site.stored().lines().pop()).await;
    send("another").await;
    eventually("the quarantine", || (site.stored().quarantined().len() == 1).then_some(())).await;
    // The id has an item, so that quarantine is searched only where it is asked for.
    assert_eq!(traced(&site, &["twice", "--tenant", "acme"])["quarantined"], Value::Null);
    let event = traced(&site, &["twice", "--tenant", "acme", "--from", "2020-01-01T00:00:00Z"]);
    assert_eq!((&event["end"], &event["quarantined"][0]["reason"]), (&json!("stored"), &json!("id_reused")));

    // Without the item it is all that is left of the id.
    let database = rusqlite::Connection::open(site.data().join("tidegate.sqlite")).unwrap();
    database.busy_timeout(tests::site::DEADLINE).unwrap();
    database.execute("DELETE FROM items", []).unwrap();
    database.execute("DELETE FROM manifest", []).unwrap();
    let event = traced(&site, &["twice"]);
    assert_eq!(event["end"], "quarantined", "{event:#}");
    let command = event["command"].as_str().unwrap();
    assert_eq!(
        command,
        "tidegate redrive --source quarantine --reason id_reused --as-new --tenant acme --apply"
    );
    let arguments: Vec<_> = command.split(' ').skip(1).collect();
    let redriven = site.command(&arguments, &[]);
    assert!(redriven.status.success(), "{}", String::from_utf8_lossy(&redriven.stderr));
}

#[tokio::test]
async fn a_large_event_is_traced_to_its_claim_check_and_its_large_line() {
    let site = crate::site();
    let pipeline = site.start();
    let text = noise(8_000_000, 1);
    let event = json!({"tenant_id": "acme", "id": "big", "text": text});
    let request = pipeline.post("/ingest").header("Content-Type", "application/json").body(event.to_string());
    assert_eq!(answer(request).await.0, 202);
    eventually("the line", || site.stored().lines().pop()).await;
    let event = traced(&site, &["big", "--tenant", "acme"]);
    assert_eq!(event["end"], "stored", "{event:#}");
    let claim_check = event["records"][0]["claim_check"].as_str().unwrap();
    assert!(claim_check.starts_with("claims/acme/big/"), "{claim_check}");
    assert!(event["line"]["large"].as_str().unwrap().starts_with("texts/acme/big/"));
    assert_eq!(event["item"]["is_truncated"], true);
    assert!(run(&event["command"])["text"] == text);
}

#[tokio::test]
async fn an_event_that_is_not_stored_yet_is_traced_to_where_it_waits() {
    let site = crate::site().crash_on("deadly");
    let pipeline = site.start();
    let send = async |id: &str| {
        let (status, _) = pipeline.send(&json!({"tenant_id": "acme", "id": id, "text": "x"})).await;
        assert_eq!(status, 202);
    };
    send("deadly").await;
    eventually("the failed batch", || (site.stored().objects("aws/lambda").len() == 1).then_some(())).await;
    let event = traced(&site, &["deadly", "--tenant", "acme"]);
    assert_eq!(
        (&event["end"], &event["failed"][0]["why"]),
        (&json!("failed"), &json!("RetryAttemptsExhausted"))
    );

    site.fault_now("StreamPut", Some("refuse"));
    send("spilled").await;
    assert_eq!(traced(&site, &["spilled"])["end"], "spilled");
    pipeline.kill();
    site.stored().put_foreign("acme", br#"{"tenant_id":"acme","id":"waiting","text":"x"}"#);
    let event = traced(&site, &["waiting", "--tenant", "acme"]);
    assert_eq!(event["end"], "accepted", "{event:#}");
    assert!(event["meaning"].as_str().unwrap().starts_with("accepted, on the stream since "), "{event:#}");
}

#[tokio::test]
async fn an_unknown_id_is_said_to_be_unknown_with_what_was_searched() {
    let site = crate::site();
    let pipeline = site.start();
    assert_eq!(pipeline.send(&json!({"tenant_id": "acme", "id": "1", "text": "x"})).await.0, 202);
    eventually("the line", || site.stored().lines().pop()).await;
    for arguments in [&["2"][..], &["1", "--tenant", "beta"]] {
        let (code, text) = trace(&site, arguments);
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("from 20") && text.contains(&format!("`{}` was not found", arguments[0])),
            "{text}"
        );
    }
}
