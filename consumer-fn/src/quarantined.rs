//! A line or record on its way to quarantine, with the reason. [`crate::quarantine`] writes it.

use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::format::record::Undecodable;

use crate::batch::BatchPosition;

/// Details are for people; some quote their input.
const DETAIL_CHARS: usize = 500;

/// A line or a whole record that cannot be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantined {
    pub(crate) position: BatchPosition,
    /// A stable name.
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    /// `None` where the bytes could not be read.
    pub(crate) facts: Option<Box<Facts>>,
    /// The bytes to redrive when the cause is gone.
    pub(crate) bytes: Vec<u8>,
}

/// Why a readable event cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no object at its claim check's key.
    ClaimMissing,
    /// The claim check is not at the event's own key, or what is stored there is not what it promises.
    ClaimMismatch,
    /// The claim checks of its record are more than is fetched for one record.
    ClaimsTooLarge,
    /// The simulated work on its text does not fit the consumer's time-out.
    WorkTooLong,
    /// Another event with another content has its id.
    IdReused,
    /// The item store will never take its item.
    ItemRefused,
}

impl Reason {
    /// The name this reason has in queries over quarantine. On disk: never renamed.
    fn code(self) -> &'static str {
        match self {
            Self::ClaimMissing => "claim_missing",
            Self::ClaimMismatch => "claim_mismatch",
            Self::ClaimsTooLarge => "claims_too_large",
            Self::WorkTooLong => "work_too_long",
            Self::IdReused => "id_reused",
            Self::ItemRefused => "item_refused",
        }
    }
}

impl Quarantined {
    /// A line or a record that is no event.
    pub(crate) fn undecodable(position: BatchPosition, reason: &Undecodable, bytes: Vec<u8>) -> Self {
        Self { position, reason: reason.code(), detail: cut(reason.to_string()), facts: None, bytes }
    }

    pub(crate) fn event(position: BatchPosition, event: &Event, reason: Reason, detail: String) -> Self {
        Self {
            position,
            reason: reason.code(),
            detail: cut(detail),
            facts: Some(Box::new(event.facts.clone())),
            bytes: event.line(),
        }
    }
}

fn cut(detail: String) -> String {
    match detail.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => detail[..end].to_owned(),
        None => detail,
    }
}
