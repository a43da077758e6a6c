//! Exponential back-off: how long to wait after failures in a row.

use std::time::Duration;

/// Waits that double from `first` up to `cap`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `failures`th failure in a row, counted from 1. For callers that never retry in step with others.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The same with full jitter: a random wait between zero and [`Backoff::after`], so that processes that failed at the
    /// same time do not retry at the same time ("Exponential Backoff And Jitter", AWS Architecture Blog).
    pub fn jittered(self, failures: u32) -> Duration {
        self.after(failures).mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(3) };
        let waits: Vec<_> = [1, 2, 3, 4, u32::MAX].map(|n| backoff.after(n).as_millis()).into();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
    }

    #[test]
    fn jitter_spreads_waits_over_the_whole_range() {
        fastrand::seed(1);
        let backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(2) };
        for failures in 1..40 {
            let bound = backoff.after(failures);
            let waits: Vec<_> = (0..100).map(|_| backoff.jittered(failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound));
            assert!(
                waits.iter().any(|wait| *wait < bound / 4) && waits.iter().any(|wait| *wait > bound / 4 * 3)
            );
        }
    }
}
