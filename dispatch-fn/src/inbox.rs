//! The port to the dispatch queue, on its reader's side, and to its dead-letter queue.

use std::future::Future;
use std::time::Duration;

use shared::format::dispatch_message::DispatchMessage;

#[cfg(feature = "aws")]
pub mod sqs;

/// The queue did not answer, or not with success. The call may have had its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InboxFailure(pub String);

pub trait Inbox: Send + Sync + 'static {
    /// Hides a received message for this long from now on.
    fn postpone(
        &self,
        receipt: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<(), InboxFailure>> + Send;

    /// Sends a message to the dead-letter queue.
    fn dead_letter(&self, message: &DispatchMessage)
    -> impl Future<Output = Result<(), InboxFailure>> + Send;
}
