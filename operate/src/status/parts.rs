//! Which numbers are shown of each part of the pipeline: those of the cards of the page (`local/src/page/web/pipeline.js`), in their
//! order.

use std::time::Duration;

use super::State;
use crate::amount;

/// A part of the pipeline.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// The first one is the one to look at.
    pub(super) numbers: Vec<Number>,
    /// How it changed in the last minutes.
    pub(super) line: Vec<Option<f64>>,
}

pub(super) struct Number {
    /// For programs.
    pub(super) key: &'static str,
    /// `None` if it is not known, or nothing was measured.
    pub(super) value: Option<f64>,
    /// For people.
    pub(super) shown: String,
    /// Whether someone should look at it.
    pub(super) is_bad: bool,
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Bytes,
    /// In milliseconds.
    Time,
}

impl Unit {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no metric is negative")]
    fn show(self, value: f64) -> String {
        match self {
            Self::Count if value < 10.0 && value.fract() != 0.0 => format!("{value:.1}"),
            Self::Count => amount::count(value.round() as u64),
            Self::Bytes => amount::bytes(value.round() as u64),
            Self::Time => amount::time(Duration::from_millis(value.round() as u64)),
        }
    }
}

/// `around` has the number in place of `{}`.
fn number(key: &'static str, value: impl Into<Option<f64>>, unit: Unit, around: &str) -> Number {
    let value = value.into();
    let text = value.map_or_else(|| "–".to_owned(), |value| unit.show(value));
    Number { key, value, shown: around.replacen("{}", &text, 1), is_bad: false }
}

impl Number {
    /// One that should be 0.
    fn of_trouble(mut self) -> Self {
        self.is_bad = self.value.is_some_and(|value| value > 0.0);
        self
    }
}

/// What is refused, by reason.
const REFUSALS: [(&str, &str); 4] = [
    ("requests_filtered_total", "by tier {}"),
    ("credentials_refused_total", "by credential {}"),
    ("quotas_exceeded_total", "by quota {}"),
    ("events_rejected_total", "events rejected {}"),
];

