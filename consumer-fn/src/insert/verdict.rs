//! Decides what it means for an event that an item with its id exists. Pure: the model checker uses it, too.

use shared::format::content_hash;
use shared::origin::Origin;

use crate::items::Existing;

/// What to do with an event whose item exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The item names this origin: an earlier attempt at this batch inserted it, or a call whose answer was lost. The event is
    /// archived from here.
    Stored,
    /// The item names an origin that this event had before it was redriven. It is not archived from there any more: the item
    /// must name this origin instead, and the event is then archived from here.
    TakeOver,
    /// The same admission arrived twice. It is archived from the other origin.
    Redelivered,
    /// An item with this id exists already, and has this content or is the same message.
    Deduplicated,
    /// Its id belongs to an event with another content.
    IdReused,
}

/// Compares an event with the existing item. `event` is what its own item would contain. `redrive_of` lists every origin that
/// the event had before: an item of an event that was redriven twice may still name the first.
pub(crate) fn decide(event: &Existing, redrive_of: &[Origin], item: &Existing) -> Verdict {
    let same_content = content_hash::is_same(&item.content_hash, &event.content_hash);
    let same_admission = item.admission_id == event.admission_id;
    if item.origin == event.origin {
        Verdict::Stored
    } else if redrive_of.contains(&item.origin) && same_admission {
        // The event at that origin had this content. A line with other content is another event.
        if same_content { Verdict::TakeOver } else { Verdict::IdReused }
    } else if same_content {
        // A foreign producer may copy an admission. Its content is stored nowhere else, so it must not count as redelivered.
        if same_admission { Verdict::Redelivered } else { Verdict::Deduplicated }
    } else {
        Verdict::IdReused
    }
}

#[cfg(test)]
mod tests {
    use shared::id::AdmissionId;
    use uuid::Uuid;

    use super::*;

    fn at(number: &str) -> Origin {
        Origin { shard: "shardId-0".into(), sequence_number: number.into(), position: 0 }
    }

    fn existing(number: &str, admission: u128, content: &str) -> Existing {
        let admission_id = AdmissionId(Uuid::from_u128(admission));
        Existing { origin: at(number), admission_id, content_hash: content.to_owned() }
    }

    /// The event is at 9, has admission 1 and content `a`.
    fn check(redrive_of: &[&str], item: &Existing, expected: Verdict) {
        let redrive_of: Vec<_> = redrive_of.iter().map(|number| at(number)).collect();
        assert_eq!(decide(&existing("9", 1, "a"), &redrive_of, item), expected, "{item:?}");
    }

    #[test]
    fn an_event_is_stored_by_the_origin_that_its_item_names() {
        check(&[], &existing("9", 1, "a"), Verdict::Stored);
        check(&[], &existing("8", 1, "a"), Verdict::Redelivered);
        check(&[], &existing("8", 2, "a"), Verdict::Deduplicated);
        check(&[], &existing("8", 2, "b"), Verdict::IdReused);
        check(&[], &existing("8", 1, "b"), Verdict::IdReused);
    }

    #[test]
    fn the_same_message_is_a_duplicate_whatever_else_changed() {
        let decide = |event: &str, item: &str| decide(&existing("9", 1, event), &[], &existing("8", 2, item));
        assert_eq!(decide("message:a", "message:b"), Verdict::Deduplicated);
        assert_eq!(decide("message:a", "b"), Verdict::IdReused);
        assert_eq!(decide("message:a", "a"), Verdict::Deduplicated);
    }

    #[test]
    fn a_redriven_event_takes_its_item_over_from_any_former_origin() {
        check(&["7", "8"], &existing("7", 1, "a"), Verdict::TakeOver);
        check(&["7", "8"], &existing("8", 1, "a"), Verdict::TakeOver);
        check(&["7", "8"], &existing("9", 1, "a"), Verdict::Stored);
    }

    #[test]
    fn a_redriven_event_whose_item_names_another_origin_is_a_duplicate_like_any_other() {
        check(&["7"], &existing("8", 1, "a"), Verdict::Redelivered);
        check(&["7"], &existing("8", 2, "a"), Verdict::Deduplicated);
        check(&["7"], &existing("8", 2, "b"), Verdict::IdReused);
    }

    #[test]
    fn a_false_former_origin_takes_nothing_over() {
        check(&["8"], &existing("8", 2, "a"), Verdict::Deduplicated);
        check(&["8"], &existing("8", 2, "b"), Verdict::IdReused);
        check(&["8"], &existing("8", 1, "b"), Verdict::IdReused);
    }
}
