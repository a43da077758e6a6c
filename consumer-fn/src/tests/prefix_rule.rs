//! A failure that may pass ends the batch before its record, in every stage; so does the deadline.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::stores::{Fault, WrittenLines};
use super::{Pipeline, admitted, batch, checked_in, index, pack, record, unfinished};
use crate::deadline::Deadline;
use shared::gzip;
use shared::noise::noise;

/// Ten records of one event each, `e0` to `e9`.
fn ten_records() -> Vec<Vec<u8>> {
    (0..10).map(|at| record("acme", &[&format!("e{at}")])).collect()
}

/// `acme/e0` to before `acme/e{end}`.
fn keys(end: usize) -> Vec<String> {
    (0..end).map(|at| format!("acme/e{at}")).collect()
}

/// Checks that a batch of `records` ended before `expected`, and that the next attempt does the rest, once.
async fn check(mut pipeline: Pipeline, records: Vec<Vec<u8>>, expected: usize) {
    let finished = pipeline.invoke(&records).await;
    assert_eq!(finished, expected);
    assert_eq!(pipeline.objects.archived_keys(), keys(expected));

    pipeline.items.fail(|_| None);
    pipeline.objects.fail(|_| None);
    pipeline.invoke_from(finished, &records[finished..]).await;
    assert_eq!(pipeline.objects.archived_keys(), keys(10));
    assert_eq!(pipeline.items.keys(), keys(10));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_fails_ends_the_batch_before_its_record() {
    for fault in [Fault::Throttled, Fault::Lost] {
        let mut pipeline = Pipeline::new();
        pipeline.items.fail(move |id| (id == "e4").then_some(fault));
        check(pipeline, ten_records(), 4).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_call_that_hangs_leaves_all_of_the_call_to_the_next_attempt() {
    let mut pipeline = Pipeline::new();
    pipeline.items.fail(|id| (id == "e4").then_some(Fault::Hangs));
    check(pipeline, ten_records(), 0).await;
}

#[tokio::test(start_paused = true)]
async fn items_that_are_throttled_for_a_while_are_inserted_in_the_same_invocation() {
    let mut pipeline = Pipeline::new();
    let mut refusals = 20;
    pipeline.items.fail(move |_| {
        refusals -= i32::from(refusals > 0);
        (refusals > 0).then_some(Fault::Throttled)
    });
    assert_eq!(pipeline.invoke(&ten_records()).await, 10);
    assert_eq!(pipeline.objects.archived_keys(), keys(10));
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_an_earlier_one_of_the_same_id() {
    let mut pipeline = Pipeline::new();
    let records = [pack(&[admitted(1, "acme", "a", "first")]), pack(&[admitted(2, "acme", "a", "second")])];
    let mut calls = 0;
    pipeline.items.fail(move |_| {
        calls += 1;
        (calls < 4).then_some(Fault::Throttled)
    });
    assert_eq!(pipeline.invoke(&records).await, 2);
    assert_eq!(pipeline.items.get("acme", "a").unwrap().texts()[0], "first");
    assert_eq!(pipeline.objects.quarantined()[0]["reason"], "id_reused");
}

#[tokio::test(start_paused = true)]
async fn a_claim_check_that_cannot_be_fetched_ends_the_batch_before_its_record() {
    for fault in [Fault::Throttled, Fault::Hangs] {
        let mut pipeline = Pipeline::new();
        let event = checked_in(admitted(99, "acme", "e5", "large"), &pipeline.objects);
        let mut records = ten_records();
        records[5] = pack(&[event]);
        pipeline.objects.fail(move |effect| effect.starts_with("get claims/").then_some(fault));
        check(pipeline, records, 5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_archive_line_that_cannot_be_written_ends_the_batch_before_its_record() {
    let mut pipeline = Pipeline::new();
    let mut records = ten_records();
    records[5] = pack(&[admitted(99, "acme", "e5", &noise(2_000_000, 1))]);
    pipeline.config.archive.object_bytes = 1_000_000;
    pipeline.objects.fail(|effect| effect.starts_with("put texts/").then_some(Fault::Throttled));
    check(pipeline, records, 5).await;
}

#[tokio::test(start_paused = true)]
async fn quarantine_that_cannot_be_written_ends_the_batch_before_the_first_bad_record() {
    for fault in [Fault::Throttled, Fault::Lost, Fault::Hangs] {
        let mut pipeline = Pipeline::new();
        let mut records = ten_records();
        records.insert(7, b"bad".to_vec());
        pipeline.objects.fail(move |effect| effect.starts_with("put errors/").then_some(fault));
        check(pipeline, records, 7).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_cannot_be_written_commits_nothing() {
    for fault in [Fault::Throttled, Fault::Lost, Fault::Hangs] {
        let mut pipeline = Pipeline::new();
        pipeline.objects.fail(move |effect| effect.starts_with("put events/").then_some(fault));
        let records = ten_records();
        let started = Instant::now();
        assert_eq!(pipeline.invoke(&records).await, 0, "{fault:?}");
        assert!(started.elapsed() < Duration::from_mins(1), "the answer is in time");
        pipeline.objects.fail(|_| None);
        assert_eq!(pipeline.invoke(&records).await, 10);
        assert_eq!(pipeline.objects.archived_keys(), keys(10));
    }
}

#[tokio::test(start_paused = true)]
async fn an_archive_object_of_a_shorter_attempt_is_adopted_and_continued_after() {
    let mut pipeline = Pipeline::new();
    let records = ten_records();
    // The first attempt archives three records, but its answer never arrives.
    pipeline.items.fail(|id| (id == "e3").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&records).await, 3);
    pipeline.items.fail(|_| None);
    assert_eq!(pipeline.invoke(&records).await, 10);
    assert_eq!(pipeline.objects.archived_keys(), keys(10));
}

#[tokio::test(start_paused = true)]
async fn records_that_an_earlier_attempt_archived_are_done_even_if_this_one_gets_less_far() {
    // With lines before the failure, and without any.
    for fails in ["e5", "e3"] {
        let mut pipeline = Pipeline::new();
        let mut records = ten_records();
        records[..3].fill(b"bad".to_vec());
        pipeline.items.fail(|id| (id == "e9").then_some(Fault::Throttled));
        assert_eq!(pipeline.invoke(&records).await, 9);
        // Its answer never arrives, and the second attempt fails earlier.
        pipeline.items.fail(move |id| (id == fails).then_some(Fault::Throttled));
        assert_eq!(pipeline.invoke(&records).await, 9);

        pipeline.items.fail(|_| None);
        assert_eq!(pipeline.invoke_from(9, &records[9..]).await, 10);
        assert_eq!(pipeline.objects.archived_keys(), keys(10)[3..]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_gets_less_far_takes_nothing_out_of_quarantine() {
    let mut pipeline = Pipeline::new();
    let mut records = ten_records();
    records[0] = b"bad".to_vec();
    records[6] = b"bad, and after a record that fails next time".to_vec();
    assert_eq!(pipeline.invoke(&records).await, 10);
    // Its answer never arrives. The second attempt fails early, and finds the archive of the first.
    pipeline.items.fail(|id| (id == "e3").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&records).await, 10);
    let places: BTreeSet<_> =
        pipeline.objects.quarantined().iter().map(|line| line["sequence_number"].to_string()).collect();
    assert_eq!(places.len(), 2, "{places:?}");
}

#[tokio::test(start_paused = true)]
async fn quarantine_is_cut_into_objects_of_bounded_size() {
    let pipeline = Pipeline::new();
    let records: Vec<_> = (0..10).map(|_| vec![b'?'; 1_000_000]).collect();
    assert_eq!(pipeline.invoke(&records).await, 10);
    let sizes: Vec<_> =
        pipeline.objects.keys("errors/").iter().map(|key| pipeline.objects.bytes(key).len()).collect();
    assert_eq!(pipeline.objects.quarantined().len(), 10);
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size <= 5_000_000), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn the_batch_ends_where_its_lines_are_too_many() {
    let mut pipeline = Pipeline::new();
    pipeline.config.limits.batch_bytes = 250 * 1024;
    let good = b"{\"tenant_id\":\"acme\"}\n";
    let records: Vec<_> = (0..10).map(|_| [&good[..], &b"{}\n".repeat(99)].concat()).collect();
    assert_eq!(pipeline.invoke(&records).await, 2);
    assert_eq!(pipeline.objects.quarantined().len(), 198);
}

#[tokio::test(start_paused = true)]
async fn the_batch_ends_where_its_lines_inflate_to_too_much() {
    let mut pipeline = Pipeline::new();
    // A line counts for a kilobyte more than it has.
    let one = ten_records()[0].len() + 1024;
    pipeline.config.limits.batch_bytes = one * 4;
    assert_eq!(pipeline.invoke(&ten_records()).await, 4);
    pipeline.config.limits.batch_bytes = 1;
    assert_eq!(pipeline.invoke_from(4, &ten_records()[4..]).await - 4, 1, "one record is always taken");
}

#[tokio::test(start_paused = true)]
async fn what_records_inflate_to_counts_also_where_they_cannot_be_read() {
    for (bytes, taken) in [(1_000_000, 4), (20_000_000, 1)] {
        let mut pipeline = Pipeline::new();
        pipeline.config.limits.batch_bytes = 4 * (1_000_000 + 1024);
        let whole = gzip::compress(&vec![b'?'; bytes], gzip::Level::FAST);
        let without_its_end = whole[..whole.len() - 9].to_vec();
        let records = [without_its_end.clone(), whole.clone(), without_its_end, whole.clone(), whole];
        assert_eq!(pipeline.invoke(&records).await, taken, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_batch_ends_where_its_claim_checks_are_too_much() {
    let mut pipeline = Pipeline::new();
    let head =
        |at| checked_in(admitted(at, "acme", &format!("e{at}"), &"x".repeat(1_000)), &pipeline.objects);
    let records: Vec<_> = (0..4).map(|at| pack(&[head(at)])).collect();
    pipeline.config.limits.claim_check_bytes = 3_000;
    assert_eq!(pipeline.invoke(&records).await, 2);
    pipeline.config.limits.claim_check_bytes = 1_500;
    assert_eq!(pipeline.invoke_from(2, &records[2..]).await, 3, "a record with one line is always taken");
}

#[tokio::test(start_paused = true)]
async fn after_half_of_the_time_finished_records_are_archived_and_answered() {
    let mut pipeline = Pipeline::new();
    pipeline.items.fail(|id| (id == "e6").then_some(Fault::Throttled));
    let started = Instant::now();
    let deadline = Deadline::after(Duration::from_secs(10), &pipeline.config);
    let response = pipeline.consumer().handle(batch(0, &ten_records()), deadline).await;
    assert_eq!(unfinished(&response, 10), 6);
    assert_eq!(index(response.batch_item_failures[0].item_identifier.as_deref().unwrap()), 6);
    assert_eq!(started.elapsed(), Duration::from_secs(4), "half of the time for items");
    assert_eq!(pipeline.objects.archived_keys(), keys(6));
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_finished_items_are_tried_until_two_seconds_before_the_end() {
    let mut pipeline = Pipeline::new();
    pipeline.items.fail(|id| (id == "e0").then_some(Fault::Throttled));
    let started = Instant::now();
    let deadline = Deadline::after(Duration::from_secs(10), &pipeline.config);
    let response = pipeline.consumer().handle(batch(0, &ten_records()), deadline).await;
    assert_eq!(unfinished(&response, 10), 0);
    assert_eq!(started.elapsed(), Duration::from_secs(8));
}
