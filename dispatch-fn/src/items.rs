//! The port to items: what became of an event's dispatch is noted on its item.

use std::future::Future;

use shared::id::{EventId, TenantId};

use crate::standing::Standing;

#[cfg(feature = "aws")]
pub mod dynamodb;

/// The store did not answer, or not with success. The write may have had its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ItemFailure(pub String);

/// What a note found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Done. So many calls were made for the event.
    Attempts(u32),
    /// The event was delivered meanwhile, by a second copy of the message. Nothing changed.
    Delivered,
    /// There is no item any more. Nothing changed.
    Gone,
}

pub trait DispatchItems: Send + Sync + 'static {
    /// What is noted on the event's item, by a consistent read. `None` if there is no item.
    fn read(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<Standing>, ItemFailure>> + Send;

    /// Notes that the target took the event, with the call for it.
    fn delivered(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> impl Future<Output = Result<Noted, ItemFailure>> + Send;

    /// Notes a call that failed. The event is pending again, if it had failed before it was redriven.
    fn attempt_failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
    ) -> impl Future<Output = Result<Noted, ItemFailure>> + Send;

    /// Notes that the event is a dead letter, with the attempts that the letter has. They replace those on the item, which may be more:
    /// a call that was not answered may count an attempt later. An event with more attempts than its letter would not be sent after a
    /// redrive, as if there were a newer letter.
    fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        reason: &str,
        attempts: u32,
    ) -> impl Future<Output = Result<Noted, ItemFailure>> + Send;
}
