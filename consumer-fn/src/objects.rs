//! Objects: archive, quarantine and large texts, in one bucket.

use std::future::Future;

use bytes::Bytes;

use crate::origin::ShardPosition;

#[cfg(feature = "aws")]
pub mod s3;

/// The metadata of an archive object that say what it covers, so that whoever finds the object knows where to go on:
/// the first place behind. The first place that it covers is in its name.
pub mod covers_before {
    /// The record's sequence number.
    pub const SEQUENCE_NUMBER: &str = "covers-before-sequence-number";
    /// The line's position in the record.
    pub const POSITION: &str = "covers-before-position";
}

/// An archive object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Bytes,
    /// The first place behind what it covers; `None` where it does not say.
    pub covers_before: Option<ShardPosition>,
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
    /// Writes an object where there is none (`If-None-Match: *`). `covers_before` becomes the object's metadata.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        covers_before: Option<&ShardPosition>,
    ) -> impl Future<Output = Result<Created, ObjectFailure>> + Send;

    /// Writes an object, over one that may be there.
    fn put(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<(), ObjectFailure>> + Send;

    /// Reads an object; `None` where there is none.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, ObjectFailure>> + Send;

    /// Reads an archive object with its metadata; `None` where there is none.
    fn find(&self, key: &str) -> impl Future<Output = Result<Option<Found>, ObjectFailure>> + Send;
}
