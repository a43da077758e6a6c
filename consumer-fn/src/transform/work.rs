//! Simulated work: each character of a text takes its time, and nothing comes of it. It shows what a slow transform does
//! to a pipeline (batches that end early, age, retries) before there is one.

use std::time::Duration;

use shared::format::event_line::Event;
use tokio::time::{Instant, sleep_until};

use crate::prefix::{Entry, Prefix};

/// Works on one text after the other, in the stream's order. The prefix ends before the first record whose work would
/// last beyond `until`; of that one, nothing is begun.
pub(crate) async fn simulate(
    mut prefix: Prefix<Event>,
    per_character: Duration,
    until: Instant,
) -> Prefix<Event> {
    let now = Instant::now();
    let time = until.saturating_duration_since(now);
    let Done { work, end } = plan(&prefix.entries, per_character, time);
    if let Some(record) = end {
        tracing::warn!(batch.record = record, "no time is left for simulated work, the batch ends before it");
        prefix.end_before(record);
    }
    if !work.is_zero() {
        sleep_until(now + work).await;
    }
    prefix
}

/// How far the work gets.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    /// How long it takes.
    work: Duration,
    /// The first record that is not worked on, if there is one.
    end: Option<usize>,
}

/// What can be done in `time`: whole records only.
fn plan(entries: &[Entry<Event>], per_character: Duration, time: Duration) -> Done {
    let mut work = Duration::ZERO;
    for record in entries.chunk_by(|one, next| one.position.record == next.position.record) {
        let characters: usize = record.iter().map(|entry| entry.value.text.chars().count()).sum();
        let longer =
            work.saturating_add(per_character.saturating_mul(u32::try_from(characters).unwrap_or(u32::MAX)));
        if longer > time {
            return Done { work, end: Some(record[0].position.record) };
        }
        work = longer;
    }
    Done { work, end: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchPosition;
    use crate::tests::admitted;

    /// Texts at `(record, position)`, at a second a character, in so many seconds.
    fn check(texts: &[(usize, u32, &str)], seconds: u64, worked: u64, end: Option<usize>) {
        let entry = |(record, position, text): &(usize, u32, &str)| Entry {
            position: BatchPosition { record: *record, position: *position },
            value: admitted(1, "acme", "1", text),
        };
        let entries: Vec<_> = texts.iter().map(entry).collect();
        let done = plan(&entries, Duration::from_secs(1), Duration::from_secs(seconds));
        assert_eq!(done, Done { work: Duration::from_secs(worked), end });
    }

    #[test]
    fn whole_records_are_worked_on_as_far_as_time_goes() {
        let texts = [(0, 0, "éé"), (2, 0, "one"), (2, 1, "two"), (3, 0, "")];
        check(&texts, 8, 8, None);
        check(&texts, 7, 2, Some(2));
        check(&texts, 1, 0, Some(0));
        check(&texts[..1], 0, 0, Some(0));
        check(&texts[3..], 0, 0, None);
        check(&[], 0, 0, None);
    }
}
