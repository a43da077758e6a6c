//! What an attempt leaves in ledger and manifest, and what a later one makes of it.

use serde_json::Value;
use shared::format::manifest_row::{TenantIndex, TenantRange};
use tokio::time::Instant;

use super::large::noise;
use super::stores::Fault;
use super::{Pipeline, SHARD, admitted, pack, record, sequence_number};
use crate::commit::settle;
use crate::manifest::{self, Contents};
use crate::origin::ShardPosition;

fn mark(record: usize) -> ShardPosition {
    ShardPosition::new(sequence_number(record), 0)
}

fn six_records() -> Vec<Vec<u8>> {
    (0..6).map(|at| record("acme", &[&format!("e{at}")])).collect()
}

fn keys(ids: &[usize]) -> Vec<String> {
    ids.iter().map(|id| format!("acme/e{id}")).collect()
}

/// Every object has its row, and the row says what the object holds.
fn check_manifest(pipeline: &Pipeline) {
    let rows = pipeline.ledger.rows();
    let objects = pipeline.objects.keys("events/");
    assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), objects);
    for (key, row) in rows {
        let object = pipeline.objects.bytes(&key);
        let contents = Contents::scan(&object).unwrap();
        let (scanned, _) = manifest::row(&key, &row.first, &row.end, &object, contents).unwrap();
        assert_eq!(row, scanned);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_one_read_and_two_writes_and_one_more_for_each_object_that_is_rolled() {
    let mut pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke(&six_records()).await, 6);
    assert_eq!(pipeline.ledger.calls(), ["read", "write", "note", "write"]);
    assert_eq!(pipeline.ledger.progress().intent, None);
    assert_eq!(pipeline.ledger.progress().settled_before, Some(ShardPosition::new(sequence_number(5), 1)));

    pipeline.config.archive.object_bytes = 50_000;
    let large: Vec<_> = (0..3)
        .map(|at| {
            pack(&[admitted(at, "acme", &format!("l{at}"), &noise(40_000, u64::try_from(at).unwrap()))])
        })
        .collect();
    assert_eq!(pipeline.invoke_from(6, &large).await, 9);
    let calls = pipeline.ledger.calls();
    assert_eq!(calls.iter().filter(|call| **call == "write").count(), 4, "{calls:?}");
    assert_eq!(pipeline.invoke_from(6, &large).await, 9);
    assert_eq!(pipeline.ledger.calls(), ["read"], "the same batch again");
    check_manifest(&pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_archives_nothing_is_settled_in_the_ledger_too() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke(&six_records()).await, 6);
    pipeline.ledger.calls();
    // Sent again by the door, and by a client.
    let again = [six_records().remove(0), pack(&[admitted(99, "acme", "e1", "text of e1")])];
    assert_eq!(pipeline.invoke_from(6, &again).await, 8);
    assert_eq!(pipeline.ledger.calls(), ["read", "read", "write"]);
    let settled = pipeline.ledger.progress().settled_before.unwrap();
    assert_eq!(settled, ShardPosition::new(sequence_number(7), 1));
    assert_eq!(pipeline.invoke_from(6, &again).await, 8);
    assert_eq!(pipeline.ledger.calls(), ["read"], "the same batch again");
    assert_eq!(pipeline.objects.keys("events/").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_row_has_each_tenants_range() {
    let pipeline = Pipeline::new();
    let records = [record("beta", &["1", "2"]), record("acme", &["3"]), b"bad".to_vec()];
    assert_eq!(pipeline.invoke(&records).await, 3);
    let row = pipeline.ledger.rows().into_values().next().unwrap();
    assert_eq!((row.first, row.end, row.lines), (mark(0), ShardPosition::new(sequence_number(2), 1), 3));
    let TenantIndex::Ranges(ranges) = row.tenants else { panic!("two ranges fit a row") };
    let facts = |range: &TenantRange| (range.tenant.to_string(), range.lines);
    assert_eq!(
        ranges.iter().map(facts).collect::<Vec<_>>(),
        [("acme".to_owned(), 1), ("beta".to_owned(), 2)]
    );
    assert_eq!(ranges[0].length, ranges[1].offset);
}

#[tokio::test(start_paused = true)]
async fn ranges_that_are_too_many_for_a_row_lie_beside_it() {
    let pipeline = Pipeline::new();
    let events: Vec<_> =
        (0..5_000).map(|at| admitted(at, &format!("tenant-{at}"), &format!("e{at}"), "x")).collect();
    let records: Vec<_> = events.chunks(1_000).map(pack).collect();
    assert_eq!(pipeline.invoke(&records).await, 5);
    let row = pipeline.ledger.rows().into_values().next().unwrap();
    let TenantIndex::Sidecar(key) = row.tenants else { panic!("5,000 ranges do not fit a row") };
    let cap = shared::gzip::Cap { bytes: 1_000_000, ratio: 1_100 };
    let json = shared::gzip::inflate(&pipeline.objects.bytes(&key), cap).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<TenantRange>>(&json).unwrap().len(), 5_000);
}

/// An attempt at all six records that dies between its object and the ledger.
async fn dies_after_its_object(pipeline: &mut Pipeline) {
    let mut writes = 0;
    pipeline.ledger.fail(move |call| {
        writes += u32::from(call == "write");
        (writes > 1 || call == "note").then_some(Fault::Throttled)
    });
    assert_eq!(pipeline.invoke(&six_records()).await, 0);
    pipeline.ledger.fail(|_| None);
}

#[tokio::test(start_paused = true)]
async fn of_a_bisected_batch_neither_half_archives_what_the_whole_had() {
    let mut pipeline = Pipeline::new();
    dies_after_its_object(&mut pipeline).await;
    let records = six_records();
    assert_eq!(pipeline.invoke(&records[..3]).await, 3);
    assert_eq!(pipeline.invoke_from(3, &records[3..]).await, 6);
    assert_eq!(pipeline.objects.archived_keys(), keys(&[0, 1, 2, 3, 4, 5]));
    check_manifest(&pipeline);
}

#[tokio::test(start_paused = true)]
async fn a_half_that_begins_behind_a_discarded_one_adopts_the_object_that_covers_both() {
    let mut pipeline = Pipeline::new();
    dies_after_its_object(&mut pipeline).await;
    assert_eq!(pipeline.invoke_from(3, &six_records()[3..]).await, 6);
    assert_eq!(pipeline.objects.archived_keys(), keys(&[0, 1, 2, 3, 4, 5]));
    check_manifest(&pipeline);
}

#[tokio::test(start_paused = true)]
async fn the_key_of_an_object_that_was_never_written_is_sealed() {
    let mut pipeline = Pipeline::new();
    pipeline.objects.fail(|effect| effect.starts_with("put events/").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&six_records()).await, 0);
    pipeline.objects.fail(|_| None);

    // The first half is discarded; the second one begins behind it.
    assert_eq!(pipeline.invoke_from(3, &six_records()[3..]).await, 6);
    assert_eq!(pipeline.objects.keys("events/").len(), 2, "the seal, and the object");
    assert_eq!(pipeline.objects.archived_keys(), keys(&[3, 4, 5]));
    assert_eq!(pipeline.ledger.rows().len(), 1, "a seal has no lines to be found");
    // What was discarded stays where it is, even if it is delivered once more.
    assert_eq!(pipeline.invoke(&six_records()).await, 6);
    assert_eq!(pipeline.objects.archived_keys(), keys(&[3, 4, 5]));
}

