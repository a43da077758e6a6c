//! What an event source mapping can be told, with the values that Tidegate deploys as defaults.

use std::time::Duration;

use shared::backoff::Backoff;
use shared::limits;
use uuid::Uuid;

/// The largest event a synchronous invocation takes, in bytes (6 MiB).
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_LIMIT: usize = limits::LAMBDA_PAYLOAD_BYTES;

/// A mapping's identity, rules and pace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names the mapping in the keys of its failure records.
    pub mapping_id: Uuid,
    /// The function that is invoked.
    pub function_arn: String,
    /// The stream that is read; its fourth field is the `awsRegion` of the records.
    pub stream_arn: String,
    /// The function's execution role, which records carry as `invokeIdentityArn`.
    pub role_arn: String,
    /// How batches are made, and what a failure means.
    pub rules: Rules,
    /// Between two reads of a shard whose tip has been reached. Lambda: one second.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#kinesis-polling-and-batching>
    pub poll_interval: Duration,
    /// Between two looks for new shards. A shard's end is a reason to look at once. Ours: AWS does not say.
    pub discovery_interval: Duration,
}

/// The settings of `CreateEventSourceMapping` that concern one shard.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html>
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most records in one invocation: from 1 to 10,000.
    pub batch_size: usize,
    /// How long records are gathered; zero means that a batch goes as soon as there is a record.
    pub batching_window: Duration,
    /// Invocations of one and the same batch after its first one; `None` is unlimited.
    pub maximum_retry_attempts: Option<u32>,
    /// Records older than this are given up; `None` is unlimited.
    pub maximum_record_age: Option<Duration>,
    /// Split a batch that failed in two.
    pub bisect_on_error: bool,
    /// Read `batchItemFailures` from the response.
    pub report_batch_item_failures: bool,
    /// Largest event, in bytes of JSON.
    pub payload_limit: usize,
    /// Waits between attempts. AWS says neither how long Lambda waits nor whether it does. Without jitter, since one
    /// poller per shard never meets another.
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
