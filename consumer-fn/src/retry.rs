//! Retries of calls to a store, within a time limit.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use shared::backoff::Backoff;
use tokio::time::{Instant, sleep_until, timeout_at};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(2) };

/// Time is up without a success. The last attempt may still have had its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed after {attempts} attempts: {last}")]
pub(crate) struct OutOfTime {
    attempts: u32,
    last: String,
}

/// Waits after `failures` failures in a row, but not beyond `until`.
pub(crate) async fn back_off(failures: u32, until: Instant) {
    sleep_until(until.min(Instant::now() + BACKOFF.jittered(failures))).await;
}

/// Makes attempts until one succeeds or `until` comes. An attempt that still runs then is dropped: its effect must be safe
/// to repeat.
pub(crate) async fn retry<T, E: Display, F: Future<Output = Result<T, E>>>(
    until: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, OutOfTime> {
    let mut attempts = 0;
    let mut last = "no time was left".to_owned();
    while Instant::now() < until {
        attempts += 1;
        match timeout_at(until, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => "no answer in time".clone_into(&mut last),
        }
        back_off(attempts, until).await;
    }
    Err(OutOfTime { attempts, last })
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_dropped_when_time_is_up() {
        let until = Instant::now() + Duration::from_secs(1);
        let hang = std::future::pending::<Result<(), String>>;
        let error = retry(until, hang).await.unwrap_err();
        assert_eq!(error.to_string(), "failed after 1 attempts: no answer in time");
        assert_eq!(Instant::now(), until);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_retried_until_one_attempt_succeeds() {
        let mut left = 3;
        let attempt = || {
            left -= 1;
            ready(if left == 0 { Ok("done") } else { Err("throttled") })
        };
        assert_eq!(retry(Instant::now() + Duration::from_secs(9), attempt).await, Ok("done"));
    }
}
