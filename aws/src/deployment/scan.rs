//! How fast the items table is read.
//!
//! A page of 1 MB costs 256 read units. A table with 10 of them a second answers it from what it has saved up, then refuses all
//! calls for half a minute, also those of the pipeline. So once it refuses, pages are as large as what it gives in about a second,
//! and come at that rate.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::operation::scan::ScanOutput;
use tokio::time::Instant;

/// Read units of an item, until a page has told it: 1 KB, strongly consistent.
const ITEM_UNITS: f64 = 0.25;
/// The rate after a refusal, and after a page that was read.
const SLOWER: f64 = 0.5;
const FASTER: f64 = 1.1;
/// Nothing is slower, in read units a second.
const LEAST: f64 = 1.0;

#[derive(Debug)]
pub(super) struct ScanPace {
    /// Read units a second. `None` while the table has refused nothing.
    rate: Option<f64>,
    item_units: f64,
    /// When reading began, and what was read since, in read units.
    begun: Instant,
    read: f64,
    /// No page before this time.
    next: Instant,
}

impl Default for ScanPace {
    fn default() -> Self {
        let now = Instant::now();
        Self { rate: None, item_units: ITEM_UNITS, begun: now, read: 0.0, next: now }
    }
}

impl ScanPace {
    /// The most items of the next page; `None` is what fits 1 MB.
    #[expect(clippy::cast_possible_truncation, reason = "it is at most 10,000")]
    fn limit(&self) -> Option<i32> {
        self.rate.map(|rate| (rate / self.item_units).clamp(1.0, 10_000.0) as i32)
    }

    fn refused(&mut self) {
        let so_far = self.read / self.begun.elapsed().max(Duration::from_secs(1)).as_secs_f64();
        self.rate = Some((self.rate.unwrap_or(so_far) * SLOWER).max(LEAST));
    }

    /// A page of so many items was read, for so many read units.
    fn read(&mut self, items: f64, units: f64) {
        self.read += units;
        if items > 0.0 {
            self.item_units = (units / items).max(f64::EPSILON);
        }
        if let Some(rate) = &mut self.rate {
            *rate *= FASTER;
            self.next = Instant::now() + Duration::from_secs_f64(units / *rate);
        }
    }
}

/// The most items of the next page, and when it may be read. `failures` is how often it was refused.
pub(super) fn next(pace: &Mutex<ScanPace>, failures: u32) -> (Option<i32>, Instant) {
    let mut pace = locked(pace);
    if failures > 0 {
        pace.refused();
    }
    (pace.limit(), pace.next)
}

/// Notes what a page has cost. Emulators do not say it.
pub(super) fn read(pace: &Mutex<ScanPace>, answer: &ScanOutput) {
    let items = f64::from(answer.scanned_count);
    let said = answer.consumed_capacity.as_ref().and_then(|consumed| consumed.capacity_units);
    locked(pace).read(items, said.unwrap_or(items * ITEM_UNITS));
}

fn locked(pace: &Mutex<ScanPace>) -> MutexGuard<'_, ScanPace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `items` of 1 KB from a table that gives `units` read units a second, and has saved those of five minutes. It answers a
    /// call as long as it has anything left. Returns the seconds, the calls and the refusals.
    async fn scan(items: f64, units: f64) -> (f64, u32, u32) {
        let (pace, begun) = (Mutex::new(ScanPace::default()), Instant::now());
        let (mut left, mut calls, mut refused, mut failures) = (items, 0, 0, 0);
        let (mut saved, mut last) = (300.0 * units, begun);
        while left > 0.0 {
            let (limit, at) = next(&pace, failures);
            tokio::time::sleep_until(at).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            saved = (saved + last.elapsed().as_secs_f64() * units).min(300.0 * units);
            last = Instant::now();
            calls += 1;
            if saved < 0.0 {
                refused += 1;
                failures += 1;
                crate::patience::wait(failures).await;
                continue;
            }
            failures = 0;
            let read = left.min(limit.map_or(1_000.0, f64::from));
            saved -= read * ITEM_UNITS;
            left -= read;
            locked(&pace).read(read, read * ITEM_UNITS);
        }
        (begun.elapsed().as_secs_f64(), calls, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_with_ten_read_units_is_read_to_its_end_at_about_its_rate() {
        fastrand::seed(1);
        let (seconds, calls, refused) = scan(100_000.0, 10.0).await;
        // 25,000 units, of which 3,000 were saved.
        let least = 22_000.0 / 10.0;
        assert!(seconds < 2.0 * least, "{seconds} s instead of {least}");
        assert!(refused * 5 < calls, "{refused} of {calls} calls were refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_refuses_nothing_is_read_in_whole_pages_without_a_wait() {
        let (seconds, calls, refused) = scan(100_000.0, 40_000.0).await;
        assert!((calls, refused) == (100, 0) && seconds < 3.0, "{calls} calls, {refused}, {seconds} s");
    }
}