pub(super) fn parts(state: &State) -> Vec<Part> {
    use Unit::{Bytes, Count, Time};
    let now = &state.history;
    let total = |name: &'static str, around| number(name, now.value(name), Count, around);
    let rate = |key, name, unit, around| number(key, now.rate(name), unit, around);
    let lately = |key, name, around| number(key, now.grown(name), Count, around);
    let quantile =
        |key, name, quantile, unit, around| number(key, now.quantile(name, quantile), unit, around);
    let part = |name, line, numbers| Part { name, numbers, line };

    let refused = REFUSALS.iter().map(|(name, _)| now.grown(name)).sum::<f64>();
    let refused = [number("refused_in_the_last_minute", refused, Count, "{} in the last minute")];
    let by_reason = REFUSALS.iter().map(|(name, around)| total(name, around));
    let unstored = total("events_refused_lately", "not stored (503) {}").of_trouble();
    let refusals = refused.into_iter().chain(by_reason).chain([unstored]).collect();

    let waiting: u64 = state.shards.iter().map(|shard| shard.waiting).sum();
    let oldest = state.shards.iter().filter_map(|shard| shard.oldest_age_seconds).reduce(f64::max);
    #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
    let waiting = number("records_waiting", waiting as f64, Count, "{} records waiting");
    let oldest = Number {
        value: oldest,
        ..number("oldest_record_age_seconds", oldest.map(|age| age * 1_000.0), Time, "oldest {}")
    };

    let dispatch = if state.settings.dispatch {
        vec![
            total("dispatch_depth", "{} events waiting"),
            rate("dispatched_per_second", "events_dispatched_total", Count, "{}/s dispatched"),
            total("dispatch_retries_total", "retries {}"),
            total("dispatch_dead_letters", "dead letters {}").of_trouble(),
        ]
    } else {
        Vec::new()
    };

    let mut freshest =
        quantile("freshness_p99_milliseconds", "freshness_milliseconds", "0.99", Time, "p99 {}");
    freshest.is_bad = freshest.value.is_some_and(|p99| p99 > state.settings.freshness_ms);
    freshest.shown += &format!(", promised {}", Time.show(state.settings.freshness_ms));

    vec![
        part(
            "ingest",
            now.rates("requests_received_total"),
            vec![
                rate("requests_per_second", "requests_received_total", Count, "{} requests/s"),
                rate("events_per_second", "events_accepted_total", Count, "{} events/s accepted"),
                rate("bytes_per_second", "bytes_accepted_total", Bytes, "{}/s"),
                total("events_accepted_total", "{} accepted in all"),
            ],
        ),
        part("refused", sum(REFUSALS.iter().map(|(name, _)| now.rates(name))), refusals),
        part("stream", now.gauges("records_waiting"), vec![waiting, oldest]),
        part(
            "spill",
            now.gauges("spill_depth"),
            vec![
                total("spill_depth", "{} messages waiting").of_trouble(),
                total("events_spilled_lately", "spilled lately {}"),
                total("events_spilled_total", "in all {}"),
                total("spill_dead_letters", "dead letters {}").of_trouble(),
            ],
        ),
        part(
            "consumer",
            now.rates("batch_events_count"),
            vec![
                lately("batches_in_the_last_minute", "batch_events_count", "{} batches in the last minute"),
                quantile("batch_events_p50", "batch_events", "0.5", Count, "{} events in a batch (p50)"),
                total("batch_failures", "failures of a batch {}").of_trouble(),
                total("batches_failed_total", "failed for good {}").of_trouble(),
                total("consumer_restarts_total", "restarts {}").of_trouble(),
            ],
        ),
        part(
            "quarantine",
            now.rates("events_quarantined_total"),
            vec![
                total("events_quarantined_total", "{} since the start"),
                lately("quarantined_in_the_last_minute", "events_quarantined_total", "{} in the last minute")
                    .of_trouble(),
                total("quarantine_objects_written_total", "objects written {}"),
            ],
        ),
        part(
            "items",
            now.rates("events_stored_total"),
            vec![
                rate("stored_per_second", "events_stored_total", Count, "{} events stored/s"),
                total("events_stored_total", "{} stored in all"),
                total("events_deduplicated_total", "deduplicated {}"),
                total("events_redelivered_total", "redelivered {}"),
            ],
        ),
        part("dispatch", now.gauges("dispatch_depth"), dispatch),
        part(
            "archive",
            now.rates("objects_written_total"),
            vec![
                lately(
                    "objects_in_the_last_minute",
                    "objects_written_total",
                    "{} objects in the last minute",
                ),
                total("objects_written_total", "written in all {}"),
                quantile("object_bytes_p50", "object_bytes", "0.5", Bytes, "size {} (p50)"),
                total("text_parts_written_total", "parts of large texts {}"),
            ],
        ),
        part(
            "freshness",
            now.quantiles("freshness_milliseconds", "0.99"),
            vec![
                freshest,
                quantile("freshness_p50_milliseconds", "freshness_milliseconds", "0.5", Time, "p50 {}"),
                quantile("freshness_longest_milliseconds", "freshness_milliseconds", "1", Time, "longest {}"),
            ],
        ),
    ]
}

/// The sum of several lines, for each sample where one of them has a value.
fn sum(lines: impl Iterator<Item = Vec<Option<f64>>>) -> Vec<Option<f64>> {
    let add = |(one, other): (Option<f64>, Option<f64>)| match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    };
    lines.reduce(|sum, line| sum.into_iter().zip(line).map(add).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::state;
    use super::*;

    const PAGE: &str = include_str!("../../../local/src/page/web/pipeline.js");

    #[test]
    fn the_parts_are_the_cards_of_the_page_in_their_order() {
        let cards = PAGE.lines().filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\","));
        let parts = parts(&state());
        assert_eq!(parts.iter().map(|part| part.name).collect::<Vec<_>>(), cards.collect::<Vec<_>>());
    }

    #[test]
    fn every_metric_that_is_named_here_is_one_of_metrics() {
        let known: Vec<_> = local::prometheus::names().collect();
        let mut dispatching = state();
        dispatching.settings.dispatch = true;
        let numbers = parts(&dispatching).into_iter().flat_map(|part| part.numbers);
        let totals = numbers.map(|number| number.key).filter(|key| key.ends_with("_total"));
        let names: Vec<_> = totals.collect();
        assert!(names.len() > 12, "{names:?}");
        for name in names {
            assert!(known.contains(&format!("tidegate_{name}")), "{name}");
        }
    }
}
