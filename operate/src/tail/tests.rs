//! In virtual time, on a deployment in memory.

mod fake;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use shared::format::claim_check::ClaimCheck;
use shared::gzip;
use shared::objects::memory::Fault;
use tokio::time::timeout;

use super::*;
use fake::{Fake, line, object, row};

const A: &str = "shardId-000000000000";
const B: &str = "shardId-000000000001";
const C: &str = "shardId-000000000002";
const POLL: Duration = Duration::from_secs(1);

/// Stdout. Closed after so many lines.
#[derive(Clone)]
struct Out {
    bytes: Rc<RefCell<Vec<u8>>>,
    room: usize,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.bytes.borrow_mut();
        if all.split_inclusive(|byte| *byte == b'\n').count() == self.room && all.ends_with(b"\n") {
            return Err(ErrorKind::BrokenPipe.into());
        }
        all.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out {
    fn new(room: usize) -> Self {
        Self { bytes: Rc::default(), room }
    }

    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.bytes.borrow().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ids(&self) -> Vec<String> {
        let id = |line: &Value| line["id"].as_str().unwrap().to_owned();
        self.lines().iter().map(id).collect()
    }
}

fn request(tenant: Option<&str>, lines: usize, follow: bool) -> TailRequest {
    TailRequest {
        tenant: tenant.map(|tenant| TenantId::parse(tenant).unwrap()),
        lines,
        follow: follow.then_some(POLL),
    }
}

/// The last events, without following.
async fn last(deployment: &Fake, tenant: Option<&str>, lines: usize) -> Vec<String> {
    let out = Out::new(usize::MAX);
    Tail::new(deployment, request(tenant, lines, false), out.clone(), &|note| panic!("{note}"))
        .run()
        .await
        .unwrap();
    out.ids()
}

/// Follows from the end while `scenario` runs and for some polls more. Returns what was printed and the notes.
async fn followed(
    deployment: &Fake,
    tenant: Option<&str>,
    scenario: impl Future<Output = ()>,
) -> (Vec<String>, Vec<String>) {
    let (out, notes) = (Out::new(usize::MAX), RefCell::new(Vec::new()));
    let on_note = |note| notes.borrow_mut().push(note);
    let mut tail = Tail::new(deployment, request(tenant, 0, true), out.clone(), &on_note);
    let until = async {
        // The last events come first.
        sleep(POLL / 2).await;
        scenario.await;
        sleep(POLL * 3).await;
    };
    tokio::select! {
        ended = tail.run() => panic!("{ended:?}"),
        () = until => {}
    }
    drop(tail);
    (out.ids(), notes.into_inner())
}

fn with_shards(shards: &[&str]) -> Fake {
    let fake = Fake::default();
    for shard in shards {
        fake.add_shard(shard);
    }
    fake
}

#[tokio::test(start_paused = true)]
async fn the_last_events_come_from_several_objects_and_shards_in_the_order_of_the_stream() {
    let fake = with_shards(&[A, B]);
    fake.store(A, 10, &["acme/1", "beta/2", "acme/3"]);
    fake.store(B, 11, &["acme/4"]);
    fake.store(A, 12, &["acme/5"]);
    fake.store(A, 13, &["beta/6"]);
    fake.store(B, 14, &["acme/7"]);
    assert_eq!(last(&fake, None, 100).await, ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(last(&fake, None, 5).await, ["3", "4", "5", "6", "7"], "a part of the first object");
    assert_eq!(last(&fake, Some("acme"), 4).await, ["3", "4", "5", "7"]);
    assert_eq!(last(&fake, Some("beta"), 1).await, ["6"]);
    assert_eq!(last(&fake, Some("gamma"), 5).await, [""; 0]);
    assert_eq!(last(&fake, None, 0).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_another_tenant_is_read() {
    let mut fake = with_shards(&[A]);
    // No object may be read whole.
    fake.objects.fail(|call| call.starts_with("get").then_some(Fault::Refused));
    let mut own = Vec::new();
    for first in 10..15 {
        let events = ["acme/1", "beta/2", "acme/3"];
        fake.store(A, first, &events);
        let (row, _) = object(A, first, &events);
        let TenantIndex::Ranges(ranges) = row.tenants else { panic!("it has few tenants") };
        own.push((row.key, ranges[1].offset, ranges[1].length));
    }
    assert_eq!(last(&fake, Some("beta"), 3).await, ["2", "2", "2"]);
    assert_eq!(*fake.ranges.lock().unwrap(), own[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_read_only_as_far_as_needed() {
    let fake = with_shards(&[A]);
    for first in 1_000..2_000 {
        fake.store(A, first, &["acme/1"]);
    }
    assert_eq!(last(&fake, None, 3).await.len(), 3);
    let queries = *fake.queries.lock().unwrap();
    assert!(queries <= 3, "{queries} pages of two rows for three events");
}

#[tokio::test(start_paused = true)]
async fn events_of_a_shard_that_the_stream_no_longer_has_are_among_the_last() {
    let fake = with_shards(&[A]);
    fake.store(A, 10, &["acme/1"]);
    fake.store(A, 11, &["acme/2"]);
    fake.forget_shard(A);
    fake.add_shard(B);
    fake.store(B, 12, &["acme/3"]);
    assert_eq!(last(&fake, None, 2).await, ["2", "3"]);
    assert_eq!(last(&fake, None, 9).await, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn expired_objects_end_the_history_and_a_lost_one_is_named() {
    let fake = with_shards(&[A]);
    let (expired, _) = object(A, 10, &["acme/1"]);
    fake.note(A, expired);
    fake.store(A, 11, &["acme/2"]);
    assert_eq!(last(&fake, None, 9).await, ["2"]);

    let (lost, _) = object(A, 12, &["acme/3"]);
    fake.note(A, lost.clone());
    fake.store(A, 13, &["acme/4"]);
    let (out, notes) = (Out::new(usize::MAX), RefCell::new(Vec::new()));
    let on_note = |note| notes.borrow_mut().push(note);
    let mut tail = Tail::new(&fake, request(None, 9, false), out.clone(), &on_note);
    tail.run().await.unwrap();
    assert_eq!((out.ids(), tail.left_out()), (vec!["2".to_owned(), "4".to_owned()], 1));
    assert!(notes.borrow()[0].starts_with(&format!("left out: {}", lost.key)), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn following_prints_each_new_event_of_the_tenant_once() {
    let fake = with_shards(&[A]);
    fake.store(A, 10, &["acme/old"]);
    let (ids, notes) = followed(&fake, Some("acme"), async {
        for first in 11..31 {
            fake.store(A, first, &[&format!("acme/{first}"), "beta/other"]);
            if first % 7 == 0 {
                sleep(POLL).await;
            }
        }
    })
    .await;
    let expected: Vec<_> = (11..31).map(|first| first.to_string()).collect();
    assert_eq!((ids, notes.len()), (expected, 0));
}

#[tokio::test(start_paused = true)]
async fn an_object_without_a_row_waits_and_is_printed_before_later_ones() {
    let fake = with_shards(&[A]);
    let (late, bytes) = object(A, 10, &["acme/1"]);
    fake.objects.add(&late.key, bytes);
    let (ids, _) = followed(&fake, None, async {
        sleep(POLL * 30).await;
        // The next attempt finds it, notes it, and continues.
        fake.note(A, late.clone());
        fake.store(A, 11, &["acme/2"]);
        sleep(POLL * 2).await;
        // A late attempt notes it again.
        fake.note(A, late);
    })
    .await;
    assert_eq!(ids, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn children_of_a_split_follow_their_parent_even_if_both_appear_while_a_poll_reads() {
    let fake = Arc::new(with_shards(&[A]));
    let shared = Arc::clone(&fake);
    let (ids, _) = followed(&fake, None, async move {
        shared.add_shard(B);
        shared.add_shard(C);
        let (stored, mut is_done) = (Arc::clone(&shared), false);
        // As soon as the parent's manifest was read, its last object appears, and then the first of a child.
        *shared.meanwhile.lock().unwrap() = Some(Box::new(move |shard| {
            if shard == A && !std::mem::replace(&mut is_done, true) {
                stored.store(A, 10, &["acme/parent"]);
                stored.store(C, 11, &["acme/child"]);
            }
        }));
        sleep(POLL * 2).await;
        shared.forget_shard(A);
        shared.store(B, 12, &["beta/other child"]);
        shared.store(C, 13, &["acme/second"]);
    })
    .await;
    *fake.meanwhile.lock().unwrap() = None;
    assert_eq!(ids, ["parent", "child", "other child", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_pipeline_and_of_the_table_repeats_and_loses_nothing() {
    let fake = with_shards(&[A]);
    fake.store(A, 10, &["acme/old"]);
    let (ids, notes) = followed(&fake, None, async {
        fake.store(A, 11, &["acme/1"]);
        sleep(POLL * 3).await;
        // Nothing is stored while the pipeline is down. It continues where it stopped.
        sleep(Duration::from_hours(1)).await;
        *fake.fails.lock().unwrap() = true;
        fake.store(A, 12, &["acme/2"]);
        sleep(PATIENCE / 2).await;
        *fake.fails.lock().unwrap() = false;
        sleep(POLL * 2).await;
        fake.store(A, 13, &["acme/3"]);
    })
    .await;
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(notes, ["reading failed and is repeated: the table is throttled"]);
}

#[tokio::test(start_paused = true)]
async fn reading_that_keeps_failing_ends_it() {
    let fake = with_shards(&[A]);
    let out = Out::new(usize::MAX);
    let mut tail = Tail::new(&fake, request(None, 0, true), out, &|_| {});
    let started = Instant::now();
    let fails = async {
        sleep(POLL / 2).await;
        *fake.fails.lock().unwrap() = true;
    };
    let (ended, ()) = tokio::join!(timeout(PATIENCE * 2, tail.run()), fails);
    assert_eq!(ended.expect("it ends").unwrap_err().to_string(), "the table is throttled");
    assert!(started.elapsed() >= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pipe_ends_it_without_an_error() {
    let fake = with_shards(&[A]);
    fake.store(A, 10, &["acme/1", "acme/2", "acme/3"]);
    let out = Out::new(2);
    Tail::new(&fake, request(None, 10, true), out.clone(), &|_| {}).run().await.unwrap();
    assert_eq!(out.ids(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_stored_apart_is_printed_whole_and_its_head_if_it_is_missing() {
    let fake = with_shards(&[A]);
    let whole = line(A, 10, 0, "acme", "1", r#""text":"large""#);
    let stored = gzip::compress(whole.as_bytes(), gzip::Level::FAST);
    let (claim_check, parts) =
        ClaimCheck::new(stored, whole.len(), "hash".to_owned(), |sha256| format!("texts/acme/1/{sha256}"));
    let head = format!(r#""claim_check":{}"#, serde_json::to_string(&claim_check).unwrap());
    let head = line(A, 10, 0, "acme", "1", &head);
    let member = gzip::compress(head.as_bytes(), gzip::Level::FAST);
    let row = row(A, 10, member.len(), TenantIndex::Ranges(Vec::new()), 1);
    fake.objects.add(&row.key, member);
    fake.objects.add(&parts[0].0, parts[0].1.clone());
    fake.note(A, row);
    let out = Out::new(usize::MAX);
    let mut tail = Tail::new(&fake, request(None, 1, false), out.clone(), &|note| panic!("{note}"));
    tail.run().await.unwrap();
    assert_eq!(*out.bytes.borrow(), whole.as_bytes());

    let without = Fake::default();
    without.add_shard(A);
    let row = fake.manifest(A, ManifestPart::After(None)).await.unwrap().remove(0);
    without.objects.add(&row.key, fake.objects.bytes(&row.key));
    without.note(A, row);
    let (out, notes) = (Out::new(usize::MAX), RefCell::new(Vec::new()));
    let on_note = |note| notes.borrow_mut().push(note);
    let mut tail = Tail::new(&without, request(None, 1, false), out.clone(), &on_note);
    tail.run().await.unwrap();
    assert_eq!((out.lines()[0]["claim_check"]["parts"].as_u64(), tail.left_out()), (Some(1), 1));
    assert!(notes.borrow()[0].contains("which holds the line, does not exist"), "{notes:?}");
}
