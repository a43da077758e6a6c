//! Where the parts of a claim check are stored, as the door sees it.

#[cfg(feature = "aws")]
pub mod s3;

use std::future::Future;

use bytes::Bytes;

/// Why a payload is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload `{key}` could not be stored: {problem}")]
pub struct PayloadFailure {
    /// The object's key.
    pub key: String,
    /// What the store said.
    pub problem: String,
}

/// A store of objects under content-addressed keys.
pub trait PayloadStore: Send + Sync + 'static {
    /// Stores `bytes` unless the key exists. The key names the content, so an object that is there already is this
    /// one: that counts as stored, and a second attempt after an ambiguous failure is safe.
    fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), PayloadFailure>> + Send;
}
