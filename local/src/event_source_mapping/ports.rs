//! What a mapping reads and calls, in our own words. The embedded stream and the Runtime API host implement these;
//! so can `GetRecords` and `Invoke` of any AWS endpoint.

use bytes::Bytes;
use shared::time::Timestamp;

use super::failure::FailureRecord;

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Decimal digits, rising within a shard.
    pub sequence_number: String,
    /// What the shard was chosen by.
    pub partition_key: String,
    /// The record's bytes, as they were put.
    pub data: Bytes,
    /// When the stream took it.
    pub arrival: Timestamp,
}

/// One shard of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedShard {
    /// Such as `shardId-000000000000`.
    pub id: String,
    /// The shards it came from: none, one after a split, two after a merge.
    pub parents: Vec<String>,
}

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Most records.
    pub records: usize,
    /// The read ends with the record by which the data adds up to this many bytes or more, so that at least one is
    /// returned if there is one.
    pub bytes: usize,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The records, in order.
    pub records: Vec<Record>,
    /// What lies behind them.
    pub tail: Tail,
}

/// What lies behind the records of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// More records, or unknown: read again at once.
    More,
    /// Nothing yet (`MillisBehindLatest` is 0).
    Tip,
    /// Nothing ever: the shard was split or merged and is read to its end (`NextShardIterator` is null).
    Closed,
}

/// Reads a stream.
pub trait StreamReader: Send + Sync + 'static {
    /// The shards that have records or may get some, in any order; closed ones for as long as they are retained.
    fn shards(&self) -> impl Future<Output = anyhow::Result<Vec<ListedShard>>> + Send;

    /// The records of `shard` behind sequence number `after`, or from its oldest record (`TRIM_HORIZON`) if `None`.
    fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        room: Room,
    ) -> impl Future<Output = anyhow::Result<Read>> + Send;
}

/// Remembers, durably, how far each shard is done.
pub trait Checkpoints: Send + Sync + 'static {
    /// The last sequence number of `shard` that is done with.
    fn load(&self, shard: &str) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;

    /// Everything in `shard` up to and including `sequence_number` is done with.
    fn save(&self, shard: &str, sequence_number: &str) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Invokes the function.
pub trait Invoker: Send + Sync + 'static {
    /// Runs the function on `payload` and waits for its response.
    fn invoke(&self, payload: Bytes) -> impl Future<Output = Result<Bytes, InvokeFailure>> + Send;
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeFailure {
    /// The function ran and failed: it returned an error, crashed or ran out of time. This is what is split and what
    /// retries are counted for.
    #[error("{kind}: {message}")]
    Function {
        /// Such as `Unhandled` or `Sandbox.Timedout`.
        kind: String,
        /// What the function or its environment says.
        message: String,
    },
    /// The function was not run: throttled, or out of reach. Not an attempt: the same batch is tried until it works
    /// or its records are too old.
    #[error("not invoked: {0}")]
    NotRun(String),
}

/// Keeps what is given up.
pub trait FailureDestination: Send + Sync + 'static {
    /// Returns once `record` is durable. Until then the shard waits: records are never dropped unkept.
    fn keep(&self, record: &FailureRecord) -> impl Future<Output = anyhow::Result<()>> + Send;
}
