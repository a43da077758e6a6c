//! The port to object storage: claim checks, archive, quarantine and manifest sidecars, all in one bucket.
//!
//! `s3` is a bucket on AWS (feature `aws`), `memory` is the fake for tests (feature `fakes`); the crate `local` has a folder.

use std::future::Future;

use bytes::Bytes;

use crate::origin::ShardPosition;

#[cfg(feature = "fakes")]
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;

/// Metadata of an archive object: the end of what it covers. A later attempt that finds the object continues from there.
/// The first position that it covers is in its key.
pub mod covers_end {
    /// The record's sequence number.
    pub const SEQUENCE_NUMBER: &str = "covers-end-sequence-number";
    /// The line's position in the record.
    pub const POSITION: &str = "covers-end-position";
}

/// An object with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundObject {
    pub bytes: Bytes,
    /// The end of what an archive object covers; `None` for other objects.
    pub covers_end: Option<ShardPosition>,
}

/// Whether a conditional put wrote its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    New,
    /// The key had an object already, which stays as it is. An earlier attempt of this very put may have written it.
    Existed,
}

/// The store did not answer, or not with success. The put may have had its effect; trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectFailure(pub String);

/// Object storage.
pub trait ObjectStore: Send + Sync + 'static {
    /// Writes an object if the key has none (`If-None-Match: *`). `covers_end` becomes the object's metadata.
    ///
    /// A put that is tried again after a lost answer finds its own object: [`Created::Existed`]. Where the key names the
    /// content, the caller takes that as stored. Where it does not, the caller reads what the object covers.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_end: Option<&ShardPosition>,
    ) -> impl Future<Output = Result<Created, ObjectFailure>> + Send;

    /// Writes an object, and replaces the one that the key may have.
    fn put(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), ObjectFailure>> + Send;

    /// Reads an object with its metadata; `None` if it does not exist.
    fn find(&self, key: &str) -> impl Future<Output = Result<Option<FoundObject>, ObjectFailure>> + Send;

    /// Reads `length` bytes of an object from `offset`, and no other byte; `None` if it does not exist.
    fn get_range(
        &self,
        key: &str,
        offset: usize,
        length: usize,
    ) -> impl Future<Output = Result<Option<Bytes>, ObjectFailure>> + Send;

    /// Reads an object; `None` if it does not exist.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, ObjectFailure>> + Send {
        async move { Ok(self.find(key).await?.map(|found| found.bytes)) }
    }
}
