//! A shard that is split in the middle of a load, and then one of its children: nothing is lost or doubled, and what
//! each sender has sent one after the other is read in that order, through all generations of shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use local::data::DataFolder;
use local::embedded::{EmbeddedStream, StreamRows};
use local::event_source_mapping::ports::StreamReader;
use serde_json::{Value, json};
use shared::time::Clock;

use tests::site::{Pipeline, Site, eventually};

/// Tenants, each with a partition key and a sender of its own.
const SENDERS: usize = 6;
/// Events that each sender has sent before a split, between two, and behind the last, at least.
const STRETCH: usize = 15;

/// The stream of a pipeline that runs, opened from outside.
async fn stream(site: &Site) -> (EmbeddedStream, StreamRows) {
    let data = DataFolder::open(&site.data()).unwrap();
    let stream = EmbeddedStream::open(data.database().unwrap(), 1, Clock::system()).await.unwrap();
    (stream, StreamRows(data.database().unwrap()))
}

/// Sends one event after the other, each once the one before is answered, until it is told that the last stretch has
/// begun, and then that one. Gives how many they were.
async fn send(pipeline: &Pipeline, tenant: String, sent: &AtomicUsize, is_last: &AtomicBool) -> usize {
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

/// Splits the only shard, and then one of its children, each in the middle of the load.
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
async fn a_split_in_the_middle_of_a_load_loses_and_doubles_nothing_and_keeps_each_senders_order() {
    let site = crate::site();
    let pipeline = site.start();
    let (sent, is_last) = (AtomicUsize::new(0), AtomicBool::new(false));
    let senders = (0..SENDERS).map(|n| send(&pipeline, format!("t{n}"), &sent, &is_last));
    let (counts, ()) = tokio::join!(futures::future::join_all(senders), split_twice(&site, &sent, &is_last));

    let books = site.books();
    let all = counts.iter().sum::<usize>();
    eventually("all in the archive", || (books.archived().len() == all).then_some(())).await;
    assert!(books.archived().values().all(|times| *times == 1), "none is doubled");
    assert_eq!(books.items().len(), all);
    assert!(books.quarantined().is_empty());

    let (_, rows) = stream(&site).await;
    let parents: BTreeMap<_, _> =
        rows.shards().await.unwrap().into_iter().map(|shard| (shard.id, shard.parents)).collect();
    let lines = books.lines();
    let used: BTreeSet<_> = lines.iter().map(|line| text(line, "shard")).collect();
    // The parent, a child, and its children at least, if the keys fall so; whoever has moved did so twice or once.
    assert!(used.len() >= 3, "{used:?}");
    for (tenant, lines) in by_tenant(lines.clone()) {
        assert_eq!(lines.len(), counts[tenant[1..].parse::<usize>().unwrap()]);
        for pair in lines.windows(2) {
            let [before, next] = [&pair[0], &pair[1]];
            let place = |line: &Value| (text(line, "sequence_number").to_owned(), line["position"].as_u64());
            assert!(place(before) < place(next), "{tenant}: {before} lies before {next}");
            let (shard, child) = (text(before, "shard"), text(next, "shard"));
            assert!(
                shard == child || parents[child] == [shard.to_owned()],
                "{tenant}: {shard} is followed by {child}"
            );
            let read = |line| text(line, "processed_at").to_owned();
            assert!(read(before) <= read(next), "{tenant}: {before} is read before {next}");
        }
    }
    pipeline.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_killed_behind_a_split_goes_on_with_parent_and_children_at_the_next_start() {
    let site = crate::site();
    let pipeline = site.start();
    let send = async |pipeline: &Pipeline, from: usize| {
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
    eventually("all in the archive", || (site.books().archived().len() == 60).then_some(())).await;
    for (tenant, lines) in by_tenant(site.books().lines()) {
        let numbers: Vec<_> = lines.iter().map(|line| text(line, "sequence_number")).collect();
        assert!(numbers.is_sorted(), "{tenant}: {numbers:?}");
    }
    let printed = pipeline.stop();
    assert!(printed.contains("Drained"), "{printed}");
}
