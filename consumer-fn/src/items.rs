//! The port to items: one for each event, inserted if there is none, never overwritten.

use std::future::Future;
use std::sync::Arc;

use shared::id::{EventId, TenantId};
use shared::origin::Origin;

#[cfg(feature = "aws")]
pub mod dynamodb;

pub use shared::format::item::{
    Attribute, BY_RECEIVED_AT, EXPIRES_AT, Existing, Item, RECEIVED_AT, RECEIVED_PARTITION,
};

/// The outcome of an attempt to insert an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insert {
    Inserted,
    /// An item with this key exists already. It is unchanged.
    Exists(Existing),
    /// The store will never take it, for this reason.
    Refused(String),
    /// It failed for now, or its effect is unknown. Trying again is safe.
    Failed(String),
}

/// An item that is to name another origin, because its event was redriven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    pub tenant: TenantId,
    pub id: EventId,
    /// The origin that it must still name.
    pub from: Origin,
    /// The origin that it names after that.
    pub to: Origin,
}

/// The outcome of an attempt to take an item over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenOver {
    Done,
    /// The item does not name the old origin any more, or is gone. Perhaps this very call changed it, and its first answer was
    /// lost: read it again.
    Changed,
    /// It failed for now, or its effect is unknown. Trying again is safe.
    Failed(String),
}

/// Calls to DynamoDB at the same time. A full batch of 10,000 items takes thirteen times as long as a call; of more connections, most
/// would be opened for such batches alone.
pub const DYNAMODB_CALLS: usize = 32;

pub trait ItemStore: Send + Sync + 'static {
    /// The most items that the caller passes in one call of `insert`.
    const CALL_ITEMS: usize = 1_000;
    /// The most calls of `insert` that the caller makes at the same time.
    const CALLS: usize = 1;

    /// Inserts each item whose (tenant, id) is not there yet. Gives one outcome for each item, by position.
    /// The caller never passes two items with the same (tenant, id) in calls at the same time.
    fn insert(&self, items: &[Arc<Item>]) -> impl Future<Output = Vec<Insert>> + Send;

    /// Makes each item name its new origin, if it names the old one: nothing else of it changes. Gives one outcome for
    /// each, by position. The caller never passes two with the same (tenant, id) in one call.
    fn take_over(&self, items: &[TakeOver]) -> impl Future<Output = Vec<TakenOver>> + Send;
}
