//! Items: one for each event, inserted where none is, never overwritten.

use std::future::Future;

use shared::id::{AdmissionId, EventId, TenantId};

use shared::origin::Origin;

#[cfg(feature = "aws")]
pub mod dynamodb;

pub use shared::format::item::{
    Attribute, BY_RECEIVED_AT, EXPIRES_AT, Item, RECEIVED_AT, RECEIVED_PARTITION,
};

/// What became of an attempt to insert an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It is there now, and was not before.
    Inserted,
    /// One was there already, and stays as it is.
    Exists(Existing),
    /// The store will never take it, for this reason.
    Refused(String),
    /// It failed for now, or its effect is unknown. Trying again is safe.
    Failed(String),
}

/// The item that exists already, as far as a new one is compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The origin it names.
    pub origin: Origin,
    /// The admission it names.
    pub admission_id: AdmissionId,
    /// Its content's hash.
    pub content_hash: String,
}

/// An item that is to name another origin, because its event was redriven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event's id within the tenant.
    pub id: EventId,
    /// The origin that it must name still.
    pub from: Origin,
    /// The origin that it names then.
    pub to: Origin,
}

/// What became of an attempt to take an item over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// It names the new origin.
    Done,
    /// It does not name the old one any more, or is gone; and stays as it is. Perhaps by this very call, whose answer
    /// was lost: look again.
    Changed,
    /// It failed for now, or its effect is unknown. Trying again is safe.
    Failed(String),
}

/// Where items are.
pub trait ItemStore: Send + Sync + 'static {
    /// Inserts each item whose (tenant, id) is not there yet. Gives one outcome for each item, by position.
    /// The caller never passes two items with the same (tenant, id) in one call.
    fn insert(&self, items: &[Item]) -> impl Future<Output = Vec<Insert>> + Send;

    /// Makes each item name its new origin, if it names the old one: nothing else of it changes. Gives one outcome for
    /// each, by position. The caller never passes two with the same (tenant, id) in one call.
    fn take_over(&self, items: &[TakeOver]) -> impl Future<Output = Vec<TakenOver>> + Send;
}
