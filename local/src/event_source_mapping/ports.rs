//! The ports of a mapping: where it reads, what it calls and what it saves. The embedded stream and the Runtime API
//! host implement them, and so can `GetRecords` and `Invoke` of any AWS endpoint. The failure destination is an
//! `ObjectStore`.

use bytes::Bytes;
pub use operate::deployment::{RetainedRecord, ShardRead, ShardTail};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamShard {
    /// Such as `shardId-000000000000`.
    pub id: String,
    /// One parent after a split, two after a merge, else none.
    pub parents: Vec<String>,
}

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    pub records: usize,
    /// The read ends with the record with which the data reaches this many bytes. So it returns at least one record if
    /// there is one.
    pub bytes: usize,
}

pub trait StreamReader: Send + Sync + 'static {
    /// The shards that have records or may get some, in any order. Closed shards are listed while they are retained.
    fn shards(&self) -> impl Future<Output = anyhow::Result<Vec<StreamShard>>> + Send;

    /// The records of `shard` after sequence number `after`, or from its oldest record (`TRIM_HORIZON`) if `None`.
    fn read(
        &self,
        shard: &str,
        after: Option<&str>,
        limit: ReadLimit,
    ) -> impl Future<Output = anyhow::Result<ShardRead>> + Send;
}

/// Stores, durably, how far each shard is done.
pub trait Checkpoints: Send + Sync + 'static {
    /// The last sequence number of `shard` that is done.
    fn load(&self, shard: &str) -> impl Future<Output = anyhow::Result<Option<String>>> + Send;

    /// Everything in `shard` up to and including `sequence_number` is done.
    fn save(&self, shard: &str, sequence_number: &str) -> impl Future<Output = anyhow::Result<()>> + Send;
}

pub trait Invoker: Send + Sync + 'static {
    /// Runs the function on `payload` and waits for its response.
    fn invoke(&self, payload: Bytes) -> impl Future<Output = Result<Bytes, InvokeFailure>> + Send;
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeFailure {
    /// The function ran and failed: it returned an error, crashed or ran out of time. Only these failures split a batch
    /// and count as retries.
    #[error("{kind}: {message}")]
    Function {
        /// Such as `Unhandled` or `Sandbox.Timedout`.
        kind: String,
        message: String,
    },
    /// The function was throttled or could not be reached. This does not count as a retry: the same batch is tried
    /// until it works or its records are too old.
    #[error("not invoked: {0}")]
    NotRun(String),
}

impl InvokeFailure {
    pub fn function(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Function { kind: kind.into(), message: message.into() }
    }
}
