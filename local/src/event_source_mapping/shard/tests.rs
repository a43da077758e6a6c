//! One test for each rule of the mapping. The function is a closure over the numbers of its batch.

use super::*;
use crate::event_source_mapping::payload;
use crate::event_source_mapping::tests::{START, record, settings};
use serde_json::json;
use shared::backoff::Backoff;

pub(super) fn rules() -> Rules {
    Rules {
        batch_size: 4,
        batching_window: Duration::from_secs(3),
        maximum_retry_attempts: Some(2),
        backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(4) },
        ..Rules::default()
    }
}

fn envelope() -> Envelope {
    Envelope::new(&settings(), "shardId-000000000000")
}

pub(super) fn shard(rules: Rules) -> Shard {
    Shard::new(rules, envelope(), None)
}

/// The bytes of an event of these records.
fn event_length<const COUNT: usize>(numbers: [u64; COUNT]) -> usize {
    payload::event(&numbers.map(|number| envelope().render(record(number)))).len()
}

fn after(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(START).plus(Duration::from_secs(seconds))
}

fn tip(numbers: impl IntoIterator<Item = u64>) -> ShardRead {
    ShardRead { records: numbers.into_iter().map(record).collect(), tail: ShardTail::Tip }
}

fn numbers(records: &[RenderedRecord]) -> Vec<u64> {
    records.iter().map(|record| record.sequence_number.parse().unwrap()).collect()
}

#[track_caller]
fn check_invokes(shard: &mut Shard, now: Timestamp, expected: &[u64]) {
    match shard.next(now) {
        ShardStep::Invoke(records) => assert_eq!(numbers(records), expected),
        other => panic!("expected an invocation, got {other:?}"),
    }
}

#[track_caller]
fn check_waits(shard: &mut Shard, now: Timestamp, expected: Option<Timestamp>) {
    match shard.next(now) {
        ShardStep::Wait(until) => assert_eq!(until, expected),
        other => panic!("expected a wait, got {other:?}"),
    }
}

pub(super) type Invocation = Result<Bytes, InvokeFailure>;

#[expect(clippy::unnecessary_wraps, reason = "the same type as the function's other results")]
pub(super) fn success() -> Invocation {
    Ok(Bytes::from_static(b"{\"batchItemFailures\":[]}"))
}

pub(super) fn error() -> Invocation {
    Err(InvokeFailure::Function { kind: "Unhandled".to_owned(), message: "poison".to_owned() })
}

#[expect(clippy::unnecessary_wraps, reason = "the same type as the function's other results")]
pub(super) fn report(number: u64) -> Invocation {
    Ok(format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{number}"}}]}}"#).into())
}

fn not_run() -> Invocation {
    Err(InvokeFailure::NotRun("throttled".to_owned()))
}

/// How a shard handled its records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) invocations: Vec<Vec<u64>>,
    pub(super) discarded: Vec<(Vec<u64>, Condition, u32)>,
    pub(super) checkpoints: Vec<u64>,
    /// Seconds from the start to the last event.
    seconds: u64,
}

/// Runs a closed shard of `records` to its end, in virtual time.
pub(super) fn play(
    rules: Rules,
    records: impl IntoIterator<Item = u64>,
    mut function: impl FnMut(&[u64]) -> Invocation,
) -> Trace {
    let mut unread: VecDeque<_> = records.into_iter().map(record).collect();
    let mut shard = shard(rules);
    let mut now = after(0);
    let mut trace = Trace::default();
    loop {
        let checkpoint = shard.checkpoint().map(|number| number.parse().unwrap());
        if checkpoint != trace.checkpoints.last().copied() {
            trace.checkpoints.extend(checkpoint);
        }
        if let Some(room) = shard.room() {
            let records: Vec<_> = unread.drain(..room.records.min(unread.len())).collect();
            let tail = if unread.is_empty() { ShardTail::Closed } else { ShardTail::More };
            shard.buffer(ShardRead { records, tail }, now);
        }
        match shard.next(now) {
            ShardStep::Invoke(records) => {
                let batch = numbers(records);
                let result = function(&batch);
                trace.invocations.push(batch);
                shard.invoked(result, now);
            }
            ShardStep::Discard(discarded) => {
                trace.discarded.push((
                    numbers(&discarded.records),
                    discarded.condition,
                    discarded.invocations,
                ));
                shard.saved(now);
            }
            ShardStep::Wait(until) => now = until.expect("a closed shard waits only for a moment"),
            ShardStep::Finished => break,
        }
        trace.seconds = now.since(after(0)).as_secs();
    }
    trace
}

