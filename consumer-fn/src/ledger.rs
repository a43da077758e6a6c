//! The ledger: for each shard, up to where it is settled, and which archive object is being written.
//!
//! What is to be written when is [`crate::protocol`]'s; here is only what can be read and written.

use shared::format::manifest_row::ManifestRow;
use std::future::Future;

use crate::origin::ShardPosition;

#[cfg(feature = "aws")]
pub mod dynamodb;

/// What the ledger says about a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// How often it was written. A write is refused unless it is the next one.
    pub version: u32,
    /// Everything before it is settled: archived, or for another reason not to be archived any more.
    pub settled_before: Option<ShardPosition>,
    /// The object that may lie there from now on, whoever writes it.
    pub intent: Option<Intent>,
}

/// An object that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// Its key.
    pub key: String,
    /// The first place that it covers. Everything before that is settled.
    pub from: ShardPosition,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// It is what the ledger says now.
    Done,
    /// The ledger is further than the writer knew, perhaps by this very write: read it again.
    Conflict,
}

/// The ledger did not answer, or not with success. Whether a write had its effect is not known; trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LedgerFailure(pub String);

/// Where the ledger is.
pub trait Ledger: Send + Sync + 'static {
    /// What it says about `shard`, strongly consistent; the default where it says nothing yet.
    fn read(&self, shard: &str) -> impl Future<Output = Result<Progress, LedgerFailure>> + Send;

    /// Writes `progress`, if the version before it is what the ledger has now.
    fn write(
        &self,
        shard: &str,
        progress: &Progress,
    ) -> impl Future<Output = Result<Written, LedgerFailure>> + Send;

    /// Notes an object that is there. The row follows from the object alone, so that writing it again, by whomever
    /// and whenever, changes nothing.
    fn note(&self, shard: &str, row: &ManifestRow) -> impl Future<Output = Result<(), LedgerFailure>> + Send;
}
