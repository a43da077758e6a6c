//! The port to what is stored: the index by time, items, and the manifest of the archive.

use std::future::Future;

use shared::format::item::{Attribute, DISPATCH_STATUS, HeldContent, Item, UnreadableItem};
use shared::format::manifest_row::ManifestRow;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;
use shared::time::Timestamp;

/// An item with what others than the consumer have written on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub item: Item,
    /// How far its dispatch is, if it is dispatched.
    pub dispatch_status: Option<String>,
}

impl StoredEvent {
    /// Reads an item's attributes, by their names.
    pub fn read(attribute: impl Fn(&str) -> Option<Attribute>) -> Result<Self, UnreadableItem> {
        let dispatch_status = attribute(DISPATCH_STATUS).and_then(Attribute::into_text);
        Ok(Self { item: Item::read(attribute)?, dispatch_status })
    }

    /// Whether the item does not have the whole transformed text, or not all fields.
    pub fn is_cut(&self) -> bool {
        self.item.content.as_ref().is_none_or(HeldContent::is_cut)
    }

    pub(crate) fn is_of(&self, tenant: &TenantId) -> bool {
        self.item.facts.tenant == *tenant
    }
}

/// An entry of the index by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub received_at: Timestamp,
    pub id: EventId,
}

/// A part of a partition of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexQuery {
    pub tenant: TenantId,
    /// The name of the partition: one of the tenant's ([`shared::partition::received_partitions`]).
    pub partition: String,
    /// Entries of `from` and later.
    pub from: Timestamp,
    /// Entries of `last` and earlier.
    pub last: Timestamp,
    /// Only entries that come after this one in the index's own order. Its time is within `from` and `last`. It need not
    /// exist.
    pub after: Option<IndexEntry>,
    pub limit: usize,
}

/// What is stored did not answer, or not with success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadFailure(pub String);

/// Reads what is stored. An adapter may try again by itself; the time limit is left to the caller.
pub trait EventReader: Send + Sync + 'static {
    /// The first entries, newest first. Entries of the same time are in an order of the index, which is always the same.
    /// Fewer than the limit are all that there are.
    fn entries(
        &self,
        query: &IndexQuery,
    ) -> impl Future<Output = Result<Vec<IndexEntry>, ReadFailure>> + Send;

    /// One event, as it is after the last write. `None` if it is not stored.
    fn find(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<StoredEvent>, ReadFailure>> + Send;

    /// Events of one tenant, one answer for each id; `None` where it is not stored. A write of the last second may be
    /// missing. At most 100 ids, all different.
    fn find_all(
        &self,
        tenant: &TenantId,
        ids: &[EventId],
    ) -> impl Future<Output = Result<Vec<Option<StoredEvent>>, ReadFailure>> + Send;

    /// The archive object that has the event of this origin; `None` if it is not archived yet.
    fn archive_object(
        &self,
        origin: &Origin,
    ) -> impl Future<Output = Result<Option<ManifestRow>, ReadFailure>> + Send;
}

/// For a server that does not read: there is none.
#[derive(Clone, Copy, Debug)]
pub enum NoReader {}

impl EventReader for NoReader {
    async fn entries(&self, _query: &IndexQuery) -> Result<Vec<IndexEntry>, ReadFailure> {
        match *self {}
    }

    async fn find(&self, _tenant: &TenantId, _id: &EventId) -> Result<Option<StoredEvent>, ReadFailure> {
        match *self {}
    }

    async fn find_all(
        &self,
        _tenant: &TenantId,
        _ids: &[EventId],
    ) -> Result<Vec<Option<StoredEvent>>, ReadFailure> {
        match *self {}
    }

    async fn archive_object(&self, _origin: &Origin) -> Result<Option<ManifestRow>, ReadFailure> {
        match *self {}
    }
}
