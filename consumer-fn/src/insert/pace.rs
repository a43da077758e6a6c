//! How many items go into a round of calls, and how long to wait before the next one.
//!
//! A table takes what its capacity allows and refuses the rest. A refused write is free, but sending it takes time, which is billed. So
//! after a refusal a round has little more than what the last one stored. It grows as soon as everything is taken.

use std::time::Duration;

use shared::backoff::Backoff;
use tokio::time::{Instant, sleep_until};

use crate::retry::back_off;

/// A full batch of events that came one a record. As long as nothing is refused, a round is as wide as it can be.
const MOST_ITEMS: usize = 10_000;

/// The wait while the store takes a part, and what jitter adds to it. About the same each time, since a table then takes about as much
/// each time.
const STEADY: Duration = Duration::from_millis(200);
const STEADY_JITTER: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_millis(100) };

/// So many rounds after a failure wait, too, although everything was taken: a table takes what it kept unused, and then little.
const ROUNDS_AFTER: u32 = 6;

#[derive(Debug)]
pub(super) struct Pace {
    items: usize,
    /// Rounds with failures, in a row.
    failures: u32,
    /// Whether the last failure came after a while without: it may pass at once.
    is_first: bool,
    /// How many rounds are still to wait.
    slow: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { items: MOST_ITEMS, failures: 0, is_first: false, slow: 0 }
    }

    /// The most items of the next round.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Waits before a round, but not beyond `until`.
    pub(super) async fn wait(&self, until: Instant) {
        if self.failures > 0 && (self.is_first || self.items == 1) {
            back_off(self.failures, until).await;
        } else if self.slow > 0 {
            sleep_until(until.min(Instant::now() + STEADY + STEADY_JITTER.jittered(1))).await;
        }
    }

    /// Everything of a round was decided about.
    pub(super) fn all_taken(&mut self) {
        let items = (2 * self.items).min(MOST_ITEMS);
        *self = Self { items, failures: 0, is_first: false, slow: self.slow.saturating_sub(1) };
    }

    /// Of the round's items, `taken` were decided about, others failed.
    pub(super) fn some_failed(&mut self, taken: usize) {
        let items = (taken + taken / 4 + 1).min(MOST_ITEMS);
        *self = Self { items, failures: self.failures + 1, is_first: self.slow == 0, slow: ROUNDS_AFTER };
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rates of some thousand items"
)]
mod tests {
    use super::*;

    /// Inserts `items` into a table that takes `rate` of them a second, and keeps the capacity of one second. Returns the seconds, and
    /// how often an item was refused.
    async fn insert(mut items: usize, rate: f64) -> (f64, usize) {
        let start = Instant::now();
        let until = start + Duration::from_hours(1);
        let (mut pace, mut last, mut capacity) = (Pace::new(), start, rate);
        let mut refused = 0;
        while items > 0 {
            pace.wait(until).await;
            let sent = pace.items().min(items);
            tokio::time::sleep(Duration::from_millis(15)).await;
            capacity = (capacity + last.elapsed().as_secs_f64() * rate).min(rate);
            last = Instant::now();
            let taken = sent.min(capacity as usize);
            capacity -= taken as f64;
            items -= taken;
            refused += sent - taken;
            if taken == sent {
                pace.all_taken();
            } else {
                pace.some_failed(taken);
            }
        }
        (start.elapsed().as_secs_f64(), refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_is_used_to_its_rate_and_refuses_few_writes() {
        fastrand::seed(1);
        for (items, rate) in [(1_000, 10.0), (3_000, 100.0), (10_000, 870.0), (100_000, 5_000.0)] {
            let (seconds, refused) = insert(items, rate).await;
            let use_of_table = items as f64 / rate / seconds;
            println!("{rate} items/s: {:.0} % used, {refused} refused", 100.0 * use_of_table);
            assert!(use_of_table > 0.9, "{rate}: {use_of_table}");
            // Nearly all of the first round. Then a few, or several a second.
            assert!(refused < MOST_ITEMS.min(items) + items / 2 + 10 * seconds as usize, "{rate}: {refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_nothing_is_asked_for_one_item_every_second_or_so() {
        fastrand::seed(1);
        let until = Instant::now() + Duration::from_mins(1);
        let (mut pace, mut rounds) = (Pace::new(), 0);
        while Instant::now() < until {
            pace.some_failed(0);
            pace.wait(until).await;
            rounds += 1;
            assert_eq!(pace.items(), 1);
        }
        assert!((40..90).contains(&rounds), "{rounds}");
    }
}
