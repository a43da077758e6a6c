//! A rule that holds for any behaviour of the function.

use proptest::prelude::*;

use super::tests::{Invocation, error, play, report, rules, success};
use super::*;

/// How the function behaves in one invocation.
#[derive(Clone, Copy, Debug)]
enum Mood {
    /// Fails if there is poison in the batch.
    Honest,
    /// Reports the first poisoned record, or nothing.
    Reporting,
    /// Always fails.
    Crashing,
    /// Reports the record at this index as not done, though it is not poison.
    Quitting(usize),
    /// Answers with something of another shape.
    Babbling,
    /// Is not run.
    Throttled,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        4 => Just(Mood::Honest),
        4 => Just(Mood::Reporting),
        1 => Just(Mood::Crashing),
        2 => (0..12_usize).prop_map(Mood::Quitting),
        1 => Just(Mood::Babbling),
        1 => Just(Mood::Throttled),
    ]
}

fn answer(mood: Mood, batch: &[u64], poison: &[u64]) -> Invocation {
    let poisoned = batch.iter().find(|number| poison.contains(number)).copied();
    match (mood, poisoned) {
        (Mood::Honest, Some(_)) | (Mood::Crashing, _) => error(),
        (Mood::Reporting, Some(number)) => report(number),
        (Mood::Honest | Mood::Reporting, None) => success(),
        (Mood::Quitting(index), _) => {
            let first_undone = index.min(batch.len() - 1);
            let first_poisoned = poisoned.and_then(|number| batch.iter().position(|other| *other == number));
            report(batch[first_poisoned.map_or(first_undone, |index| index.min(first_undone))])
        }
        (Mood::Babbling, _) => Ok(Bytes::from_static(b"\"done\"")),
        (Mood::Throttled, _) => Err(InvokeFailure::NotRun("throttled".to_owned())),
    }
}

/// The records that are done after this result: those before the report, all, or none.
fn done(batch: &[u64], result: &Invocation) -> Vec<u64> {
    let Ok(response) = result else { return vec![] };
    let Ok(response) = serde_json::from_slice::<serde_json::Value>(response) else { return vec![] };
    let Some(failures) = response["batchItemFailures"].as_array() else { return vec![] };
    let reported = failures.first().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned());
    batch.iter().copied().take_while(|number| Some(number.to_string()) != reported).collect()
}

proptest! {
    #[test]
    fn every_record_is_processed_or_discarded_once_and_in_order(
        records in 0..40_u64,
        batch_size in 1..12_usize,
        retries in prop::option::of(0..4_u32),
        bisect_on_error: bool,
        poison in prop::collection::vec(1..40_u64, 0..5),
        moods in prop::collection::vec(mood(), 0..120),
    ) {
        // With unlimited retries, poison would be retried until it is too old. So such runs have none.
        let poison = if retries.is_some() { poison } else { vec![] };
        let rules = Rules { batch_size, maximum_retry_attempts: retries, bisect_on_error, ..rules() };
        let mut moods = moods.into_iter();
        let mut processed = vec![];
        let trace = play(rules, 1..=records, |batch| {
            assert!(batch.is_sorted() && batch.len() <= batch_size);
            let result = answer(moods.next().unwrap_or(Mood::Reporting), batch, &poison);
            processed.extend(done(batch, &result));
            result
        });

        prop_assert!(processed.is_sorted(), "in order: {processed:?}");
        let discarded: Vec<_> = trace.discarded.iter().flat_map(|(numbers, _, _)| numbers.clone()).collect();
        prop_assert!(discarded.is_sorted(), "in order: {discarded:?}");
        let mut ended = [processed, discarded].concat();
        ended.sort_unstable();
        prop_assert_eq!(ended, (1..=records).collect::<Vec<_>>(), "each exactly once");

        prop_assert!(trace.checkpoints.is_sorted());
        prop_assert_eq!(trace.checkpoints.last().copied(), (records > 0).then_some(records));

        // Splitting makes at most two batches of each record, each with so many tries. The moods add at most one try
        // each.
        let tries = 1 + retries.unwrap_or(0) as usize;
        prop_assert!(trace.invocations.len() <= 120 + 3 * tries * (1 + usize::try_from(records).unwrap()));
    }
}
