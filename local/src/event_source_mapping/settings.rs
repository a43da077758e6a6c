//! What an event source mapping can be told, with the values that Tidegate deploys as defaults.

use std::time::Duration;

pub use shared::mapping::Rules;
use uuid::Uuid;

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
