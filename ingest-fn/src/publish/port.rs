//! The stream as the publisher sees it.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

/// One record for the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Which shard it goes to: the tenant, or `tenant#k` for a tenant that is spread.
    pub partition_key: String,
    /// Event lines, packed ([`shared::format::record::pack`]).
    pub data: Bytes,
}

/// What became of one record of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The stream has it, durably.
    Taken,
    /// The stream does not have it; it may be sent again.
    Refused(Refusal),
}

/// Why the stream did not take one record of a call whose other records it may have taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record's shard takes no more at present.
    #[error("the shard is throttled: {0}")]
    Throttled(String),
    /// The stream failed within.
    #[error("the stream failed: {0}")]
    Internal(String),
}

/// Why a call failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFailure {
    /// None of the records was taken.
    #[error("the stream refused the call: {0}")]
    Refused(String),
    /// Any of the records may have been taken: no answer, or one that does not tell.
    #[error("the stream may or may not have taken the call: {0}")]
    Ambiguous(String),
}

/// Where events go. An adapter makes one attempt a call: retries, and the time they may take, are the publisher's.
pub trait EventStream: Send + Sync + 'static {
    /// Puts at most 500 records of at most 10 MiB in all, and answers for each by its position.
    fn put(&self, records: &[StreamRecord]) -> impl Future<Output = Result<Vec<Put>, StreamFailure>> + Send;
}

impl<S: EventStream> EventStream for Arc<S> {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        (**self).put(records).await
    }
}
