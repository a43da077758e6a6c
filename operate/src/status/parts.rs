//! Which numbers are shown of each part of the pipeline: those of the cards of the page (`local/src/page/web/pipeline.js`), in their
//! order.

use std::time::Duration;

use super::State;
use super::history::History;
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
    let now = &state.history;
    vec![
        ingest(now),
        refused(now),
        stream(state),
        spill(now),
        consumer(state),
        quarantine(now),
        items(now),
        dispatch(state),
        archive(now),
        freshness(state),
    ]
}

/// The last value of a total or a gauge.
fn total(now: &History, name: &'static str, around: &str) -> Number {
    number(name, now.value(name), Unit::Count, around)
}

fn rate(now: &History, key: &'static str, name: &str, unit: Unit, around: &str) -> Number {
    number(key, now.rate(name), unit, around)
}

/// Of the last minute.
fn lately(now: &History, key: &'static str, name: &str, around: &str) -> Number {
    number(key, now.grown(name), Unit::Count, around)
}

fn ingest(now: &History) -> Part {
    let numbers = vec![
        rate(now, "requests_per_second", "requests_received_total", Unit::Count, "{} requests/s"),
        rate(now, "events_per_second", "events_accepted_total", Unit::Count, "{} events/s accepted"),
        rate(now, "bytes_per_second", "bytes_accepted_total", Unit::Bytes, "{}/s"),
        total(now, "events_accepted_total", &format!("{{}} accepted {}", now.since("in all"))),
    ];
    Part { name: "ingest", numbers, line: now.rates("requests_received_total") }
}

fn refused(now: &History) -> Part {
    let all = REFUSALS.iter().map(|(name, _)| now.grown(name)).sum::<f64>();
    let all = number("refused_in_the_last_minute", all, Unit::Count, "{} in the last minute");
    let by_reason = REFUSALS.iter().map(|(name, around)| total(now, name, around));
    let unstored = total(now, "events_refused_lately", "not stored (503) {}").of_trouble();
    let numbers = [all].into_iter().chain(by_reason).chain([unstored]).collect();
    Part { name: "refused", numbers, line: sum(REFUSALS.iter().map(|(name, _)| now.rates(name))) }
}

/// Of the shards now: the gauges of the same names are up to two seconds older.
fn stream(state: &State) -> Part {
    if let Some(open) = state.open_shards {
        return stream_of_stack(&state.history, open);
    }
    let waiting: u64 = state.shards.iter().map(|shard| shard.waiting).sum();
    let oldest = state.shards.iter().filter_map(|shard| shard.oldest_age_seconds).reduce(f64::max);
    #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
    let waiting = number("records_waiting", waiting as f64, Unit::Count, "{} records waiting");
    let age = oldest.map(|seconds| seconds * 1_000.0);
    let shown = number("oldest_record_age_seconds", age, Unit::Time, "oldest {}");
    let numbers = vec![waiting, Number { value: oldest, ..shown }];
    Part { name: "stream", numbers, line: state.history.gauges("records_waiting") }
}

/// Of the last minute in which the consumer read something. How many records wait is not known.
fn stream_of_stack(now: &History, open: usize) -> Part {
    let age = now.gauges("oldest_record_age_seconds");
    let oldest = age.last().copied().flatten();
    let shown =
        number("oldest_record_age_seconds", oldest.map(|seconds| seconds * 1_000.0), Unit::Time, "oldest {}");
    #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
    let shards = number("open_shards", open as f64, Unit::Count, "{} open shards");
    let numbers = vec![
        Number { value: oldest, ..shown },
        rate(now, "records_per_second", "records_arrived_total", Unit::Count, "{} records/s"),
        shards,
        lately(now, "records_throttled_in_the_last_minute", "records_throttled_total", "throttled {}")
            .of_trouble(),
    ];
    Part { name: "stream", numbers, line: age }
}

