//! The port to the ledger, which has for each shard the end of what is committed and the archive object that is being written.
//! When to write is left to [`crate::protocol`].

use std::future::Future;

use shared::format::manifest_row::ManifestRow;
use shared::origin::ShardPosition;

#[cfg(feature = "aws")]
pub mod dynamodb;

/// The ledger row of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The number of writes so far. A write must have the next number.
    pub version: u32,
    /// Everything before it is archived, or will never be archived from this shard position.
    pub committed_end: Option<ShardPosition>,
    /// The only object that any attempt may create now.
    pub intent: Option<Intent>,
}

/// An announced archive object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    pub key: String,
    /// The first position that it covers. Everything before is committed.
    pub from: ShardPosition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    Done,
    /// The ledger has a newer version, perhaps by this very write: read it again.
    Conflict,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerFailure {
    /// The ledger did not answer, or not with success. A write may have had its effect; trying again is safe.
    #[error("{0}")]
    NoAnswer(String),
    /// The row is not as Tidegate writes it.
    #[error("{0}")]
    Unreadable(String),
}

pub trait Ledger: Send + Sync + 'static {
    /// Reads the row of `shard`, strongly consistent. The default if there is none yet.
    fn read(&self, shard: &str) -> impl Future<Output = Result<Progress, LedgerFailure>> + Send;

    /// Writes `progress` if the ledger still has the version before it.
    fn write(
        &self,
        shard: &str,
        progress: &Progress,
    ) -> impl Future<Output = Result<Written, LedgerFailure>> + Send;

    /// Writes the manifest row of an existing object. The row depends on the object alone, so writing it again changes nothing.
    fn note(&self, shard: &str, row: &ManifestRow) -> impl Future<Output = Result<(), LedgerFailure>> + Send;
}
