//! The settings of an event source mapping. The defaults are the values that Tidegate deploys.

use std::time::Duration;

use uuid::Uuid;

/// The largest event a synchronous invocation takes, in bytes (6 MiB).
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_LIMIT: usize = 6_291_456;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Part of the keys at the failure destination.
    pub mapping_id: Uuid,
    pub function_arn: String,
    /// Its fourth field is the `awsRegion` of the records.
    pub stream_arn: String,
    /// The function's execution role: `invokeIdentityArn` in the records.
    pub role_arn: String,
    pub rules: Rules,
    /// Between two reads of a shard that has no more records. Lambda: one second.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#kinesis-polling-and-batching>
    pub poll_interval: Duration,
    /// Between two listings of the shards; the end of a shard lists them at once. Our choice: AWS gives no number.
    pub discovery_interval: Duration,
}

/// The settings of `CreateEventSourceMapping` that concern one shard.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most records in one invocation: from 1 to 10,000.
    pub batch_size: usize,
    /// How long records are gathered. Zero: a batch is sent as soon as there is a record.
    pub batching_window: Duration,
    /// Invocations of the same batch after its first one; `None` is unlimited.
    pub maximum_retry_attempts: Option<u32>,
    /// Older records are discarded; `None` is unlimited.
    pub maximum_record_age: Option<Duration>,
    pub bisect_on_error: bool,
    /// Whether `batchItemFailures` is read from the response.
    pub report_batch_item_failures: bool,
    /// Largest event, in bytes of JSON.
    pub payload_limit: usize,
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
            payload_limit: PAYLOAD_LIMIT,
            backoff: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(30) },
        }
    }
}

/// Waits that double from `first` to `cap`. Our choice: AWS documents no wait. There is no jitter, because a shard has
/// one poller.
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
