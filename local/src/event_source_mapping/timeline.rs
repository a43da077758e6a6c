//! The clock of a mapping.

use shared::time::{Clock, Timestamp};
use tokio::time::Instant;

/// Wall time at the start, plus the time that tokio's clock has measured since. It never jumps, and a paused test
/// runtime can stop or advance it. It stops while the machine sleeps, which only makes records look younger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    origin: Timestamp,
    started: Instant,
}

impl Timeline {
    pub(super) fn starting_at(clock: &Clock) -> Self {
        Self { origin: clock.now(), started: Instant::now() }
    }

    pub(super) fn now(self) -> Timestamp {
        self.origin.plus(self.started.elapsed())
    }
}
