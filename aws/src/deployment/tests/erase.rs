//! The calls of an erasure.

use bytes::Bytes;
use operate::erase::Erasable;
use shared::config::Config;
use shared::origin::Origin;

use super::*;

const KEY: &str = "events/dt=2026-11-21/hr=09/shardId-000000000000-95-0.ndjson.gz";
const FOUND: Answer = (
    200,
    &[
        ("etag", "\"one\""),
        ("x-amz-meta-covers-end-sequence-number", "4951"),
        ("x-amz-meta-covers-end-position", "7"),
    ],
    "before",
);

#[tokio::test(start_paused = true)]
async fn an_archive_object_is_replaced_with_its_metadata_and_only_if_it_is_the_one_that_was_read() {
    let changed: Answer = (200, &[("etag", "\"two\"")], "of another erasure");
    let answers = [FOUND, (412, &[], ""), changed, (409, &[], ""), changed, (200, &[], "")];
    let (deployment, requests) = deployment_with_headers(&answers).await;
    let mut read = Vec::new();
    let mut rewritten = |found: &shared::objects::FoundObject| {
        read.push(String::from_utf8(found.bytes.to_vec()).unwrap());
        Ok(Some(Bytes::from_static(b"after")))
    };
    deployment.rewrite(KEY, &mut rewritten).await.unwrap();
    assert_eq!(read, ["before", "of another erasure", "of another erasure"]);
    let requests: Vec<_> = requests.actual_requests().skip(1).collect();
    let header = |index: usize, name: &str| requests[index].headers().get(name).map(str::to_owned);
    let methods: Vec<_> = requests.iter().map(|request| request.method().to_owned()).collect();
    assert_eq!(methods, ["GET", "PUT", "GET", "PUT", "GET", "PUT"]);
    assert_eq!(header(1, "if-match").as_deref(), Some("\"one\""));
    assert_eq!(header(1, "x-amz-meta-covers-end-sequence-number").as_deref(), Some("4951"));
    assert_eq!(header(1, "x-amz-meta-covers-end-position").as_deref(), Some("7"));
    assert_eq!(header(5, "if-match").as_deref(), Some("\"two\""));
    assert!(requests[5].uri().contains("/events/dt%3D2026-11-21/hr%3D09/"), "{}", requests[5].uri());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_or_needs_no_change_is_not_written() {
    let (deployment, requests) = deployment_with_headers(&[(404, &[], ""), FOUND]).await;
    deployment.rewrite(KEY, &mut |_| unreachable!("there is none")).await.unwrap();
    deployment.rewrite(KEY, &mut |_| Ok(None)).await.unwrap();
    assert!(requests.actual_requests().skip(1).all(|request| request.method() == "GET"));
}

#[tokio::test(start_paused = true)]
async fn an_item_is_deleted_only_with_the_origin_that_was_read() {
    let failed = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"}"#;
    let answers = [REFUSED, REFUSED, REFUSED, (200, "{}"), (400, failed)];
    let (deployment, requests) = deployment(&answers).await;
    let item = |id: &str| {
        let (tenant, id) = name(id);
        let shard = "shardId-000000000002".into();
        (tenant, id, Origin { shard, sequence_number: "4951".into(), position: 3 })
    };
    assert_eq!(deployment.delete_items(&[item("a/b")]).await.unwrap(), 1);
    assert_eq!(deployment.delete_items(&[item("c")]).await.unwrap(), 0, "it names another origin by now");
    let asked = asked(&requests);
    let key = json!({"pk": {"S": "tenants/acme"}, "sk": {"S": "processed_logs/a%2Fb"}});
    assert_eq!((&asked[3]["TableName"], &asked[3]["Key"]), (&json!("items"), &key));
    assert_eq!(asked[3]["ConditionExpression"], "#origin = :origin");
    assert_eq!(asked[3]["ExpressionAttributeNames"], json!({"#origin": "origin"}));
    let origin = asked[3]["ExpressionAttributeValues"][":origin"]["S"].as_str().unwrap();
    assert!(origin.contains("4951"), "{origin}");
}

#[tokio::test(start_paused = true)]
async fn a_tenants_items_are_read_from_its_partition_alone() {
    const PAGE: &str = r#"{"Items":[],"Count":0,"LastEvaluatedKey":{"pk":{"S":"tenants/acme"},"sk":{"S":"processed_logs/1"}}}"#;
    let (deployment, requests) = deployment(&[(200, PAGE), (200, r#"{"Items":[],"Count":0}"#)]).await;
    let tenant = name("1").0;
    let page = deployment.tenant_items(&tenant, None).await.unwrap();
    assert_eq!(deployment.tenant_items(&tenant, page.next).await.unwrap().next, None);
    let asked = asked(&requests);
    assert_eq!(asked[0]["ExpressionAttributeValues"], json!({":tenant": {"S": "tenants/acme"}}));
    assert_eq!(
        (&asked[0]["KeyConditionExpression"], &asked[0]["ConsistentRead"]),
        (&json!("#pk = :tenant"), &json!(true))
    );
    assert_eq!(asked[1]["ExclusiveStartKey"]["sk"]["S"], "processed_logs/1");
}

#[tokio::test(start_paused = true)]
async fn what_remains_comes_with_the_time_at_which_it_is_gone() {
    const RECOVERY: &str = r#"{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"ENABLED","RecoveryPeriodInDays":7}}}"#;
    const NO_RECOVERY: &str = r#"{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"DISABLED"}}}"#;
    const VERSIONS: &str = r"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    const LIFECYCLE: &str = r"<LifecycleConfiguration><Rule><ID>leftovers</ID><Filter/><Status>Enabled</Status><NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";
    let answers = [(200, RECOVERY), (200, NO_RECOVERY), (200, VERSIONS), (200, LIFECYCLE)];
    let (deployment, _) = deployment(&answers).await;
    let now = deployment.clock().now();
    let remaining = deployment.backups().await.unwrap();
    let whats: Vec<_> = remaining.iter().map(|remaining| remaining.what.as_str()).collect();
    assert_eq!(
        whats,
        [
            "point-in-time recovery of items, `items`",
            "old versions of objects in `archive`",
            "results of SQL queries, `archive/queries/`"
        ]
    );
    let days: Vec<_> =
        remaining.iter().map(|it| (it.until.unwrap().since(now).as_secs() + 60) / 86_400).collect();
    assert_eq!(days, [7, 30, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_put_into_the_dead_letter_queue_by_its_name() {
    let policy = r#"{"Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-central-1:1:dead\",\"maxReceiveCount\":500}"}}"#;
    let answers = [(200, policy), (200, r#"{"QueueUrl":"https://sqs/1/dead"}"#), (200, "{}")];
    let (deployment, requests) = deployment(&answers).await;
    let sent = deployment.send(operate::deployment::QueueName::SpillDead, "body".to_owned()).await;
    // The answer has no checksum, which the SDK compares.
    let _no_checksum = sent;
    let asked = asked(&requests);
    assert_eq!(asked[2], json!({"QueueUrl": "https://sqs/1/dead", "MessageBody": "body"}));
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_twice_the_time_out_and_at_least_for_the_longest_that_a_function_may_run() {
    let (deployment, _) = deployment(&[]).await;
    let minutes = async |timeout| {
        let mut config = Config::default();
        config.consumer.timeout_seconds = timeout;
        deployment.hold(&config, true).await.unwrap().settle.as_secs() / 60
    };
    assert_eq!((minutes(60).await, minutes(900).await), (16, 31));
}