const EXHAUSTED: Condition = Condition::RetryAttemptsExhausted;

#[test]
fn a_batch_is_sent_when_the_batch_size_is_reached() {
    let mut shard = shard(rules());
    shard.buffer(tip(1..=3), after(0));
    check_waits(&mut shard, after(0), Some(after(3)));
    shard.buffer(tip(4..=4), after(1));
    check_invokes(&mut shard, after(1), &[1, 2, 3, 4]);
}

#[test]
fn a_batch_is_sent_one_window_after_its_first_record() {
    let mut shard = shard(rules());
    check_waits(&mut shard, after(0), None);
    shard.buffer(tip([1]), after(1));
    shard.buffer(tip([2]), after(2));
    check_waits(&mut shard, after(3), Some(after(4)));
    check_invokes(&mut shard, after(4), &[1, 2]);
}

#[test]
fn a_batch_is_sent_when_one_more_record_would_exceed_the_payload_limit() {
    let two = event_length([1, 2]);
    let mut shard = shard(Rules { payload_limit: two, ..rules() });
    shard.buffer(tip([1, 2]), after(0));
    check_waits(&mut shard, after(0), Some(after(3)));
    shard.buffer(tip([3]), after(1));
    check_invokes(&mut shard, after(1), &[1, 2]);
    shard.invoked(success(), after(2));
    check_waits(&mut shard, after(2), Some(after(5)));
}

#[test]
fn without_a_window_a_batch_is_sent_at_once() {
    let mut shard = shard(Rules { batching_window: Duration::ZERO, ..rules() });
    shard.buffer(tip([1]), after(0));
    check_invokes(&mut shard, after(0), &[1]);
}

#[test]
fn the_window_starts_again_when_the_previous_invocation_has_ended() {
    let mut shard = shard(rules());
    shard.buffer(tip(1..=5), after(0));
    check_invokes(&mut shard, after(0), &[1, 2, 3, 4]);
    shard.invoked(success(), after(20));
    check_waits(&mut shard, after(20), Some(after(23)));
    check_invokes(&mut shard, after(23), &[5]);
}

#[test]
fn a_closed_shard_does_not_wait_for_the_window() {
    let mut shard = shard(rules());
    shard.buffer(ShardRead { tail: ShardTail::Closed, ..tip([1]) }, after(0));
    check_invokes(&mut shard, after(0), &[1]);
    shard.invoked(success(), after(1));
    assert!(matches!(shard.next(after(1)), ShardStep::Finished));
}

#[test]
fn a_drain_reads_to_the_tip_and_does_not_wait_for_the_window() {
    let mut shard = shard(rules());
    shard.buffer(tip([1]), after(0));
    shard.drain();
    assert_eq!(shard.tail(), ShardTail::More, "records may have come since");
    check_waits(&mut shard, after(0), Some(after(3)));
    shard.buffer(tip([2]), after(0));
    check_invokes(&mut shard, after(0), &[1, 2]);
    shard.invoked(success(), after(1));
    assert!(matches!(shard.next(after(1)), ShardStep::Finished));
}

#[test]
fn reads_fill_the_next_batch_only_and_stop_while_a_batch_is_in_work() {
    let mut shard = shard(Rules { payload_limit: 2_000, ..rules() });
    assert_eq!(shard.room().unwrap().records, 4);
    shard.buffer(tip([1]), after(0));
    let room = shard.room().unwrap();
    assert_eq!(room.records, 3);
    assert!(room.bytes < 2_000, "{room:?}");
    check_invokes(&mut shard, after(3), &[1]);
    assert_eq!(shard.room(), None);
    shard.invoked(error(), after(3));
    assert_eq!(shard.room(), None);
    shard.next(after(4));
    shard.invoked(success(), after(4));
    assert_eq!(shard.room().unwrap().records, 4);
}

#[test]
fn a_record_over_the_payload_limit_goes_to_the_failure_destination_in_order_and_uninvoked() {
    let one = event_length([1]);
    let trace = play(Rules { payload_limit: one, ..rules() }, [1, 10, 2], |_| success());
    assert_eq!(trace.invocations, [[1], [2]]);
    assert_eq!(trace.discarded, [(vec![10], Condition::PayloadLimitExceeded, 0)]);
    assert_eq!(trace.checkpoints, [1, 10, 2]);
}

