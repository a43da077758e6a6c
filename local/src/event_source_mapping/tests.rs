//! The whole mapping over in-memory ports, in virtual time.

mod fakes;

use std::time::Duration;

use bytes::Bytes;
use shared::id::Ids;
use shared::time::{Clock, Timestamp};
use uuid::Uuid;

use super::ports::{InvokeFailure, Invoker, RetainedRecord};
use super::settings::{Rules, Settings};
use super::{Drained, EventSourceMapping, Failing, Running};
use crate::runtime_api::{self, FunctionHost};
use fakes::{FakeResponse, Fakes};
use shared::backoff::Backoff;

/// Unix milliseconds at which the tests begin.
pub(super) const START: i64 = 1_573_691_884_835;

pub(super) fn settings() -> Settings {
    Settings {
        mapping_id: Uuid::from_u128(0x14e0_db71_5d35_4eb5_b481_8945_cf9d_10c2),
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:consumer".to_owned(),
        stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/events".to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/consumer".to_owned(),
        rules: Rules {
            maximum_retry_attempts: Some(2),
            backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(4) },
            ..Rules::default()
        },
        poll_interval: Duration::from_secs(1),
        discovery_interval: Duration::from_secs(10),
        ids: Ids::system(),
    }
}

/// A record that arrived at the start. Sequence number, key and data are its number.
pub(super) fn record(number: u64) -> RetainedRecord {
    RetainedRecord {
        sequence_number: number.to_string(),
        partition_key: format!("key-{number}"),
        data: Bytes::from(number.to_string()),
        arrival: Timestamp::from_unix_ms(START),
    }
}

fn run(fakes: &Fakes, settings: Settings) -> Running {
    run_with(fakes, fakes.clone(), settings)
}

fn run_with(fakes: &Fakes, invoker: impl Invoker, settings: Settings) -> Running {
    let clock = Clock::fixed(Timestamp::from_unix_ms(START));
    let [reader, checkpoints, destination] = [(); 3].map(|()| fakes.clone());
    EventSourceMapping::new(settings, reader, checkpoints, invoker, destination, &clock).run()
}

/// Drains with an hour to spare, which virtual time makes short.
async fn drain(running: Running) -> Drained {
    running.drain(Duration::from_hours(1)).await
}

fn poison() -> FakeResponse {
    Err(InvokeFailure::Function { kind: "Unhandled".to_owned(), message: "poison".to_owned() })
}

const A: &str = "shardId-000000000000";
const B: &str = "shardId-000000000001";
const C: &str = "shardId-000000000002";

