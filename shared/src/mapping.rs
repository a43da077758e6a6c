//! The consumer's event source mapping as Tidegate deploys it. The local run follows these rules, `tidegate doctor`
//! compares a deployed mapping with them.

use std::time::Duration;

use crate::limits::LAMBDA_PAYLOAD_BYTES;

/// Where the mapping starts on a shard that it has not read before: at the oldest record.
pub const STARTING_POSITION: &str = "TRIM_HORIZON";

/// The consumer's time-out.
pub const CONSUMER_TIMEOUT: Duration = Duration::from_mins(1);

/// The settings of `CreateEventSourceMapping` that concern one shard.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most records in one invocation: from 1 to 10,000.
    pub batch_size: usize,
    /// How long records are gathered. Zero: a batch starts as soon as there is a record.
    pub batching_window: Duration,
    /// Invocations of one and the same batch after its first one; `None` is unlimited.
    pub maximum_retry_attempts: Option<u32>,
    /// Older records go to the failure destination; `None` is unlimited.
    pub maximum_record_age: Option<Duration>,
    /// Split a batch that failed in two.
    pub bisect_on_error: bool,
    /// Read `batchItemFailures` from the response.
    pub report_batch_item_failures: bool,
    /// Largest event, in bytes of JSON.
    pub payload_limit: usize,
    /// Waits between attempts.
    pub backoff: Backoff,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            batch_size: 10_000,
            batching_window: Duration::from_secs(3),
            maximum_retry_attempts: Some(30),
            maximum_record_age: Some(Duration::from_hours(6)),
            bisect_on_error: true,
            report_batch_item_failures: true,
            payload_limit: LAMBDA_PAYLOAD_BYTES,
            backoff: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(30) },
        }
    }
}

/// Exponential waits, doubling from `first` to `cap`. Ours: AWS says neither how long Lambda waits nor whether it does.
/// No jitter, since each shard has one poller.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The wait after the `failures`th failure in a row, counted from 1.
    pub fn after(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.cap)
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
}
