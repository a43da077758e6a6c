//! The consumer's event source mapping as Tidegate deploys it. The local run follows these rules, and `tidegate doctor`
//! compares a deployed mapping with them.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::config::{Archive, Config};
use crate::limits::LAMBDA_PAYLOAD_BYTES;

/// Where the mapping starts on a shard that it has not read before: at the oldest record.
pub const STARTING_POSITION: &str = "TRIM_HORIZON";

/// The settings of `CreateEventSourceMapping` that concern one shard.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
#[derive(Clone, Debug)]
pub struct Rules {
    /// The most records in one invocation: 1 to 10,000.
    pub batch_size: usize,
    /// How long records are gathered. If it is zero, a batch starts as soon as there is a record.
    pub batching_window: Duration,
    /// How often the same batch is retried; `None` is unlimited.
    pub maximum_retry_attempts: Option<u32>,
    /// Older records go to the failure destination; `None` is unlimited.
    pub maximum_record_age: Option<Duration>,
    /// Split a batch that failed in two.
    pub bisect_on_error: bool,
    /// Read `batchItemFailures` from the response.
    pub report_batch_item_failures: bool,
    /// The largest event, in bytes of JSON.
    pub payload_limit: usize,
    /// Waits between attempts. AWS does not document whether and how long Lambda waits. Without jitter: each shard has one
    /// poller.
    pub backoff: Backoff,
}

impl Rules {
    pub fn new(config: &Config) -> Self {
        Self { batching_window: config.archive.window(), ..Self::default() }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            batch_size: 10_000,
            batching_window: Archive::default().window(),
            maximum_retry_attempts: Some(30),
            maximum_record_age: Some(Duration::from_hours(6)),
            bisect_on_error: true,
            report_batch_item_failures: true,
            payload_limit: LAMBDA_PAYLOAD_BYTES,
            backoff: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(30) },
        }
    }
}
