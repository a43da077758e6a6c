//! A rate limit in events a second, for portions of events.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Most events in a portion. If the process is killed, so many events may be sent twice.
const PORTION: usize = 500;

/// Portions are small enough that the rate holds within each second.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Events a second; `None` is unlimited.
    rate: Option<u32>,
    /// When the next portion may go.
    next: Instant,
}

impl Pace {
    pub(crate) fn new(rate: Option<u32>) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Most events of a portion.
    pub(crate) fn portion(&self) -> usize {
        self.rate.map_or(PORTION, |rate| PORTION.min(rate as usize).max(1))
    }

    /// Returns when a portion of `events` may go.
    pub(crate) async fn wait(&mut self, events: usize) {
        sleep_until(self.next).await;
        if let Some(rate) = self.rate {
            let events = u32::try_from(events).unwrap_or(u32::MAX);
            let cost = Duration::from_secs(1).mul_f64(f64::from(events) / f64::from(rate.max(1)));
            self.next = self.next.max(Instant::now()) + cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_holds_from_the_first_second_on() {
        let started = Instant::now();
        let mut pace = Pace::new(Some(10));
        let mut passed = 0;
        while passed < 100 {
            assert_eq!(pace.portion(), 10);
            pace.wait(10).await;
            passed += 10;
            assert!(
                passed <= 10 + 10 * started.elapsed().as_secs(),
                "{passed} within {:?}",
                started.elapsed()
            );
        }
        assert_eq!(started.elapsed().as_secs(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let started = Instant::now();
        let mut pace = Pace::new(None);
        pace.wait(1_000_000).await;
        pace.wait(1).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