#[tokio::test(start_paused = true)]
async fn a_record_reaches_the_function_after_one_poll_and_one_window() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    let running = run(&fakes, settings());
    tokio::time::sleep(Duration::from_millis(500)).await;
    fakes.put(A, 1..=3);
    tokio::time::sleep(Duration::from_millis(3_490)).await;
    assert_eq!(fakes.invocations(), [] as [(&str, Vec<u64>); 0], "read at 1 s, so due at 4 s");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(fakes.invocations(), [(A, vec![1, 2, 3])]);
    assert_eq!(running.progress().records, 3);
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_polled_once_a_second() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    let _running = run(&fakes, settings());
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(fakes.reads(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_drain_processes_to_the_tip_without_waiting_for_windows() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    let rules = Rules { batch_size: 4, batching_window: Duration::from_mins(5), ..settings().rules };
    let running = run(&fakes, Settings { rules, ..settings() });
    tokio::time::sleep(Duration::from_secs(2)).await;
    fakes.put(A, 1..=10);
    let started = tokio::time::Instant::now();
    let drained = drain(running).await;
    assert_eq!(fakes.invocations(), [(A, vec![1, 2, 3, 4]), (A, vec![5, 6, 7, 8]), (A, vec![9, 10])]);
    assert_eq!(drained, Drained { complete: true, batches: 3, records: 10, discarded: 0, remaining: 0 });
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(fakes.checkpoint(A), Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_keeps_failing_does_not_block_a_drain_past_its_deadline() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=2);
    fakes.respond(|batch| if batch.contains(&2) { poison() } else { Ok(Bytes::new()) });
    let rules = Rules { maximum_retry_attempts: None, ..settings().rules };
    let drained = run(&fakes, Settings { rules, ..settings() }).drain(Duration::from_mins(1)).await;
    assert_eq!(drained, Drained { complete: false, batches: 1, records: 1, discarded: 0, remaining: 1 });
    assert_eq!(fakes.checkpoint(A), Some(1));
}

#[tokio::test(start_paused = true)]
async fn records_that_fail_permanently_are_saved_and_the_shard_continues() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=3);
    fakes.respond(|batch| if batch.contains(&2) { poison() } else { Ok(Bytes::new()) });
    let drained = drain(run(&fakes, settings())).await;
    assert_eq!(drained, Drained { complete: true, batches: 2, records: 2, discarded: 1, remaining: 0 });
    let failed = fakes.failed();
    let [(key, batch)] = &failed[..] else { panic!("{failed:?}") };
    assert!(key.contains("/shardId-000000000000/2019/11/14/"), "{key}");
    assert_eq!(batch["requestContext"]["approximateInvokeCount"], 3);
    assert!(batch["payload"].as_str().unwrap().contains(r#""sequenceNumber":"2""#));
    assert_eq!(fakes.checkpoint(A), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_failing_shard_does_not_block_another() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.shard(B, &[]);
    fakes.put(A, [1]);
    fakes.put(B, [2, 3]);
    fakes.respond(|batch| if batch.contains(&1) { poison() } else { Ok(Bytes::new()) });
    let rules = Rules { maximum_retry_attempts: None, ..settings().rules };
    let running = run(&fakes, Settings { rules, ..settings() });
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((fakes.checkpoint(A), fakes.checkpoint(B)), (None, Some(3)));
    assert_eq!(running.progress().pending, 1);

    let Failing { shard, failures, function_error } = running.view().failing().unwrap();
    assert_eq!((shard.as_str(), function_error), (A, true));
    assert!(failures > 5, "{failures}");
    fakes.respond(|_| Ok(Bytes::new()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((running.view().failing(), running.progress().failed_batches), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_view_counts_batches_that_failed_for_good_and_sees_a_mapping_that_stopped() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=3);
    fakes.respond(|batch| if batch.contains(&2) { poison() } else { Ok(Bytes::new()) });
    let running = run(&fakes, settings());
    let view = running.view();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((view.failing(), view.progress().failed_batches, view.is_running()), (None, 1, true));
    fakes.respond(|_| panic!("a defect"));
    fakes.put(A, [4]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!view.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_split_shard_is_processed_to_its_end_before_its_children() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=2);
    fakes.close(A);
    fakes.shard(B, &[A]);
    fakes.shard(C, &[A]);
    fakes.put(B, [3]);
    fakes.put(C, [4]);
    let mut failures = 5;
    fakes.respond(move |_| {
        failures -= 1;
        if failures > 0 { Err(InvokeFailure::NotRun("throttled".to_owned())) } else { Ok(Bytes::new()) }
    });
    let drained = drain(run(&fakes, settings())).await;
    assert!(drained.complete);
    let invocations = fakes.invocations();
    assert_eq!(invocations[4], (A, vec![1, 2]));
    let mut children = invocations[5..].to_vec();
    children.sort_unstable();
    assert_eq!(children, [(B, vec![3]), (C, vec![4])]);
}

#[tokio::test(start_paused = true)]
async fn shards_that_appear_later_are_discovered() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    let _running = run(&fakes, settings());
    tokio::time::sleep(Duration::from_mins(1)).await;
    fakes.shard(B, &[A]);
    fakes.put(B, [7]);
    fakes.close(A);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(fakes.invocations(), [(B, vec![7])]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_after_the_checkpoint() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=2);
    drain(run(&fakes, settings())).await;
    fakes.put(A, 3..=4);
    drain(run(&fakes, settings())).await;
    assert_eq!(fakes.invocations(), [(A, vec![1, 2]), (A, vec![3, 4])]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_flight_when_the_mapping_stopped_is_delivered_again() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, [1]);
    fakes.respond(|_| Err(InvokeFailure::NotRun("out of reach".to_owned())));
    let running = run(&fakes, settings());
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    drop(running);
    fakes.respond(|_| Ok(Bytes::new()));
    assert_eq!(drain(run(&fakes, settings())).await.records, 1);
    assert_eq!(fakes.checkpoint(A), Some(1));
}

#[tokio::test(start_paused = true)]
async fn failing_ports_are_retried_and_nothing_is_lost() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=3);
    fakes.respond(|batch| if batch.contains(&2) { poison() } else { Ok(Bytes::new()) });
    fakes.break_ports(9);
    let drained = drain(run(&fakes, settings())).await;
    assert_eq!(drained, Drained { complete: true, batches: 2, records: 2, discarded: 1, remaining: 0 });
    assert_eq!(fakes.failed().len(), 1);
    assert_eq!(fakes.checkpoint(A), Some(3));
}

#[tokio::test(start_paused = true)]
async fn no_read_returns_more_than_one_batch() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 1..=1_000);
    let rules = Rules { batch_size: 10, ..settings().rules };
    let drained = drain(run(&fakes, Settings { rules, ..settings() })).await;
    assert_eq!((drained.batches, drained.records), (100, 1_000));
    assert!(fakes.largest_read() <= 10);
}

/// In real time, with real processes. Record 13 makes the process abort.
#[tokio::test]
async fn a_record_that_kills_the_process_is_isolated_and_the_others_are_processed() {
    let fakes = Fakes::default();
    fakes.shard(A, &[]);
    fakes.put(A, 10..=17);
    let function = FunctionHost::start(runtime_api::tests::spec());
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(1) };
    let rules = Rules { backoff, ..settings().rules };
    let running = run_with(&fakes, function, Settings { rules, ..settings() });
    let drained = running.drain(Duration::from_mins(1)).await;
    assert_eq!(drained, Drained { complete: true, batches: 3, records: 7, discarded: 1, remaining: 0 });
    let failed = fakes.failed();
    let (_, batch) = &failed[0];
    assert_eq!(batch["KinesisBatchInfo"]["startSequenceNumber"], "13");
    assert_eq!(batch["KinesisBatchInfo"]["batchSize"], 1);
    assert_eq!(batch["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(fakes.checkpoint(A), Some(17));
}
