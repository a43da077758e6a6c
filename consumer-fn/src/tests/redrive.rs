//! Redriven events.

use std::collections::HashSet;
use std::time::Duration;

use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::record::RECORD_EVENTS;
use shared::id::AdmissionId;
use shared::origin::Origin;
use shared::time::Timestamp;
use tokio::time::Instant;

use super::stores::{Fault, WrittenLines};
use super::{ARRIVAL_MS, Pipeline, SHARD, admitted, batch, pack, record, sequence_number};
use crate::commit;
use crate::decode::read_again;
use crate::unreadable::quarantine_unreadable;
use shared::origin::ShardPosition;

fn origin(record: usize) -> Origin {
    Origin { shard: SHARD.into(), sequence_number: sequence_number(record).into(), position: 0 }
}

fn event() -> Event {
    admitted(1, "acme", "a", "hello")
}

/// The redriven event, with these records of the stream as former origins.
fn redriven(former: &[usize]) -> Vec<u8> {
    pack(&[Event { redrive_of: former.iter().map(|record| origin(*record)).collect(), ..event() }])
}

/// The stream's first record has its item but was never archived. It failed permanently and is fenced.
async fn failed() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.objects.fail(|effect| effect.starts_with("put events/").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&[pack(&[event()])]).await, 0);
    pipeline.objects.fail(|_| None);
    fence(&pipeline, 0).await;
    pipeline
}

/// Fences the shard up to the end of a record of the stream.
async fn fence(pipeline: &Pipeline, record: usize) {
    let before = ShardPosition::new(sequence_number(record), 1);
    let until = Instant::now() + Duration::from_secs(5);
    commit::fence(SHARD, before, &pipeline.objects, &pipeline.ledger, until).await.unwrap();
}

/// The origin in the only archived line.
fn archived_from(pipeline: &Pipeline) -> String {
    let archived = pipeline.objects.archived();
    assert_eq!(archived.len(), 1, "{archived:?}");
    archived[0]["sequence_number"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_redriven_event_takes_over_its_item_and_is_archived() {
    let pipeline = failed().await;
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 2);
    assert_eq!(archived_from(&pipeline), sequence_number(1));
    assert_eq!(pipeline.items.get("acme", "a").unwrap().origin, origin(1));

    // The same event is redriven once more.
    assert_eq!(pipeline.invoke_from(2, &[redriven(&[0]), redriven(&[0])]).await, 4);
    assert_eq!(archived_from(&pipeline), sequence_number(1));
    assert_eq!(pipeline.objects.quarantined(), Vec::<serde_json::Value>::new());
}

#[tokio::test(start_paused = true)]
async fn of_two_copies_in_one_batch_the_first_is_archived() {
    let pipeline = failed().await;
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0]), redriven(&[0])]).await, 3);
    assert_eq!(archived_from(&pipeline), sequence_number(1));
}

