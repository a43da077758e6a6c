//! `AwsDeployment`: the operator's commands read what is stored on AWS. Also `tidegate audit` of it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws::deployment::{AwsDeployment, Resources};
use aws_sdk_sqs::types::QueueAttributeName;
use bytes::Bytes;
use consumer_fn::Ledger;
use consumer_fn::items::dynamodb::DynamoItems;
use consumer_fn::items::{Insert, Item, ItemStore};
use ingest_fn::publish::{EventStream, Put, StreamRecord};
use ingest_fn::spill::sqs::SqsQueue;
use ingest_fn::{SpillMessage, SpillQueue};
use operate::deployment::{Deployment, ManifestPart, QueueName, ShardTail, Start};
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::id::{AdmissionId, EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;
use uuid::Uuid;

use crate::emulator::{bucket, name, sdk, stream, table, url};

const SHARD: &str = "shardId-000000000000";

/// The URLs of a new spill queue and its dead-letter queue.
async fn queues() -> [String; 2] {
    let client = aws_sdk_sqs::Client::new(&sdk(url()));
    let names = ["spill", "dead"].map(name);
    let created =
        async |name: &str| client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let [spill, dead] = [created(&names[0]).await, created(&names[1]).await];
    let arn = client.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":500}}"#);
    let set = client.set_queue_attributes().queue_url(&spill);
    set.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    [spill, dead]
}

pub(crate) async fn resources() -> (Resources, String) {
    let [spill_queue, dead] = queues().await;
    let (stream, items_table, ledger_table) = (stream(1).await, table().await, table().await);
    let bucket = bucket().await;
    (Resources { stream, items_table, ledger_table, bucket, spill_queue, dispatch: None }, dead)
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn item(tenant_id: &str, number: u32) -> Item {
    let mut item = Item::smallest().with_texts("x", "x");
    let facts = &mut item.facts;
    (facts.tenant, facts.id) = (tenant(tenant_id), EventId::parse(format!("e{number}/ü")).unwrap());
    facts.admission_id = AdmissionId(Uuid::from_u128(number.into()));
    item.origin = Origin { shard: SHARD.into(), sequence_number: "495".into(), position: number };
    item.content_hash = format!("hash {number}");
    item.expires_at = Some(1_797_845_400);
    item.received_partition = Some(format!("tenants/{tenant_id}"));
    item
}

async fn the_stream(deployment: &AwsDeployment) {
    let record = |data: &'static str| StreamRecord {
        partition_key: "k".to_owned(),
        data: Bytes::from_static(data.as_bytes()),
    };
    assert_eq!(deployment.retention().await.unwrap(), Duration::from_hours(24));
    let shards = deployment.shards().await.unwrap();
    assert_eq!(shards, [SHARD]);
    for data in ["one", "two", "three"] {
        assert_eq!(deployment.stream().put(&[record(data)]).await.unwrap(), [Put::Taken]);
    }
    let read = async |mut start: Start| {
        let mut records = Vec::new();
        loop {
            let read = deployment.records(SHARD, start.clone()).await.unwrap();
            records.extend(read.records);
            if read.tail != ShardTail::More {
                return records;
            }
            if let Some(last) = records.last() {
                start = Start::After(last.sequence_number.clone());
            }
        }
    };
    let all = read(Start::Oldest).await;
    assert_eq!(
        all.iter().map(|record| &record.data[..]).collect::<Vec<_>>(),
        [&b"one"[..], b"two", b"three"]
    );
    assert_eq!(read(Start::After(all[1].sequence_number.clone())).await, all[2..]);
    assert_eq!(read(Start::At(Timestamp::from_unix_ms(0))).await, all);
    assert_eq!(read(Start::At(all[2].arrival.plus(Duration::from_mins(1)))).await, []);
    assert_eq!(deployment.checkpoint(SHARD).await.unwrap(), None);
}

async fn the_bucket(deployment: &AwsDeployment) {
    let objects = deployment.objects();
    for key in ["a/1", "a/2", "b/1"] {
        objects.put(key, Bytes::from_static(b"0123456789")).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>| {
        let listed = deployment.list(prefix, after).await.unwrap();
        listed.into_iter().map(|object| (object.key, object.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(list("a/", None).await, [("a/1".to_owned(), 10), ("a/2".to_owned(), 10)]);
    assert_eq!(list("a/", Some("a/1")).await, [("a/2".to_owned(), 10)]);
    assert_eq!(list("a/", Some("a/2")).await, []);
    assert_eq!(deployment.objects().get_range("a/1", 3, 4).await.unwrap().unwrap(), "3456");
    assert_eq!(deployment.objects().get_range("a/3", 3, 4).await.unwrap(), None);
    assert_eq!(list("c/", None).await, []);
}

async fn the_tables(deployment: &AwsDeployment, items_table: &str) {
    let range = TenantRange { tenant: tenant("acme"), offset: 0, length: 120, lines: 3 };
    let row = |first: &str, before: &str| ManifestRow {
        key: shared::format::key::archive_object(SHARD, first, 0, Timestamp::from_unix_ms(1_795_253_400_000)),
        first: ShardPosition::new(first, 0),
        end: ShardPosition::new(before, 1),
        bytes: 220,
        sha256: "ab".to_owned(),
        lines: 3,
        received_at: [1_795_253_400_000, 1_795_253_401_000].map(Timestamp::from_unix_ms),
        tenants: TenantIndex::Ranges(vec![range.clone()]),
    };
    let rows = [row("9", "10"), row("11", "99"), row("100", "101")];
    for row in &rows {
        deployment.ledger().note(SHARD, row).await.unwrap();
    }
    assert_eq!(deployment.manifest(SHARD, ManifestPart::After(None)).await.unwrap(), rows);
    assert_eq!(
        deployment.manifest(SHARD, ManifestPart::After(Some(&rows[0].first))).await.unwrap(),
        rows[1..]
    );
    assert_eq!(deployment.manifest(SHARD, ManifestPart::After(Some(&rows[2].first))).await.unwrap(), []);
    let back: Vec<_> = rows.iter().rev().cloned().collect();
    assert_eq!(deployment.manifest(SHARD, ManifestPart::Before(None)).await.unwrap(), back);
    assert_eq!(
        deployment.manifest(SHARD, ManifestPart::Before(Some(&back[0].first))).await.unwrap(),
        back[1..]
    );
    assert_eq!(deployment.manifest(SHARD, ManifestPart::Before(Some(&back[2].first))).await.unwrap(), []);
    let at = async |number: &str| {
        deployment.manifest(SHARD, ManifestPart::At(&ShardPosition::new(number, 3))).await.unwrap()
    };
    assert_eq!(at("8").await, []);
    assert_eq!(at("9").await, rows[..1]);
    assert_eq!(at("50").await, rows[1..2]);

    let stored: Vec<_> =
        (0..130).map(|number| item(if number < 7 { "beta" } else { "acme" }, number)).collect();
    let store = DynamoItems::new(&sdk(url()), items_table.to_owned());
    for call in stored.chunks(DynamoItems::CALL_ITEMS) {
        let call: Vec<_> = call.iter().cloned().map(Arc::new).collect();
        assert_eq!(store.insert(&call).await, vec![Insert::Inserted; call.len()]);
    }
    let mut names: Vec<_> =
        stored.iter().map(|item| (item.facts.tenant.clone(), item.facts.id.clone())).collect();
    names.insert(5, (tenant("acme"), EventId::parse("unknown").unwrap()));
    let mut found = deployment.items(&names).await.unwrap();
    assert_eq!(found.remove(5), None);
    for (found, item) in found.iter().zip(&stored) {
        let found = found.as_ref().unwrap();
        assert_eq!((&found.origin, &found.content_hash), (&item.origin, &item.content_hash));
    }
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = deployment.list_items(after).await.unwrap();
        listed.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed.len(), 130);
    let one = listed.iter().find(|item| item.id.as_str() == "e3/ü").unwrap();
    let facts = &stored[3].facts;
    assert_eq!(one.received_at, facts.received_at);
    assert_eq!((one.expires_at, one.existing.admission_id), (Some(1_797_845_400), facts.admission_id));
}

async fn the_queues(deployment: &AwsDeployment, spill: &str, dead: &str) {
    for (queue, count) in [(spill, 12), (dead, 1)] {
        let queue = SqsQueue::new(&sdk(url()), queue.to_owned(), Duration::from_secs(5));
        for number in 0..count {
            let message = SpillMessage::of("k", &[format!("{number}")]);
            assert_eq!(queue.send(&[message]).await, [Ok(())]);
        }
    }
    for _ in 0..2 {
        let messages = deployment.messages(QueueName::Spill).await.unwrap();
        assert_eq!(messages.seen.len(), 12, "reading does not remove them");
    }
    let letters = deployment.messages(QueueName::SpillDead).await.unwrap().seen;
    assert_eq!(letters[0].body, SpillMessage::of("k", &["0"]).body());
    deployment.delete_message(QueueName::SpillDead, &letters[0]).await.unwrap();
    assert_eq!(deployment.messages(QueueName::SpillDead).await.unwrap().seen, []);
}

/// The environment of a command for these resources of the emulator.
pub(crate) fn environment(resources: &Resources) -> [(&'static str, &str); 9] {
    [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", url()),
        ("TIDEGATE_STREAM", &resources.stream),
        ("TIDEGATE_ITEMS_TABLE", &resources.items_table),
        ("TIDEGATE_LEDGER_TABLE", &resources.ledger_table),
        ("TIDEGATE_BUCKET", &resources.bucket),
        ("TIDEGATE_SPILL_QUEUE", &resources.spill_queue),
    ]
}

/// Runs `tidegate audit --aws`. Returns exit code and report.
fn audit(resources: &Resources) -> (i32, serde_json::Value) {
    let mut audit = Command::new(env!("CARGO_BIN_EXE_tidegate-with-faults"));
    audit.args(["audit", "--aws", "--json", "--from", "2020-01-01T00:00:00Z", "--endpoint-url", url()]);
    audit.envs(environment(resources));
    let output = audit.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {errors}"));
    (output.status.code().unwrap(), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stored_data_are_read_and_an_audit_names_items_without_records() {
    let (resources, dead) = resources().await;
    let deployment = AwsDeployment::open(&sdk(url()), resources.clone()).await.unwrap();
    assert!(deployment.identity().ends_with(&format!("stream/{}", resources.stream)));
    let (code, report) = audit(&resources);
    assert_eq!((code, &report["total"]["ingest"]["admissions"]), (0, &serde_json::json!(0)), "{report:#}");

    the_stream(&deployment).await;
    the_bucket(&deployment).await;
    the_queues(&deployment, &resources.spill_queue, &dead).await;
    the_tables(&deployment, &resources.items_table).await;

    let (code, report) = audit(&resources);
    assert_eq!(code, 1, "{report:#}");
    let kinds = |kind: &str| {
        report["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind).count()
    };
    assert_eq!(kinds("foreign"), 130, "each item has no record");
    assert_eq!(kinds("manifest"), 3, "rows of missing objects");
    let others = &report["total"]["foreign_producers"];
    assert_eq!((&others["admissions"], &others["in_flight"]), (&3.into(), &3.into()), "{report:#}");
    assert_eq!(report["unreadable_messages"], 12);
}

#[tokio::test]
async fn the_error_names_a_missing_stream() {
    let resources = Resources {
        stream: "nowhere".to_owned(),
        items_table: String::new(),
        ledger_table: String::new(),
        bucket: String::new(),
        spill_queue: String::new(),
        dispatch: None,
    };
    let error = AwsDeployment::open(&sdk(url()), resources).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("the stream `nowhere`"), "{error:#}");
}
