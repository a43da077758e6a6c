//! The port to the stream.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Decides the shard: the tenant, or `tenant#k` for a tenant that is spread.
    pub partition_key: String,
    /// Event lines, packed ([`shared::format::record::pack`]).
    pub data: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The record is on the stream, durably.
    Taken,
    /// The record is not on the stream; it may be sent again.
    Refused(Refusal),
}

/// Why the stream did not take one record of a call. It may have taken the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record's shard is at its limit.
    #[error("the shard is throttled: {0}")]
    Throttled(String),
    /// Kinesis had an internal failure.
    #[error("the stream failed: {0}")]
    Internal(String),
}

/// Why a call failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFailure {
    /// The call exceeds what the stream takes at the moment. None of the records was taken.
    #[error("the stream is throttled: {0}")]
    Throttled(String),
    /// None of the records was taken, for another reason, such as a permission that is missing.
    #[error("the stream refused the call: {0}")]
    Refused(String),
    /// Any of the records may have been taken: there was no answer, or an unclear one.
    #[error("the stream may or may not have taken the call: {0}")]
    Ambiguous(String),
}

/// The stream. An adapter makes one attempt for each call; retries and time limits are left to the publisher.
pub trait EventStream: Send + Sync + 'static {
    /// Puts at most 500 records of at most 10 MiB in all. One answer for each record, by position.
    fn put(&self, records: &[StreamRecord]) -> impl Future<Output = Result<Vec<Put>, StreamFailure>> + Send;
}

impl<S: EventStream> EventStream for Arc<S> {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        (**self).put(records).await
    }
}
