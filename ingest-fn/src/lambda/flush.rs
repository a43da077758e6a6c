//! When metrics are written. A metric document is a log line, and one for each request would cost more than the request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::telemetry::EmbeddedMetrics;
use tokio::time::Instant;

/// Least time between two documents, unless one is full.
const INTERVAL: Duration = Duration::from_secs(10);

/// A document is written when this many values wait. It can hold [`EmbeddedMetrics::VALUES`]; the rest is room for the next
/// request.
const VALUES: u64 = EmbeddedMetrics::VALUES as u64 / 2;

/// Writes the metrics of a process.
pub(super) struct Flusher {
    metrics: EmbeddedMetrics,
    flushes: Mutex<Flushes>,
}

impl Flusher {
    pub(super) fn new(metrics: EmbeddedMetrics) -> Self {
        Self { metrics, flushes: Mutex::default() }
    }

    /// After an answer, before Lambda may freeze the sandbox. `recorded` is how many values the fullest distribution got so far.
    pub(super) fn answered(&self, recorded: u64) {
        let mut flushes = self.flushes.lock().unwrap_or_else(PoisonError::into_inner);
        if flushes.is_due(Instant::now(), recorded) {
            self.metrics.flush();
        }
    }
}

#[derive(Debug, Default)]
struct Flushes {
    last: Option<Instant>,
    recorded: u64,
}

impl Flushes {
    /// Whether to write a document now. `recorded` is the number of values so far. A document that is due counts as written.
    /// The first is due at once: a sandbox may serve a single request.
    fn is_due(&mut self, now: Instant, recorded: u64) -> bool {
        let is_late = self.last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        let is_due = is_late || recorded.saturating_sub(self.recorded) >= VALUES;
        if is_due {
            *self = Self { last: Some(now), recorded };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_due_at_first_then_by_time_or_when_half_full() {
        let start = Instant::now();
        let mut flushes = Flushes::default();
        let mut is_due = |seconds, recorded| flushes.is_due(start + Duration::from_secs(seconds), recorded);
        assert!(is_due(0, 1));
        assert!(!is_due(9, 50));
        assert!(is_due(9, 51));
        assert!(!is_due(18, 52));
        assert!(is_due(19, 52));
    }
}
