//! Divides the time of an invocation, so that finished work is also saved and answered.

use std::time::Duration;

use shared::config::Config;
use tokio::time::Instant;

/// The bounds of the time that is reserved at the end of an invocation, for quarantine, archive and answer. What these need
/// does not grow with the time-out.
const LEAST_MARGIN: Duration = Duration::from_secs(2);
const MOST_MARGIN: Duration = Duration::from_secs(10);

/// The time limits of the stages of an invocation. Where work is simulated, the stages before and after it share the reserve
/// of [`shared::config::Consumer::reserve`], so that the longest work fits between them.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// For fetching claim checks. A third of the time: one missing claim check must leave time to store the records before it.
    pub(crate) resolve: Instant,
    /// For simulated work. It is later than the end of the longest work that begins at `resolve`, by half of the time
    /// between fetching claim checks and writing large archive lines: the invocation may have begun late.
    pub(crate) simulate: Instant,
    /// For writing large archive lines.
    pub(crate) texts: Instant,
    /// For inserting items: 10 % of the time, but 2 s to 10 s, before the end of the invocation. Half of it is enough where the table
    /// refuses items and a record is done.
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
    pub fn after(remaining: Duration, config: &Config) -> Self {
        // What an invocation has less than its time-out, the simulated work loses: what is on its way must be stored.
        let storing = match config.simulated_work() {
            Some(_) => remaining.min(config.consumer.reserve()),
            None => remaining,
        };
        let start = Instant::now();
        let worked = start + remaining.saturating_sub(storing);
        let margin = (storing / 10).clamp(LEAST_MARGIN, MOST_MARGIN);
        let work = storing.saturating_sub(margin);
        let (items, archive) = (worked + work, worked + storing.saturating_sub(margin / 10));
        Self {
            resolve: start + work / 3,
            simulate: worked + work * 5 / 12,
            texts: worked + work / 2,
            items,
            quarantine: items + (archive - items) / 2,
            dispatch: items + (archive - items) * 3 / 4,
            archive,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(timeout_seconds: u64, simulate_work: f64) -> Config {
        let mut config = Config::default();
        config.consumer.timeout_seconds = timeout_seconds;
        config.transform.simulate_work = simulate_work;
        config
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_two_to_ten_seconds_before_the_end() {
        let margins = |seconds| {
            let deadline = Deadline::after(Duration::from_secs(seconds), &Config::default());
            let end = Instant::now() + Duration::from_secs(seconds);
            (end - deadline.items, end - deadline.archive)
        };
        assert_eq!(margins(900), (Duration::from_secs(10), Duration::from_secs(1)));
        assert_eq!(margins(60), (Duration::from_secs(6), Duration::from_millis(600)));
        assert_eq!(margins(10), (Duration::from_secs(2), Duration::from_millis(200)));
        assert_eq!(margins(1).0, Duration::from_secs(1), "with less than the margin left, nothing is begun");
    }

    #[tokio::test(start_paused = true)]
    async fn beside_simulated_work_the_stages_have_half_of_the_time_and_at_most_a_minute() {
        let limits = |timeout| {
            let start = Instant::now();
            let deadline = Deadline::after(Duration::from_secs(timeout), &config(timeout, 0.05));
            [deadline.resolve, deadline.simulate, deadline.texts, deadline.items, deadline.archive]
                .map(|until| (until - start).as_millis())
        };
        assert_eq!(limits(60), [9_000, 41_250, 43_500, 57_000, 59_700]);
        assert_eq!(limits(900), [18_000, 862_500, 867_000, 894_000, 899_400]);
    }

    proptest! {
        /// The invocation may begin up to a second late.
        #[test]
        fn the_longest_work_fits_after_the_slowest_claim_checks_and_leaves_time_to_store(
            timeout in 30..=900_u64, late_ms in 0..=1_000_u64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let config = config(timeout, 0.05);
            let remaining = Duration::from_millis(timeout * 1_000 - late_ms);
            let (deadline, start) = runtime.unwrap().block_on(async { (Deadline::after(remaining, &config), Instant::now()) });
            prop_assert!(deadline.resolve + config.consumer.longest_work() <= deadline.simulate);
            prop_assert!(deadline.simulate + Duration::from_secs(1) <= deadline.texts);
            prop_assert!(deadline.texts + Duration::from_secs(6) <= deadline.items);
            prop_assert!(deadline.items + Duration::from_secs(1) <= deadline.archive);
            prop_assert!(deadline.archive < start + remaining);
        }
    }
}
