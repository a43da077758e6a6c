//! Logs of OpenTelemetry: an exporter sends a request again, as it was, until it is answered. Each record is stored once.

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use tests::site::{LocalRun, eventually};

const BATCHES: usize = 40;
const LINES: usize = 25;

/// An exporter's batch. Its last two lines are equal, to the nanosecond.
fn batch(number: usize) -> Value {
    let line = |line: usize| {
        json!({
            "timeUnixNano": (1_795_253_400_000_000_000_u64 + (1_000 * number + line) as u64).to_string(),
            "severityNumber": 9,
            "body": { "stringValue": format!("line {line} of {number}") },
            "attributes": [{ "key": "thread.id", "value": { "intValue": "7" } }],
        })
    };
    let lines: Vec<_> = (0..LINES).map(|number| line(number.min(LINES - 2))).collect();
    let resource =
        json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "checkout" } }] });
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": lines }] }] })
}

/// Sends a batch once. Whether it was answered with a success.
async fn export(client: reqwest::Client, url: String, number: usize) -> bool {
    let request = client.post(url).header("X-Customer-Tier", "pro").header("X-Tenant-ID", "acme");
    request.json(&batch(number)).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// Sends batches, several at a time, and says which were answered. After `kill_after` answers the pipeline is killed.
async fn export_all(pipeline: LocalRun, batches: Vec<usize>, kill_after: usize) -> Vec<(usize, bool)> {
    let (client, url) = (pipeline.client.clone(), format!("{}/v1/logs", pipeline.url));
    let (answered, mut answers) = mpsc::unbounded_channel();
    let export = move |number| {
        let (client, url, answered) = (client.clone(), url.clone(), answered.clone());
        async move {
            let is_answered = export(client, url, number).await;
            let _not_counted = answered.send(is_answered);
            (number, is_answered)
        }
    };
    let sent = tokio::spawn(stream::iter(batches).map(export).buffer_unordered(4).collect::<Vec<_>>());
    for _ in 0..kill_after {
        assert_eq!(answers.recv().await, Some(true));
    }
    pipeline.kill();
    sent.await.unwrap()
}

#[tokio::test]
async fn records_of_an_exporter_that_sends_again_until_it_is_answered_are_stored_once() {
    let site = crate::site();
    let sent = export_all(site.start(), (0..BATCHES).collect(), BATCHES / 4).await;
    let (answered, lost): (Vec<_>, Vec<_>) = sent.into_iter().partition(|(_, is_answered)| *is_answered);
    assert!(
        answered.len() >= BATCHES / 4 && !lost.is_empty(),
        "{} of {BATCHES} were answered",
        answered.len()
    );

    // The answers to some of the others did not arrive either.
    let again: Vec<_> = lost.iter().chain(answered.iter().step_by(2)).map(|(number, _)| *number).collect();
    let (pipeline, count) = (site.start(), again.len());
    let sent = stream::iter(again)
        .map(|number| export(pipeline.client.clone(), format!("{}/v1/logs", pipeline.url), number));
    assert!(sent.buffer_unordered(4).all(|is_answered| async move { is_answered }).await, "{count} batches");

    let report = eventually("the end of the events in flight", || {
        let report = site.audit().1;
        (report["total"]["ingest"]["in_flight"] == 0).then_some(report)
    })
    .await;
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let archived = site.stored().archived();
    assert_eq!((archived.len(), site.stored().items().len()), (BATCHES * LINES, BATCHES * LINES));
    assert!(archived.values().all(|count| *count == 1));
    assert_eq!(site.stored().quarantined(), [Value::Null; 0]);
    let line = site.stored().lines().into_iter().find(|line| line["text"] == "line 3 of 7").unwrap();
    assert_eq!(
        (&line["source"], &line["event_time"]),
        (&json!("otlp"), &json!("2026-11-21T09:30:00.000007003Z"))
    );
    assert_eq!(line["fields"]["resource"]["attributes"]["service.name"], "checkout");
    assert_eq!(line["fields"]["attributes"]["thread.id"], 7);
}