#[tokio::test(start_paused = true)]
async fn a_redriven_event_without_an_item_is_inserted() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 2);
    assert_eq!(pipeline.items.get("acme", "a").unwrap().origin, origin(1));
    assert_eq!(archived_from(&pipeline), sequence_number(1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_again_is_redriven_again_whatever_origin_its_item_names() {
    let mut pipeline = failed().await;
    // Redriven as record 1, which failed before it took the item over.
    pipeline.items.fail(|effect| (effect == "take over a").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 1);
    pipeline.items.fail(|_| None);
    fence(&pipeline, 1).await;
    assert_eq!(pipeline.invoke_from(2, &[redriven(&[0, 1])]).await, 3);
    assert_eq!(archived_from(&pipeline), sequence_number(2));
}

#[tokio::test(start_paused = true)]
async fn a_take_over_whose_answer_is_lost_is_found_to_be_done() {
    let mut pipeline = failed().await;
    let mut lost = 1;
    pipeline.items.fail(move |effect| {
        let is_first = effect == "take over a" && std::mem::take(&mut lost) == 1;
        is_first.then_some(Fault::Lost)
    });
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 2);
    assert_eq!(archived_from(&pipeline), sequence_number(1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_dies_between_take_over_and_archive_leaves_it_to_the_next() {
    let mut pipeline = failed().await;
    pipeline.objects.fail(|effect| effect.starts_with("put events/").then_some(Fault::Hangs));
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 1);
    assert_eq!(pipeline.items.get("acme", "a").unwrap().origin, origin(1));
    pipeline.objects.fail(|_| None);
    assert_eq!(pipeline.invoke_from(1, &[redriven(&[0])]).await, 2);
    assert_eq!(archived_from(&pipeline), sequence_number(1));
}

#[tokio::test(start_paused = true)]
async fn a_line_with_a_false_former_origin_goes_to_quarantine() {
    let pipeline = failed().await;
    let other = Event { redrive_of: vec![origin(0)], ..admitted(1, "acme", "a", "something else") };
    assert_eq!(pipeline.invoke_from(1, &[pack(&[other])]).await, 2);
    assert_eq!(pipeline.objects.quarantined()[0]["reason"], "id_reused");
    assert_eq!(pipeline.objects.archived_keys(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_quarantined_again_keeps_its_former_origins() {
    let mut pipeline = Pipeline::new();
    pipeline.items.fail(|id| (id == "a").then_some(Fault::Refused));
    assert_eq!(pipeline.invoke_from(3, &[redriven(&[0, 2])]).await, 4);
    let bytes = pipeline.objects.quarantined()[0]["bytes"].as_str().unwrap().to_owned();
    let bytes = base64_simd::STANDARD.decode_to_vec(bytes).unwrap();
    let again: Event = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(again.redrive_of, [origin(0), origin(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_quarantines_unreadable_bytes_as_the_consumer_does() {
    let half_bad = [record("acme", &["1"]), b"{\"no\": \"tenant\"}\n".to_vec()].concat();
    for (data, lines) in [(half_bad, 1), (b"\x00poison".to_vec(), 1), (record("acme", &["1"]), 0)] {
        let (consumer, by_hand) = (Pipeline::new(), Pipeline::new());
        assert_eq!(consumer.invoke(std::slice::from_ref(&data)).await, 1);
        let until = Instant::now() + Duration::from_secs(5);
        quarantine_unreadable(batch(0, &[data]), &consumer.config, &by_hand.objects, until).await.unwrap();
        assert_eq!(by_hand.objects.quarantined(), consumer.objects.quarantined());
        assert_eq!(by_hand.objects.keys(""), consumer.objects.keys("errors/"));
        assert_eq!(by_hand.objects.quarantined().len(), lines);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redrive_reports_quarantine_that_cannot_be_written() {
    let mut pipeline = Pipeline::new();
    pipeline.objects.fail(|_| Some(Fault::Throttled));
    let until = Instant::now() + Duration::from_secs(5);
    let record = batch(0, &[b"bad".to_vec()]);
    let error = quarantine_unreadable(record, &pipeline.config, &pipeline.objects, until).await.unwrap_err();
    assert!(error.to_string().starts_with("quarantine could not be written: `errors/"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_only_quarantined_lines_is_committed_in_the_ledger_too() {
    let pipeline = Pipeline::new();
    assert_eq!(pipeline.invoke(&[b"bad".to_vec(), b"bad".to_vec()]).await, 2);
    assert_eq!(pipeline.ledger.progress().committed_end, Some(ShardPosition::new(sequence_number(1), 1)));

    // Where an object covers it, no further write is needed.
    pipeline.ledger.calls();
    assert_eq!(pipeline.invoke_from(2, &[record("acme", &["1"]), b"bad".to_vec()]).await, 4);
    assert_eq!(pipeline.ledger.calls(), ["read", "write", "note", "write"]);
    assert_eq!(pipeline.ledger.progress().committed_end, Some(ShardPosition::new(sequence_number(3), 1)));
}

#[tokio::test(start_paused = true)]
async fn quarantined_records_are_not_answered_as_done_without_the_ledger() {
    let mut pipeline = Pipeline::new();
    pipeline.ledger.fail(|call| (call == "write").then_some(Fault::Throttled));
    assert_eq!(pipeline.invoke(&[b"bad".to_vec()]).await, 0);
    pipeline.ledger.fail(|_| None);
    assert_eq!(pipeline.invoke(&[b"bad".to_vec()]).await, 1);
    assert_eq!(pipeline.objects.quarantined().len(), 1);
}

/// A user record that is an aggregate itself goes to quarantine at its position among the others. Alone it is read.
#[test]
fn lines_of_a_nested_aggregate_get_no_origin_of_another_line() {
    let path = format!("{}/../tests/fixtures/kpl/one-bad-among-good.bin", env!("CARGO_MANIFEST_DIR"));
    let lay_at = Origin { position: 1, ..origin(0) };
    let arrival = Timestamp::from_unix_ms(ARRIVAL_MS);
    let without_id = br#"{"tenant_id":"acme"}"#;
    for data in [std::fs::read(path).unwrap(), [&without_id[..]; 3].join(&b'\n')] {
        let read = read_again(&data, &lay_at, arrival, &Config::default());
        let positions: Vec<_> = read.iter().map(|(origin, _)| origin.position).collect();
        assert_eq!(positions[0], 1);
        let most = u32::try_from(RECORD_EVENTS).unwrap();
        assert!(positions[1..].iter().all(|position| *position >= most), "{positions:?}: a neighbour's");
        let admissions: HashSet<_> =
            read.iter().filter_map(|(_, event)| Some(event.as_ref().ok()?.facts.admission_id)).collect();
        let neighbour = |position| AdmissionId::of_foreign(SHARD, &lay_at.sequence_number, position);
        assert!(admissions.contains(&neighbour(1)));
        assert!((2..most).all(|position| !admissions.contains(&neighbour(position))));
        assert_eq!(admissions.len(), read.iter().filter(|(_, event)| event.is_ok()).count());
    }
}
