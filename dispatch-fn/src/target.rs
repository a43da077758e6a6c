//! The port to the target.

use std::future::Future;

use bytes::Bytes;

pub use crate::call::Call;

pub mod http;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Response {
        status: u16,
        /// The header `Retry-After`.
        retry_after: Option<String>,
        /// The header `Location`.
        location: Option<String>,
        body: Bytes,
    },
    /// None, for this reason. The target may have got the call.
    None(String),
}

pub trait Target: Send + Sync + 'static {
    type Connection: Send;

    /// Opens a connection, or takes one that is open. Opening takes time, so it happens before the call's slot begins: the
    /// call then reaches the target at once.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Makes a call, within the time limit of the configuration.
    fn call(&self, connection: Self::Connection, call: &Call) -> impl Future<Output = Answer> + Send;
}
