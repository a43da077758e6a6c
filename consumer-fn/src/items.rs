//! Items: one for each event, inserted where none is, never overwritten.

use std::future::Future;

use shared::blob::BlobRef;
use shared::event::{EventTime, Source};
use shared::fields::Fields;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::tier::Tier;
use shared::time::Timestamp;

use shared::origin::Origin;

mod attributes;
#[cfg(feature = "aws")]
pub mod dynamodb;

pub use self::attributes::{Attribute, BY_RECEIVED_AT, EXPIRES_AT, RECEIVED_AT, RECEIVED_PARTITION};

/// An event as its tenant finds it again: what `GET /events/{id}` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose it is; the partition key.
    pub tenant: TenantId,
    /// The event's id within the tenant; the sort key.
    pub id: EventId,
    /// Where the event lies on the stream: the one place that it is archived from.
    pub origin: Origin,
    /// Which admission this is.
    pub admission_id: AdmissionId,
    /// What the client sent, as SHA-256 in lower-case hexadecimal: equal for equal contents.
    pub content_hash: String,
    /// How it came in.
    pub source: Source,
    /// The tier that the request named.
    pub tier: Tier,
    /// When the door had it.
    pub received_at: Timestamp,
    /// When it happened, by the client.
    pub event_time: Option<EventTime>,
    /// When it was transformed.
    pub processed_at: Timestamp,
    /// The text as it came in; cut where `original_ref` is given.
    pub original_text: String,
    /// The text after the transform; cut where `modified_ref` is given.
    pub modified_data: String,
    /// Where the whole original lies, if the item does not hold it.
    pub original_ref: Option<BlobRef>,
    /// Where the whole transformed text lies, if the item does not hold it.
    pub modified_ref: Option<BlobRef>,
    /// The client's other members and the configured constants; only the constants where `fields_ref` is given.
    pub fields: Fields,
    /// Where the client's other members lie, if the item does not hold them.
    pub fields_ref: Option<BlobRef>,
    /// When the item may go, in seconds since the Unix epoch; never, if not given. Its life begins when it is stored, or
    /// when its event was received, whichever is later.
    pub expires_at: Option<i64>,
    /// Its partition in the index by time ([`shared::partition::received_partition`]).
    pub received_partition: String,
}

/// What became of an attempt to insert an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insert {
    /// It is there now, and was not before.
    Inserted,
    /// One was there already, and stays as it is.
    Exists(Existing),
    /// The store will never take it, for this reason.
    Refused(String),
    /// Not now, for this reason; or nobody knows. Trying again is safe.
    Failed(String),
}

/// What tells an item that was there already from the one that was to be inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// The origin it names.
    pub origin: Origin,
    /// The admission it names.
    pub admission_id: AdmissionId,
    /// Its content's hash.
    pub content_hash: String,
}

/// An item that is to name another origin: its event was brought back from where it had failed.
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
    /// Not now, for this reason; or nobody knows. Trying again is safe.
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
