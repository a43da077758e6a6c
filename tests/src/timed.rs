//! Requests in real time, and percentiles of how long things took.

use std::time::{Duration, SystemTime};

/// The answer to a request with one event.
#[derive(Debug)]
pub struct TimedAnswer {
    pub id: String,
    pub status: u16,
    pub latency: Duration,
    pub accepted_at: SystemTime,
}

/// The percentile `percent` of the sorted values.
pub fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}

#[expect(clippy::disallowed_methods, reason = "these runs are in real time")]
pub fn now() -> SystemTime {
    SystemTime::now()
}
