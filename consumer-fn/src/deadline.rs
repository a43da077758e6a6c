//! Divides the time of an invocation, so that finished work is also saved and answered.

use std::time::Duration;

use tokio::time::Instant;

/// The least time reserved at the end of an invocation.
const LEAST_MARGIN: Duration = Duration::from_secs(2);

/// The time left if the runtime does not say: the time-out of the deployed function.
const ASSUMED: Duration = Duration::from_mins(1);

/// The end of an invocation, and the time limits of its stages.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    /// The end of work: 10 % of the time, but at least 2 s, before the end of the invocation.
    work: Instant,
    /// The end of saving; the rest of the time is for the answer.
    save: Instant,
}

impl Deadline {
    /// The invocation is over after `remaining`.
    pub fn after(remaining: Duration) -> Self {
        let start = Instant::now();
        let margin = (remaining / 10).max(LEAST_MARGIN);
        Self {
            start,
            work: start + remaining.saturating_sub(margin),
            save: start + remaining.saturating_sub(margin / 10),
        }
    }

    /// For an invocation whose end is unknown.
    pub fn unknown() -> Self {
        Self::after(ASSUMED)
    }

    /// Until when claim checks are fetched. A third of the time: one missing claim check must leave time to store the records
    /// before it.
    pub(crate) fn resolve(&self) -> Instant {
        self.start + (self.work - self.start) / 3
    }

    /// Until when simulated work is done: half-way between fetching and writing large texts.
    pub(crate) fn simulate(&self) -> Instant {
        self.start + (self.work - self.start) * 5 / 12
    }

    /// Until when large archive lines are written.
    pub(crate) fn texts(&self) -> Instant {
        self.start + (self.work - self.start) / 2
    }

    /// Until when items are inserted.
    pub(crate) fn items(&self) -> Instant {
        self.work
    }

    /// Until when quarantine is written: half the time for saving, the archive needs the other.
    pub(crate) fn quarantine(&self) -> Instant {
        self.work + (self.save - self.work) / 2
    }

    /// Until when the archive is written.
    pub(crate) fn archive(&self) -> Instant {
        self.save
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_a_tenth_or_two_seconds_before_the_end() {
        let margins = |seconds| {
            let deadline = Deadline::after(Duration::from_secs(seconds));
            let end = deadline.start + Duration::from_secs(seconds);
            (end - deadline.work, end - deadline.save)
        };
        assert_eq!(margins(60), (Duration::from_secs(6), Duration::from_millis(600)));
        assert_eq!(margins(10), (Duration::from_secs(2), Duration::from_millis(200)));
        assert_eq!(margins(1).0, Duration::from_secs(1), "with less than the margin left, nothing is begun");
    }
}
