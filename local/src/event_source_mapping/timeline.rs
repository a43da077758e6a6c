//! The time that a mapping goes by.

use shared::time::{Clock, Timestamp};
use tokio::time::Instant;

/// Wall time at the start, carried on by tokio's clock: it never jumps, and stands still or runs ahead with a paused
/// test runtime. While a machine sleeps it falls behind, which only makes records look younger.
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