#[tokio::test(start_paused = true)]
async fn what_was_settled_from_outside_is_archived_by_nobody() {
    let mut pipeline = Pipeline::new();
    pipeline.objects.fail(|effect| effect.starts_with("put events/").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&six_records()[..3]).await, 0);
    pipeline.objects.fail(|_| None);
    let until = Instant::now() + std::time::Duration::from_secs(1);
    for _ in 0..2 {
        settle(SHARD, mark(3), &pipeline.objects, &pipeline.ledger, until).await.unwrap();
    }
    assert_eq!(pipeline.invoke(&six_records()).await, 6);
    assert_eq!(pipeline.objects.archived_keys(), keys(&[3, 4, 5]));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_away_settles_nothing_and_the_next_attempt_does() {
    for (call, fault) in
        [("read", Fault::Hangs), ("write", Fault::Throttled), ("note", Fault::Hangs), ("write", Fault::Lost)]
    {
        let mut pipeline = Pipeline::new();
        pipeline.ledger.fail(move |called| (called == call).then_some(fault));
        assert_eq!(pipeline.invoke(&six_records()).await, 0, "{call} {fault:?}");
        pipeline.ledger.fail(|_| None);
        assert_eq!(pipeline.invoke(&six_records()).await, 6);
        assert_eq!(pipeline.objects.archived_keys(), keys(&[0, 1, 2, 3, 4, 5]));
        let lines: Vec<Value> = pipeline.objects.archived();
        assert_eq!(lines.len(), 6);
    }
}
