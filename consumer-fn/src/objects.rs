//! Objects: archive, quarantine and large texts, in one bucket.

use std::future::Future;

use bytes::Bytes;

#[cfg(feature = "aws")]
pub mod s3;

/// The last place on the shard that an archive object covers. Stands in the object's metadata, so that whoever
/// finds the object knows where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covers {
    /// The record's sequence number.
    pub sequence_number: String,
    /// The line's position in the record.
    pub position: u32,
}

impl Covers {
    /// The metadata that holds `sequence_number`.
    pub const SEQUENCE_NUMBER: &str = "last-sequence-number";
    /// The metadata that holds `position`.
    pub const POSITION: &str = "last-position";
}

/// What a conditional put found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// Nothing: the object is new.
    New,
    /// An object of that name, which stays as it is.
    Existed,
}

/// The store did not answer, or not with success. Whether a put had its effect is not known; trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObjectFailure(pub String);

/// Where objects are.
pub trait ObjectStore: Send + Sync + 'static {
    /// Writes an object where there is none (`If-None-Match: *`). `covers` becomes the object's metadata.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers: Option<&Covers>,
    ) -> impl Future<Output = Result<Created, ObjectFailure>> + Send;

    /// Writes an object, over one that may be there.
    fn put(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), ObjectFailure>> + Send;

    /// Reads an object; `None` where there is none.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, ObjectFailure>> + Send;

    /// What an archive object covers; `None` where there is no object, or no such metadata on it.
    fn covers(&self, key: &str) -> impl Future<Output = Result<Option<Covers>, ObjectFailure>> + Send;
}
