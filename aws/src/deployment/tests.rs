//! The calls of the operator's port, by captured requests.

use consumer_fn::Ledger;
use operate::deployment::{Deployment, ManifestPart};
use serde_json::{Value, json};
use shared::id::{EventId, TenantId};
use shared::replay::{Answer, StaticReplayClient, replay_with_headers};

use super::{AwsDeployment, Resources};

mod erase;
mod shard;

const STREAM: &str = r#"{"StreamDescriptionSummary":{"StreamName":"events","StreamARN":"arn:aws:kinesis:eu-central-1:1:stream/events","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1,"EnhancedMonitoring":[],"OpenShardCount":1}}"#;
const REFUSED: (u16, &str) =
    (400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#);

/// The SDK tries each call three times.
const CALL: usize = 3;

async fn deployment(answers: &[(u16, &'static str)]) -> (AwsDeployment, StaticReplayClient) {
    let answers: Vec<_> = answers.iter().map(|(status, body)| (*status, &[][..], *body)).collect();
    deployment_with_headers(&answers).await
}

async fn deployment_with_headers(answers: &[Answer]) -> (AwsDeployment, StaticReplayClient) {
    let (sdk, requests) = replay_with_headers(&[&[(200, &[][..], STREAM)], answers].concat());
    (AwsDeployment::open(&sdk, resources()).await.unwrap(), requests)
}

fn resources() -> Resources {
    Resources {
        stream: "events".to_owned(),
        items_table: "items".to_owned(),
        ledger_table: "ledger".to_owned(),
        bucket: "archive".to_owned(),
        spill_queue: "https://sqs/1/spill".to_owned(),
        dispatch: None,
    }
}

/// The bodies of the requests after the first.
fn asked(requests: &StaticReplayClient) -> Vec<Value> {
    let body = |request: &aws_smithy_runtime_api::client::orchestrator::HttpRequest| {
        serde_json::from_slice(request.body().bytes().unwrap()).unwrap()
    };
    requests.actual_requests().skip(1).map(body).collect()
}

fn name(id: &str) -> (TenantId, EventId) {
    (TenantId::parse("acme").unwrap(), EventId::parse(id).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_scan_of_a_table_that_throttles_goes_on_with_smaller_pages_and_loses_nothing() {
    const PAGE: &str = r#"{"Items":[],"Count":0,"ScannedCount":1000,"ConsumedCapacity":{"TableName":"items","CapacityUnits":250.0},"LastEvaluatedKey":{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/1"}}}"#;
    const LAST: &str = r#"{"Items":[],"Count":0,"ScannedCount":3,"ConsumedCapacity":{"TableName":"items","CapacityUnits":1.0}}"#;
    let refused = [REFUSED; 30 * CALL];
    let (deployment, requests) = deployment(&[&[(200, PAGE)], &refused[..], &[(200, LAST)]].concat()).await;
    let first = deployment.list_items(None).await.unwrap();
    assert!(first.next.is_some());
    let last = deployment.list_items(first.next).await.unwrap();
    assert_eq!(last.next, None);
    let asked = asked(&requests);
    assert_eq!((asked[0]["Limit"].clone(), asked[0]["ConsistentRead"].clone()), (Value::Null, json!(true)));
    assert_eq!(asked[1]["Limit"], Value::Null, "nothing was refused yet");
    let limits: Vec<_> = asked.iter().filter_map(|call| call["Limit"].as_i64()).collect();
    // The first is half of what was read a second until then, which is less the longer the first tries took.
    assert!(
        limits.is_sorted_by(|a, b| a >= b) && (5..=500).contains(&limits[0]) && limits[limits.len() - 1] == 4,
        "{limits:?}"
    );
    let from = json!({"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/1"}});
    assert!(asked[1..].iter().all(|call| call["ExclusiveStartKey"] == from));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_throttling_ends_a_scan() {
    let denied =
        r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no dynamodb:Scan"}"#;
    let (deployment, _) = deployment(&[REFUSED, REFUSED, REFUSED, (400, denied)]).await;
    let error = deployment.list_items(None).await.unwrap_err().to_string();
    assert!(error.contains("no dynamodb:Scan"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn items_are_read_a_hundred_a_call_and_those_that_were_not_processed_again() {
    const SOME: &str = r#"{"Responses":{"items":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/1"},"truncated":{"BOOL":true}}]},"UnprocessedKeys":{"items":{"ConsistentRead":true,"Keys":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/0"}}]}}}"#;
    const NONE: &str = r#"{"Responses":{},"UnprocessedKeys":{"items":{"ConsistentRead":true,"Keys":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/0"}}]}}}"#;
    const REST: &str = r#"{"Responses":{"items":[{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/0"},"tier":{"S":"pro"}}]},"UnprocessedKeys":{}}"#;
    const EMPTY: &str = r#"{"Responses":{},"UnprocessedKeys":{}}"#;
    let refused = [REFUSED; CALL];
    let answers =
        [&refused[..], &[(200, SOME)], &[(200, NONE); 25], &refused, &[(200, REST), (200, EMPTY)]].concat();
    let (deployment, requests) = deployment(&answers).await;
    let mut names: Vec<_> = (0..150).map(|number| name(&number.to_string())).collect();
    // The same event twice in a batch of the stream.
    names[149] = name("0");
    let found = deployment.attributes_of(&names).await.unwrap();
    assert_eq!(found.iter().flatten().count(), 3);
    assert_eq!(found[0].as_ref().unwrap()["tier"], "pro");
    assert_eq!((&found[1].as_ref().unwrap()["truncated"], &found[149]), (&json!(true), &found[0]));
    let asked = asked(&requests);
    let keys = |call: &Value| call["RequestItems"]["items"]["Keys"].as_array().unwrap().len();
    assert_eq!((keys(&asked[0]), keys(asked.last().unwrap())), (100, 49));
    assert!(asked[CALL + 1..asked.len() - 1].iter().all(|call| keys(call) == 1));
    assert!(asked.iter().all(|call| call["RequestItems"]["items"]["ConsistentRead"] == true));
    assert_eq!(asked[0]["RequestItems"]["items"]["ProjectionExpression"], Value::Null, "all attributes");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_throttled_is_read_in_the_end() {
    let answers = [&[REFUSED; 3 * CALL][..], &[(200, r#"{"Items":[],"Count":0}"#)]].concat();
    let (deployment, requests) = deployment(&answers).await;
    assert_eq!(deployment.manifest("s", ManifestPart::After(None)).await.unwrap(), []);
    assert_eq!(asked(&requests).len(), answers.len());
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_throttled_is_read_in_the_end() {
    let answers = [&[REFUSED; 15][..], &[(200, "{}")]].concat();
    let (deployment, _) = deployment(&answers).await;
    assert_eq!(deployment.ledger().read("s").await, Ok(consumer_fn::ledger::Progress::default()));
}

#[tokio::test]
async fn the_command_that_prints_a_range_names_its_last_byte() {
    let (deployment, _) = deployment(&[]).await;
    let command = deployment.prints("events/it's", Some((10, 5))).unwrap();
    assert_eq!(
        command,
        r"aws s3api get-object --bucket archive --key 'events/it'\''s' --range bytes=10-14 /dev/stderr 2>&1 >/dev/null"
    );
    assert!(!deployment.prints("texts/a", None).unwrap().contains("--range"));
}