#[test]
fn a_record_over_the_payload_limit_does_not_shorten_the_next_window() {
    let one = event_length([1]);
    let mut shard = shard(Rules { payload_limit: one, ..rules() });
    shard.buffer(tip([10]), after(0));
    assert!(matches!(shard.next(after(0)), ShardStep::Discard(_)));
    shard.saved(after(0));
    shard.buffer(tip([2]), after(1));
    check_waits(&mut shard, after(1), Some(after(4)));
}

#[test]
fn a_failed_batch_is_halved_and_splitting_uses_up_no_retries() {
    let rules = Rules { maximum_retry_attempts: Some(0), ..rules() };
    let trace = play(rules, 1..=4, |batch| if batch.contains(&3) { error() } else { success() });
    assert_eq!(trace.invocations, [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3], vec![4]]);
    assert_eq!(trace.discarded, [(vec![3], EXHAUSTED, 1)]);
    assert_eq!(trace.checkpoints, [2, 3, 4]);
}

#[test]
fn a_batch_of_one_that_fails_uses_up_retries_with_growing_waits() {
    let trace = play(rules(), [1], |_| error());
    assert_eq!(trace.invocations.len(), 3);
    assert_eq!(trace.discarded, [(vec![1], EXHAUSTED, 3)]);
    assert_eq!(trace.seconds, 1 + 2);
}

#[test]
fn without_bisect_the_whole_batch_is_retried_and_discarded() {
    let rules = Rules { bisect_on_error: false, ..rules() };
    let trace = play(rules, 1..=3, |batch| if batch.contains(&3) { error() } else { success() });
    assert_eq!(trace.invocations, [[1, 2, 3], [1, 2, 3], [1, 2, 3]]);
    assert_eq!(trace.discarded, [(vec![1, 2, 3], EXHAUSTED, 3)]);
    assert_eq!(trace.checkpoints, [3]);
}

#[test]
fn without_a_limit_retries_continue() {
    let rules = Rules { maximum_retry_attempts: None, maximum_record_age: None, ..rules() };
    let mut runs = 0;
    let trace = play(rules, [1], |_| {
        runs += 1;
        if runs == 500 { success() } else { error() }
    });
    assert_eq!((trace.invocations.len(), trace.discarded), (500, vec![]));
}

#[test]
fn a_partial_response_finishes_the_records_before_the_returned_number() {
    for bisect_on_error in [true, false] {
        let mut reports = vec![4, 3, 3];
        let trace = play(Rules { bisect_on_error, ..rules() }, 1..=4, |batch| {
            if batch.contains(&4) { reports.pop().map_or_else(success, report) } else { success() }
        });
        // Without bisect, the second report of 3 retries the batch that starts there. With bisect, it halves that
        // batch.
        let expected: &[&[u64]] = if bisect_on_error {
            &[&[1, 2, 3, 4], &[3, 4], &[3], &[4], &[4]]
        } else {
            &[&[1, 2, 3, 4], &[3, 4], &[3, 4], &[4]]
        };
        assert_eq!(trace.invocations, expected);
        assert_eq!(trace.discarded, []);
        assert_eq!(trace.checkpoints, [2, 3, 4]);
    }
}

#[test]
fn the_rest_after_a_partial_response_has_all_its_retries() {
    // As recorded from Lambda: six records, batches of three, three retries, the last record fails.
    let rules = Rules { batch_size: 3, maximum_retry_attempts: Some(3), bisect_on_error: false, ..rules() };
    let trace = play(rules, 1..=6, |batch| if batch.contains(&6) { report(6) } else { success() });
    assert_eq!(trace.invocations, [vec![1, 2, 3], vec![4, 5, 6], vec![6], vec![6], vec![6], vec![6]]);
    assert_eq!(trace.discarded, [(vec![6], EXHAUSTED, 4)]);
    assert_eq!(trace.seconds, 1 + 2 + 4 + 4, "the rest waits as after a failure");
}

#[test]
fn with_bisect_only_the_record_that_is_always_reported_is_discarded() {
    let trace = play(rules(), 1..=4, |batch| if batch.contains(&2) { report(2) } else { success() });
    assert_eq!(trace.invocations, [vec![1, 2, 3, 4], vec![2, 3, 4], vec![2], vec![2], vec![2], vec![3, 4]]);
    assert_eq!(trace.discarded, [(vec![2], EXHAUSTED, 3)]);
    assert_eq!(trace.checkpoints, [1, 2, 4]);
}

