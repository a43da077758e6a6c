//! Simulated work, in virtual time: how long a batch takes, and what becomes of a text that is too long.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::stores::{Fault, WrittenLines};
use super::{ARRIVAL_MS, Pipeline, admitted, batch, checked_in, pack, unfinished};
use crate::deadline::Deadline;

/// 0.05 s a character and a time-out of a minute: 600 characters fit.
const LONGEST: usize = 600;

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.config.transform.simulate_work = 0.05;
    pipeline
}

/// A record for each text, `acme/0` and so on.
fn records(lengths: &[usize]) -> Vec<Vec<u8>> {
    let record = |(at, length): (usize, &usize)| {
        pack(&[admitted(at as u128 + 1, "acme", &at.to_string(), &"é".repeat(*length))])
    };
    lengths.iter().enumerate().map(record).collect()
}

/// Reason and id of each line in quarantine, in order.
fn quarantined(pipeline: &Pipeline) -> Vec<String> {
    let shown = |line: &serde_json::Value| {
        format!("{} {}", line["reason"].as_str().unwrap(), line["id"].as_str().unwrap())
    };
    pipeline.objects.quarantined().iter().map(shown).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_as_long_as_its_longest_text() {
    let (pipeline, started) = (pipeline(), Instant::now());
    let lengths = [100, LONGEST, 0, 500, 100, LONGEST];
    assert_eq!(pipeline.invoke(&records(&lengths)).await, lengths.len());
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(
        pipeline.objects.archived_keys(),
        ["acme/0", "acme/1", "acme/2", "acme/3", "acme/4", "acme/5"]
    );
    assert_eq!(pipeline.items.keys().len(), lengths.len());
}

/// The third event takes as long as the batch, and its neighbours are done before it. Without work, all are done at once.
#[tokio::test(start_paused = true)]
async fn an_event_is_processed_when_its_own_work_is_done() {
    let processed_after_ms = async |pipeline: Pipeline| {
        assert_eq!(pipeline.invoke(&records(&[100, 0, LONGEST])).await, 3);
        let after_start = |id| {
            let item = pipeline.items.get("acme", id).unwrap();
            assert_eq!(item.expires_at, Some(item.processed_at.unix_ms() / 1_000 + 90 * 86_400));
            item.processed_at.unix_ms() - ARRIVAL_MS - 2_000
        };
        let archived = pipeline.objects.archived();
        let of_lines = archived.iter().map(|line| line["processed_at"].as_str().unwrap().to_owned());
        let items = ["0", "1", "2"].map(|id| pipeline.items.get("acme", id).unwrap().processed_at);
        assert!(of_lines.eq(items.map(|time| time.to_string())), "{archived:?}");
        ["0", "1", "2"].map(after_start)
    };
    assert_eq!(processed_after_ms(pipeline()).await, [5_000, 0, 30_000]);
    assert_eq!(processed_after_ms(Pipeline::new()).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_text_of_one_character_too_many_is_quarantined_at_once_and_its_neighbours_are_stored() {
    let (pipeline, started) = (pipeline(), Instant::now());
    let mut records = records(&[10, LONGEST + 1, 20]);
    // A head is followed first.
    let head = checked_in(admitted(9, "acme", "head", &"x".repeat(LONGEST + 1)), &pipeline.objects);
    records.push(pack(std::slice::from_ref(&head)));
    assert_eq!(pipeline.invoke(&records).await, 4);
    assert_eq!(started.elapsed().as_secs(), 1, "as long as the longest of the others");
    assert_eq!(pipeline.objects.archived_keys(), ["acme/0", "acme/2"]);
    assert_eq!(quarantined(&pipeline), ["work_too_long 1", "work_too_long head"]);

    let line = &pipeline.objects.quarantined()[1];
    insta::assert_snapshot!(line["detail"].as_str().unwrap(), @"the text has 601 characters, allowed with simulated work: at most 600; shorten it, lower `transform.simulate_work` (0.05 s a character) or raise `consumer.timeout_seconds` (60 s, at most 900)");
    let bytes = base64_simd::STANDARD.decode_to_vec(line["bytes"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, head.line(), "a head is redriven as a head");
}

#[tokio::test(start_paused = true)]
async fn the_longest_work_fits_after_claim_checks_that_took_all_their_time() {
    let mut pipeline = pipeline();
    let mut records = records(&[LONGEST, 1, 1]);
    records[2] = pack(&[checked_in(admitted(9, "acme", "late", "x"), &pipeline.objects)]);
    pipeline.objects.fail(|effect| effect.starts_with("get claims/").then_some(Fault::Hangs));
    let started = Instant::now();
    assert_eq!(pipeline.invoke(&records).await, 2, "only the record of the claim check is left");
    assert_eq!(started.elapsed().as_secs(), 9 + 30);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/0", "acme/1"]);
}

#[tokio::test(start_paused = true)]
async fn an_invocation_with_too_little_time_leaves_longer_work_to_the_next() {
    let pipeline = pipeline();
    let records = records(&[10, 20, 400, 10]);
    let deadline = Deadline::after(Duration::from_secs(20), &pipeline.config);
    let response = pipeline.consumer().handle(batch(0, &records), deadline).await;
    assert_eq!(unfinished(&response, 4), 2);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/0", "acme/1"]);
    assert_eq!(pipeline.invoke_from(2, &records[2..]).await, 4);
    assert_eq!(pipeline.objects.archived_keys(), ["acme/0", "acme/1", "acme/2", "acme/3"]);
    assert!(quarantined(&pipeline).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_batch_is_done_in_one_invocation_which_takes_as_long_as_the_longest_text_that_fits(
        lengths in proptest::collection::vec(0..2 * LONGEST, 1..40), late_ms in 0..=1_000_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let pipeline = pipeline();
        let remaining = Duration::from_millis(60_000 - late_ms);
        let (response, elapsed) = runtime.block_on(async {
            let started = Instant::now();
            let deadline = Deadline::after(remaining, &pipeline.config);
            let response = pipeline.consumer().handle(batch(0, &records(&lengths)), deadline).await;
            (response, started.elapsed())
        });
        prop_assert_eq!(unfinished(&response, lengths.len()), lengths.len());
        let (fit, too_long): (Vec<usize>, Vec<usize>) = lengths.iter().partition(|length| **length <= LONGEST);
        prop_assert_eq!(pipeline.objects.archived_keys().len(), fit.len());
        prop_assert_eq!(quarantined(&pipeline).len(), too_long.len());
        let longest = Duration::from_millis(50) * u32::try_from(fit.into_iter().max().unwrap_or(0)).unwrap();
        // Virtual time passes in milliseconds.
        prop_assert!(elapsed.abs_diff(longest) < Duration::from_millis(10), "{elapsed:?} for {longest:?}");
    }
}
