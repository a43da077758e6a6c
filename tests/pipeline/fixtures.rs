//! Every payload in `fixtures/`, through the functions as child processes behind the Runtime API: each must give what
//! its row in `fixtures/README.md` says.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use local::runtime_api::{FunctionHost, FunctionSpec, LogSink};
use serde_json::{Value, json};
use tests::books::Books;
use tests::fixtures::{Batch, Request, batches, requests};

/// Runs `function` on `payload`, with an empty data folder for its stores.
async fn invoke(function: &str, data: &Path, payload: Bytes) -> Value {
    let host = FunctionHost::start(FunctionSpec {
        name: function.to_owned(),
        program: crate::program().into(),
        arguments: ["function", function, "--data"]
            .map(Into::into)
            .into_iter()
            .chain([data.into()])
            .collect(),
        environment: Vec::new(),
        timeout: Duration::from_mins(1),
        memory_mb: 512,
        maximum_environments: 1,
        log_sink: LogSink::new(|_| {}),
    });
    let answer = host.invoke(payload).await.unwrap();
    host.shutdown(Duration::from_secs(2)).await;
    serde_json::from_slice(&answer).unwrap()
}

async fn check_batch(batch: Batch) {
    let name = &batch.name;
    let folder = tempfile::tempdir().unwrap();
    let answer = invoke("consumer-fn", folder.path(), batch.payload).await;
    assert_eq!(answer, json!({"batchItemFailures": []}), "{name}");

    let books = Books::of(folder.path());
    let archived = books.archived();
    assert!(archived.values().all(|count| *count == 1), "{name}: {archived:?}");
    assert_eq!(
        (books.items().len(), archived.len()),
        (batch.stored, batch.stored),
        "{name}: items, archive lines"
    );
    let items: Vec<_> = archived.keys().map(|(tenant, id)| (shared_key(tenant), id.clone())).collect();
    let mut tenants: Vec<_> = archived.into_keys().map(|(tenant, _)| tenant).collect();
    tenants.dedup();
    assert_eq!(tenants, batch.tenants, "{name}");
    let partitions: Vec<_> = books.items().into_keys().map(|(pk, _)| pk).collect();
    assert!(items.iter().all(|(pk, _)| partitions.contains(pk)), "{name}: {partitions:?}");
    let mut reasons: Vec<_> =
        books.quarantined().iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    reasons.sort();
    assert_eq!(reasons, batch.quarantined, "{name}");
}

fn shared_key(tenant: &str) -> String {
    format!("tenants/{tenant}")
}

async fn check_request(request: Request) {
    let name = &request.name;
    let folder = tempfile::tempdir().unwrap();
    let answer = invoke("ingest-fn", folder.path(), request.payload).await;
    assert_eq!(answer["statusCode"], request.status, "{name}: {answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let said = body.get("code").or_else(|| body.get("status")).unwrap();
    assert_eq!(said, &request.answer, "{name}: {body}");
    assert_eq!(Books::of(folder.path()).events(), request.events, "{name}");
}

#[tokio::test]
async fn every_kinesis_payload_gives_what_its_row_says() {
    stream::iter(batches()).map(check_batch).buffer_unordered(4).collect::<()>().await;
}

#[tokio::test]
async fn every_function_url_payload_gives_what_its_row_says() {
    stream::iter(requests()).map(check_request).buffer_unordered(4).collect::<()>().await;
}
