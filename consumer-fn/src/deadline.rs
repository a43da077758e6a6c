//! Divides the time of an invocation, so that finished work is also saved and answered.

use std::time::Duration;

use tokio::time::Instant;

/// The least time reserved at the end of an invocation.
const LEAST_MARGIN: Duration = Duration::from_secs(2);

/// The time left if the runtime does not say: the time-out of the deployed function.
const ASSUMED: Duration = Duration::from_mins(1);

/// The time limits of the stages of an invocation.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// For fetching claim checks. A third of the time: one missing claim check must leave time to store the records before it.
    pub(crate) resolve: Instant,
    /// For simulated work: half-way between fetching claim checks and writing large archive lines.
    pub(crate) simulate: Instant,
    /// For writing large archive lines.
    pub(crate) texts: Instant,
    /// For inserting items: 10 % of the time, but at least 2 s, before the end of the invocation.
    pub(crate) items: Instant,
    /// For writing quarantine: half of the time after the items.
    pub(crate) quarantine: Instant,
    /// For the dispatch queue: a quarter of that time.
    pub(crate) dispatch: Instant,
    /// For writing the archive. The rest of the time is for the answer.
    pub(crate) archive: Instant,
}

impl Deadline {
    /// The invocation is over after `remaining`.
    pub fn after(remaining: Duration) -> Self {
        let start = Instant::now();
        let margin = (remaining / 10).max(LEAST_MARGIN);
        let work = remaining.saturating_sub(margin);
        let (items, archive) = (start + work, start + remaining.saturating_sub(margin / 10));
        Self {
            resolve: start + work / 3,
            simulate: start + work * 5 / 12,
            texts: start + work / 2,
            items,
            quarantine: items + (archive - items) / 2,
            dispatch: items + (archive - items) * 3 / 4,
            archive,
        }
    }

    /// For an invocation whose end is unknown.
    pub fn unknown() -> Self {
        Self::after(ASSUMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_a_tenth_or_two_seconds_before_the_end() {
        let margins = |seconds| {
            let deadline = Deadline::after(Duration::from_secs(seconds));
            let end = Instant::now() + Duration::from_secs(seconds);
            (end - deadline.items, end - deadline.archive)
        };
        assert_eq!(margins(60), (Duration::from_secs(6), Duration::from_millis(600)));
        assert_eq!(margins(10), (Duration::from_secs(2), Duration::from_millis(200)));
        assert_eq!(margins(1).0, Duration::from_secs(1), "with less than the margin left, nothing is begun");
    }
}