#[test]
fn without_bisect_a_report_of_the_first_record_uses_up_a_retry_of_the_whole() {
    let rules = Rules { bisect_on_error: false, ..rules() };
    let trace = play(rules, 1..=3, |_| report(1));
    assert_eq!(trace.invocations, [[1, 2, 3], [1, 2, 3], [1, 2, 3]]);
    assert_eq!(trace.discarded, [(vec![1, 2, 3], EXHAUSTED, 3)]);
}

#[test]
fn the_lowest_number_counts_and_not_the_first_in_the_list_or_as_text() {
    let check = |numbers: &[u64], expected| {
        // Sorted as text, the order would be different.
        let records = [9, 10, 11].map(|number| envelope().render(record(number))).into();
        let failures: Vec<_> =
            numbers.iter().map(|number| json!({"itemIdentifier": number.to_string()})).collect();
        let response = json!({"batchItemFailures": failures}).to_string();
        let batch = ShardBatch { records, ..ShardBatch::default() };
        assert_eq!(batch.first_failed(response.as_bytes()), Ok(expected), "{response}");
    };
    check(&[], None);
    check(&[11], Some(2));
    check(&[11, 10], Some(1));
    check(&[10, 9], Some(0));
    check(&[10, 10], Some(1));
}

#[test]
fn a_malformed_response_fails_the_whole_batch() {
    let trace = play(rules(), [1], |_| Ok(Bytes::from_static(b"{\"batchItemFailures\":[{}]}")));
    assert_eq!(trace.discarded, [(vec![1], EXHAUSTED, 3)]);
}

#[test]
fn the_response_is_ignored_without_report_batch_item_failures() {
    let rules = Rules { report_batch_item_failures: false, ..rules() };
    let trace = play(rules, 1..=3, |_| report(1));
    assert_eq!(trace.invocations, [[1, 2, 3]]);
    assert_eq!(trace.discarded, []);
}

#[test]
fn an_invocation_that_did_not_happen_is_neither_split_nor_counted() {
    let mut runs = 0;
    let trace = play(rules(), 1..=2, |_| {
        runs += 1;
        if runs <= 10 { not_run() } else { success() }
    });
    assert_eq!(trace.invocations, vec![vec![1, 2]; 11]);
    assert_eq!(trace.discarded, []);
}

#[test]
fn records_over_the_maximum_age_are_discarded_and_younger_ones_are_not() {
    let mut shard = shard(Rules { maximum_record_age: Some(Duration::from_mins(1)), ..rules() });
    let mut read = tip(1..=3);
    read.records[2].arrival = after(30);
    shard.buffer(read, after(61));
    match shard.next(after(64)) {
        ShardStep::Discard(discarded) => {
            assert_eq!(numbers(&discarded.records), [1, 2]);
            assert_eq!((discarded.condition, discarded.invocations), (Condition::RecordAgeExceeded, 0));
        }
        other => panic!("{other:?}"),
    }
    shard.saved(after(64));
    assert_eq!(shard.checkpoint(), Some("2"));
    check_invokes(&mut shard, after(64), &[3]);
}

#[test]
fn a_batch_that_cannot_be_invoked_is_discarded_by_age_only() {
    let rules = Rules { maximum_record_age: Some(Duration::from_mins(1)), ..rules() };
    let trace = play(rules, 1..=2, |_| not_run());
    assert_eq!(trace.discarded, [(vec![1, 2], Condition::RecordAgeExceeded, 0)]);
    assert!((60..70).contains(&trace.seconds), "{trace:?}");
}

#[test]
fn a_failing_batch_blocks_the_records_after_it() {
    let mut shard = shard(Rules { bisect_on_error: false, ..rules() });
    shard.buffer(tip(1..=5), after(0));
    check_invokes(&mut shard, after(0), &[1, 2, 3, 4]);
    shard.invoked(error(), after(0));
    check_waits(&mut shard, after(0), Some(after(1)));
    check_invokes(&mut shard, after(1), &[1, 2, 3, 4]);
    assert_eq!(shard.checkpoint(), None);
    assert_eq!(shard.work[0].records.len() + shard.buffer.len(), 5);
}

#[test]
fn a_shard_resumes_after_its_checkpoint() {
    let shard = Shard::new(rules(), envelope(), Some("7".to_owned()));
    assert_eq!(shard.position(), Some("7"));
    assert_eq!(shard.checkpoint(), Some("7"));
}
