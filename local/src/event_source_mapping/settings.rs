//! The settings of an event source mapping. The defaults are the values that Tidegate deploys.

use std::time::Duration;

use shared::id::Ids;
pub use shared::mapping::Rules;
use uuid::Uuid;

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
    /// Make the ends of keys at the failure destination.
    pub ids: Ids,
}
