//! A shard is split under load, then one of its children. Nothing is lost or doubled, and the events of each sender
//! are read in the order in which it sent them, across all shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use local::data::DataFolder;
use local::embedded::{EmbeddedStream, StreamRows};
use local::event_source_mapping::ports::StreamReader;
use serde_json::{Value, json};
use shared::time::Clock;

use tests::site::{LocalRun, Site, eventually};

/// The number of tenants. Each has its own partition key and sender.
const SENDERS: usize = 6;
/// Each sender sends at least so many events before the first split, between the two, and after the second.
const STRETCH: usize = 15;

/// The stream of a running pipeline, opened by the test.
async fn stream(site: &Site) -> (EmbeddedStream, StreamRows) {
    let data = DataFolder::open(&site.data()).unwrap();
    let stream = EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    (stream, StreamRows(data.database().unwrap()))
}

/// Sends one event after the other and waits for each answer, until `is_last` is set, and then [`STRETCH`] more.
/// Returns how many it sent.
async fn send(pipeline: &LocalRun, tenant: String, sent: &AtomicUsize, is_last: &AtomicBool) -> usize {
    let (mut count, mut left) = (0, STRETCH);
    while left > 0 {
        if is_last.load(Ordering::SeqCst) {
            left -= 1;
        }
        let event = json!({"tenant_id": tenant, "id": count.to_string(), "text": "x"});
        assert_eq!(pipeline.send(&event).await.0, 202);
        count += 1;
        sent.fetch_add(1, Ordering::SeqCst);
    }
    count
}

/// Splits the only shard, and then one of its children, both under load.
async fn split_twice(site: &Site, sent: &AtomicUsize, is_last: &AtomicBool) {
    let (stream, _) = stream(site).await;
    let all_have_sent =
        |before: usize| move || (sent.load(Ordering::SeqCst) >= before + SENDERS * STRETCH).then_some(());
    eventually("the first stretch", all_have_sent(0)).await;
    let parent = stream.open_shards().await.unwrap().remove(0);
    let [child, _] = stream.split(&parent).await.unwrap();
    let before = sent.load(Ordering::SeqCst);
    eventually("the second stretch", all_have_sent(before)).await;
    stream.split(&child).await.unwrap();
    is_last.store(true, Ordering::SeqCst);
}

/// The archive's lines by tenant, in the order in which they were sent.
fn by_tenant(lines: Vec<Value>) -> BTreeMap<String, Vec<Value>> {
    let mut tenants: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines {
        tenants.entry(text(&line, "tenant").to_owned()).or_default().push(line);
    }
    for lines in tenants.values_mut() {
        lines.sort_by_key(|line| text(line, "id").parse::<usize>().unwrap());
    }
    tenants
}

fn text<'a>(line: &'a Value, member: &str) -> &'a str {
    line[member].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_under_load_loses_and_doubles_nothing_and_keeps_the_order_of_each_sender() {
    let site = crate::site();
    let pipeline = site.start();
    let (sent, is_last) = (AtomicUsize::new(0), AtomicBool::new(false));
    let senders = (0..SENDERS).map(|n| send(&pipeline, format!("t{n}"), &sent, &is_last));
    let (counts, ()) = tokio::join!(futures::future::join_all(senders), split_twice(&site, &sent, &is_last));

    let data = site.stored();
    let all = counts.iter().sum::<usize>();
    eventually("all in the archive", || (data.archived().len() == all).then_some(())).await;
    assert!(data.archived().values().all(|times| *times == 1), "none is doubled");
    assert_eq!(data.items().len(), all);
    assert!(data.quarantined().is_empty());

    let (_, rows) = stream(&site).await;
    let parents: BTreeMap<_, _> =
        rows.shards().await.unwrap().into_iter().map(|shard| (shard.id, shard.parents)).collect();
    let lines = data.lines();
    let used: BTreeSet<_> = lines.iter().map(|line| text(line, "shard")).collect();
    // At least the parent, a child, and a child of it have events.
    assert!(used.len() >= 3, "{used:?}");
    for (tenant, lines) in by_tenant(lines.clone()) {
        assert_eq!(lines.len(), counts[tenant[1..].parse::<usize>().unwrap()]);
        for pair in lines.windows(2) {
            let [before, next] = [&pair[0], &pair[1]];
            let origin = |line: &Value| (text(line, "sequence_number").to_owned(), line["position"].as_u64());
            assert!(origin(before) < origin(next), "{tenant}: {before} must be on the stream before {next}");
            let (shard, child) = (text(before, "shard"), text(next, "shard"));
            assert!(
                shard == child || parents[child] == [shard.to_owned()],
                "{tenant}: {shard} is followed by {child}"
            );
            let read = |line| text(line, "processed_at").to_owned();
            assert!(read(before) <= read(next), "{tenant}: {before} must be read before {next}");
        }
    }
    pipeline.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_killed_after_a_split_continues_with_parent_and_children_after_a_restart() {
    let site = crate::site();
    let pipeline = site.start();
    let send = async |pipeline: &LocalRun, from: usize| {
        for n in from..from + 20 {
            let event = json!({"tenant_id": format!("t{}", n % 4), "id": n.to_string(), "text": "x"});
            assert_eq!(pipeline.send(&event).await.0, 202);
        }
    };
    send(&pipeline, 0).await;
    stream(&site).await.0.split("shardId-000000000000").await.unwrap();
    send(&pipeline, 20).await;
    pipeline.kill();
    let pipeline = site.start();
    send(&pipeline, 40).await;
    eventually("all in the archive", || (site.stored().archived().len() == 60).then_some(())).await;
    for (tenant, lines) in by_tenant(site.stored().lines()) {
        let numbers: Vec<_> = lines.iter().map(|line| text(line, "sequence_number")).collect();
        assert!(numbers.is_sorted(), "{tenant}: {numbers:?}");
    }
    let printed = pipeline.stop();
    assert!(printed.contains("Drained"), "{printed}");
}
