//! What was seen of the answers: latencies, and how often each answer came.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::answer::Judged;

/// The longest latency that is told apart, in microseconds: longer than a client waits.
const LONGEST_US: u64 = 120_000_000;

#[derive(Debug)]
pub struct Meter {
    /// From the time at which a request was due to the end of its answer.
    latency: Histogram<u64>,
    /// From that time until it was sent: how late this program was.
    late: Histogram<u64>,
    answers: BTreeMap<(bool, String), u64>,
    requests: u64,
    /// Of requests that were answered as accepted; those that were sent again count again.
    events: u64,
    this_second: Histogram<u64>,
    unexpected: u64,
    ended: u64,
    seconds: Vec<Second>,
}

/// What was answered within one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Second {
    /// Since the beginning, at its end. The last one may be shorter.
    pub at_s: f64,
    pub requests: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub unexpected: u64,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

/// All of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    pub took_s: f64,
    pub requests: u64,
    pub requests_per_s: f64,
    pub events_accepted: u64,
    pub latency_ms: Percentiles,
    pub sent_late_ms: Percentiles,
    /// By status and code of the problem.
    pub expected: BTreeMap<String, u64>,
    pub unexpected: BTreeMap<String, u64>,
    pub seconds: Vec<Second>,
}

impl Default for Meter {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order");
        Self {
            latency: histogram(),
            late: histogram(),
            answers: BTreeMap::new(),
            requests: 0,
            events: 0,
            this_second: histogram(),
            unexpected: 0,
            ended: 0,
            seconds: Vec::new(),
        }
    }
}

impl Meter {
    pub(crate) fn note(&mut self, judged: &Judged, latency: Duration, late: Duration) {
        self.latency.saturating_record(micros(latency));
        self.late.saturating_record(micros(late));
        self.this_second.saturating_record(micros(latency));
        self.requests += 1;
        self.events += judged.accepted as u64;
        self.unexpected += u64::from(!judged.is_expected);
        let key = (judged.is_expected, judged.name.clone());
        *self.answers.entry(key).or_default() += 1;
    }

    /// Ends a second, `elapsed` after the beginning. The percentiles of one without answers are 0.
    pub(crate) fn end_second(&mut self, elapsed: Duration) -> Second {
        let second = Second {
            at_s: elapsed.as_secs_f64(),
            requests: self.requests - self.ended,
            p50_ms: millis(&self.this_second, 0.5),
            p99_ms: millis(&self.this_second, 0.99),
            unexpected: std::mem::take(&mut self.unexpected),
        };
        self.ended = self.requests;
        self.this_second.reset();
        self.seconds.push(second);
        second
    }

    pub(crate) fn measured(&self, took: Duration) -> Measured {
        let of = |wanted: bool| {
            let answers = self.answers.iter().filter(|((is_expected, _), _)| *is_expected == wanted);
            answers.map(|((_, name), count)| (name.clone(), *count)).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "a number of requests")]
        let requests_per_s = self.requests as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE);
        Measured {
            took_s: took.as_secs_f64(),
            requests: self.requests,
            requests_per_s,
            events_accepted: self.events,
            latency_ms: percentiles(&self.latency),
            sent_late_ms: percentiles(&self.late),
            expected: of(true),
            unexpected: of(false),
            seconds: self.seconds.clone(),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(LONGEST_US)
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let [p50, p90, p99, p99_9, p99_99, max] =
        [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0].map(|quantile| millis(histogram, quantile));
    Percentiles { p50, p90, p99, p99_9, p99_99, max }
}

#[expect(clippy::cast_precision_loss, reason = "two minutes in microseconds")]
fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}
