//! `tidegate redrive --aws --apply` puts failed events on a stream on AWS again, each once.

use std::time::Duration;

use aws::deployment::{AwsDeployment, Resources};
use bytes::Bytes;
use ingest_fn::spill::sqs::SqsQueue;
use ingest_fn::{SpillMessage, SpillQueue};
use operate::deployment::{Deployment, QueueName};
use serde_json::{Value, json};
use shared::format::record::Content;
use shared::objects::ObjectStore;

use crate::deployment::{environment, resources};
use crate::emulator::{sdk, url};
use crate::stream::records;

/// The key of a failed batch of one record, as Lambda writes it.
const FAILED: &str = "aws/lambda/mapping/shardId-000000000000/2026/11/21/2026-11-21T09.31.00-4951-4951";

fn line(id: &str) -> String {
    json!({
        "v": 1, "id": id, "admission_id": format!("019aa553-4a00-7000-8000-{:0>12}", id.len()), "tenant": "acme",
        "tier": "pro", "source": "webhook", "received_at": "2026-11-21T09:30:00.123Z", "text": "x",
    })
    .to_string()
}

/// The failed batch of the event `id`, as Lambda writes it.
fn failed(id: &str) -> Bytes {
    let payload = json!({"Records": [{
        "kinesis": {
            "sequenceNumber": "4951", "partitionKey": "acme", "approximateArrivalTimestamp": 1_795_253_400.5,
            "data": base64_simd::STANDARD.encode_to_string(line(id)),
        },
        "eventID": "shardId-000000000000:4951",
    }]});
    let condition = json!({"condition": "RetryAttemptsExhausted"});
    json!({"version": "1.0", "requestContext": condition, "payload": payload.to_string()}).to_string().into()
}

/// Runs the command. Returns what it printed.
fn redrive(target: &Resources, arguments: &[&str]) -> String {
    let mut redrive = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate-with-faults"));
    let output =
        redrive.args(["redrive", "--aws"]).args(arguments).envs(environment(target)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The events on the stream: their ids and former origins.
async fn brought(stream: &str) -> Vec<(String, Value)> {
    let mut brought = Vec::new();
    for record in records(stream).await {
        let record = shared::format::record::unpack(&record.data, &[]).unwrap();
        for entry in record.entries {
            let Content::Event(event) = entry.unwrap() else { panic!("not an event of ours") };
            let mut event: Value = serde_json::from_slice(&event.line()).unwrap();
            brought.push((event["id"].as_str().unwrap().to_owned(), event["redrive_of"].take()));
        }
    }
    brought.sort_by(|a, b| a.0.cmp(&b.0));
    brought
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_and_a_dead_letter_are_redriven_to_a_stream_on_aws_once() {
    let (target, dead) = resources().await;
    let deployment = AwsDeployment::open(&sdk(url()), target.clone()).await.unwrap();
    deployment.objects().put(FAILED, failed("failed")).await.unwrap();
    let queue = SqsQueue::new(&sdk(url()), dead, Duration::from_secs(5));
    assert_eq!(queue.send(&[SpillMessage::of("acme", &[line("dead")])]).await, [Ok(())]);

    let printed = redrive(&target, &[]);
    assert!(printed.contains("With --apply, 2 events go to the stream again"), "{printed}");
    assert!(brought(&target.stream).await.is_empty());

    let printed = redrive(&target, &["--apply"]);
    assert!(printed.contains("2 events are back on the stream."), "{printed}");
    let origin = json!([{"shard": "shardId-000000000000", "sequence_number": "4951", "position": 0}]);
    let expected = [("dead".to_owned(), Value::Null), ("failed".to_owned(), origin)];
    assert_eq!(brought(&target.stream).await, expected);
    assert_eq!(deployment.messages(QueueName::SpillDead).await.unwrap().seen, []);
    assert_eq!(
        deployment.list("redriven/", None).await.unwrap().len(),
        2,
        "each redriven event is written down"
    );

    let printed = redrive(&target, &["--apply"]);
    assert!(printed.contains("No failed events are left to redrive."), "{printed}");
    assert_eq!(brought(&target.stream).await, expected);
}
