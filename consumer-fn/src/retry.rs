//! Trying again what failed for now, with exponential back-off and full jitter.
//! ("Exponential Backoff And Jitter", AWS Architecture Blog)

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

/// The longest first wait; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Time is up and it has not succeeded. What happened is not known to have had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("given up after {attempts} attempts: {last}")]
pub(crate) struct GaveUp {
    attempts: u32,
    last: String,
}

/// How long to wait before an attempt: a number between zero and a bound that doubles.
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    /// Waits that follow from `seed`. Seeds differ between shards and invocations, so that they do not come in step.
    pub(crate) fn new(seed: &[u8]) -> Self {
        // FNV-1a
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(AtomicU64::new(seed.iter().fold(0xcbf2_9ce4_8422_2325, hash)))
    }

    /// How long to wait after `failures` failures in a row.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        let bound = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
        bound.mul_f64(self.next())
    }

    /// A number from 0 to 1, by `SplitMix64`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn next(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Makes attempts until one succeeds or `until` comes. An attempt may be given up while it runs: whatever it does
/// must be safe to do again.
pub(crate) async fn retry<T, E: Display, F: Future<Output = Result<T, E>>>(
    until: Instant,
    jitter: &Jitter,
    mut attempt: impl FnMut() -> F,
) -> Result<T, GaveUp> {
    let mut attempts = 0;
    let mut last = "no time was left".to_owned();
    while Instant::now() < until {
        attempts += 1;
        match timeout_at(until, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => "no answer in time".clone_into(&mut last),
        }
        sleep_until(until.min(Instant::now() + jitter.wait(attempts))).await;
    }
    Err(GaveUp { attempts, last })
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[test]
    fn waits_are_spread_over_a_bound_that_doubles() {
        let jitter = Jitter::new(b"seed");
        for failures in 1..40 {
            let bound = FIRST_WAIT.mul_f64(2_f64.powi(failures - 1)).min(LONGEST_WAIT);
            let waits: Vec<_> = (0..100).map(|_| jitter.wait(failures.unsigned_abs())).collect();
            assert!(waits.iter().all(|wait| *wait <= bound));
            assert!(
                waits.iter().any(|wait| *wait < bound / 4) && waits.iter().any(|wait| *wait > bound / 4 * 3)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_given_up_when_time_is_up() {
        let until = Instant::now() + Duration::from_secs(1);
        let hang = std::future::pending::<Result<(), String>>;
        let given_up = retry(until, &Jitter::new(b""), hang).await.unwrap_err();
        assert_eq!(given_up.to_string(), "given up after 1 attempts: no answer in time");
        assert_eq!(Instant::now(), until);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_tried_again_until_one_succeeds() {
        let mut left = 3;
        let attempt = || {
            left -= 1;
            ready(if left == 0 { Ok("done") } else { Err("throttled") })
        };
        assert_eq!(
            retry(Instant::now() + Duration::from_secs(9), &Jitter::new(b""), attempt).await,
            Ok("done")
        );
    }
}