fn spill(now: &History) -> Part {
    let numbers = vec![
        total(now, "spill_depth", "{} messages waiting").of_trouble(),
        total(now, "events_spilled_lately", "spilled lately {}"),
        total(now, "events_spilled_total", &format!("{} {{}}", now.since("in all"))),
        total(now, "spill_dead_letters", "dead letters {}").of_trouble(),
    ];
    Part { name: "spill", numbers, line: now.gauges("spill_depth") }
}

fn consumer(state: &State) -> Part {
    let now = &state.history;
    let events = now.quantile("batch_events", "0.5");
    let mut numbers = vec![
        lately(now, "batches_in_the_last_minute", "batch_events_count", "{} batches in the last minute"),
        number("batch_events_p50", events, Unit::Count, "{} events in a batch (p50)"),
        total(now, "batch_failures", "failures of a batch {}").of_trouble(),
        total(now, "batches_failed_total", "failed for good {}").of_trouble(),
    ];
    // AWS has no metric of it.
    if !state.is_of_stack() {
        numbers.push(total(now, "consumer_restarts_total", "restarts {}").of_trouble());
    }
    Part { name: "consumer", numbers, line: now.rates("batch_events_count") }
}

fn quarantine(now: &History) -> Part {
    let name = "events_quarantined_total";
    let numbers = vec![
        total(now, name, &format!("{{}} {}", now.since("since the start"))),
        lately(now, "quarantined_in_the_last_minute", name, "{} in the last minute").of_trouble(),
        total(now, "quarantine_objects_written_total", "objects written {}"),
    ];
    Part { name: "quarantine", numbers, line: now.rates(name) }
}

fn items(now: &History) -> Part {
    let numbers = vec![
        rate(now, "stored_per_second", "events_stored_total", Unit::Count, "{} events stored/s"),
        total(now, "events_stored_total", &format!("{{}} stored {}", now.since("in all"))),
        total(now, "events_deduplicated_total", "deduplicated {}"),
        total(now, "events_redelivered_total", "redelivered {}"),
    ];
    Part { name: "items", numbers, line: now.rates("events_stored_total") }
}

/// Without numbers where it is off.
fn dispatch(state: &State) -> Part {
    let now = &state.history;
    let line = now.gauges("dispatch_depth");
    if !state.settings.dispatch {
        return Part { name: "dispatch", numbers: Vec::new(), line };
    }
    let numbers = vec![
        total(now, "dispatch_depth", "{} events waiting"),
        rate(now, "dispatched_per_second", "events_dispatched_total", Unit::Count, "{}/s dispatched"),
        total(now, "dispatch_retries_total", "retries {}"),
        total(now, "dispatch_dead_letters", "dead letters {}").of_trouble(),
    ];
    Part { name: "dispatch", numbers, line }
}

fn archive(now: &History) -> Part {
    let size = now.quantile("object_bytes", "0.5");
    let numbers = vec![
        lately(now, "objects_in_the_last_minute", "objects_written_total", "{} objects in the last minute"),
        total(now, "objects_written_total", &format!("written {} {{}}", now.since("in all"))),
        number("object_bytes_p50", size, Unit::Bytes, "size {} (p50)"),
        total(now, "text_parts_written_total", "parts of large texts {}"),
    ];
    Part { name: "archive", numbers, line: now.rates("objects_written_total") }
}

fn freshness(state: &State) -> Part {
    let quantile = |key, quantile, around: &str| {
        number(key, state.history.quantile("freshness_milliseconds", quantile), Unit::Time, around)
    };
    let promised = state.settings.freshness_ms;
    let around = format!("p99 {{}}, promised {}", Unit::Time.show(promised));
    let mut freshest = quantile("freshness_p99_milliseconds", "0.99", &around);
    freshest.is_bad = freshest.value.is_some_and(|p99| p99 > promised);
    let numbers = vec![
        freshest,
        quantile("freshness_p50_milliseconds", "0.5", "p50 {}"),
        quantile("freshness_longest_milliseconds", "1", "longest {}"),
    ];
    Part { name: "freshness", numbers, line: state.history.quantiles("freshness_milliseconds", "0.99") }
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
