//! Every payload in `fixtures/`, sent to the functions as child processes. Each must have the result that its row in
//! `fixtures/README.md` says.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use local::event_source_mapping::ports::Invoker;
use serde_json::{Value, json};
use tests::fixtures::{BatchFixture, RequestFixture, batches, requests};
use tests::stored::StoredData;

/// Runs `function` on `payload`, with the data folder `data`.
async fn invoke(function: &str, data: &Path, payload: Bytes) -> Value {
    let host = crate::function(function, data);
    let answer = host.invoke(payload).await.unwrap();
    host.shutdown(Duration::from_secs(2)).await;
    serde_json::from_slice(&answer).unwrap()
}

async fn check_batch(batch: BatchFixture) {
    let name = &batch.name;
    let folder = tempfile::tempdir().unwrap();
    let answer = invoke("consumer-fn", folder.path(), batch.payload).await;
    assert_eq!(answer, json!({"batchItemFailures": []}), "{name}");

    let data = StoredData::of(folder.path());
    let archived = data.archived();
    assert!(archived.values().all(|count| *count == 1), "{name}: {archived:?}");
    assert_eq!(
        (data.items().len(), archived.len()),
        (batch.stored, batch.stored),
        "{name}: items, archive lines"
    );
    let items: Vec<_> = archived.keys().map(|(tenant, id)| (item_partition(tenant), id.clone())).collect();
    let mut tenants: Vec<_> = archived.into_keys().map(|(tenant, _)| tenant).collect();
    tenants.dedup();
    assert_eq!(tenants, batch.tenants, "{name}");
    let partitions: Vec<_> = data.items().into_keys().map(|(pk, _)| pk).collect();
    assert!(items.iter().all(|(pk, _)| partitions.contains(pk)), "{name}: {partitions:?}");
    let mut reasons: Vec<_> =
        data.quarantined().iter().map(|line| line["reason"].as_str().unwrap().to_owned()).collect();
    reasons.sort();
    assert_eq!(reasons, batch.quarantined, "{name}");
}

fn item_partition(tenant: &str) -> String {
    format!("tenants/{tenant}")
}

async fn check_request(request: RequestFixture) {
    let name = &request.name;
    let folder = tempfile::tempdir().unwrap();
    let answer = invoke("ingest-fn", folder.path(), request.payload).await;
    assert_eq!(answer["statusCode"], request.status, "{name}: {answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let code = body.get("code").or_else(|| body.get("status")).unwrap();
    assert_eq!(code, &request.answer, "{name}: {body}");
    assert_eq!(StoredData::of(folder.path()).events(), request.events, "{name}");
}

#[tokio::test]
async fn every_kinesis_payload_has_the_result_of_its_row() {
    stream::iter(batches()).map(check_batch).buffer_unordered(4).collect::<()>().await;
}

#[tokio::test]
async fn every_function_url_payload_has_the_result_of_its_row() {
    stream::iter(requests()).map(check_request).buffer_unordered(4).collect::<()>().await;
}
