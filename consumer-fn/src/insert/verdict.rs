//! What it means for an event that an item with its id is there. Pure: the model checker decides by it, too.

use shared::origin::Origin;

use crate::items::Existing;

/// What is to be done with an event whose item is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The item names this origin: inserted by an earlier attempt at this very batch, or by a call whose answer was
    /// lost. It is archived by it.
    Stored,
    /// The item names a place where this very event lay before it was brought back. Nobody archives it from there any
    /// more: the item is to name this origin instead, and then it is archived by it.
    TakeOver,
    /// It was admitted once and is here twice. The other origin archives it.
    Redelivered,
    /// Its id and content were there already.
    Deduplicated,
    /// Its id belongs to an event with another content.
    IdReused,
}

/// Compares an event with the item that is there. `event` is what its own item would say; `redrive_of` is every place
/// where it lay before: with the last one alone, an event that is brought back twice would be a stranger to an item
/// that still names the first.
pub(crate) fn decide(event: &Existing, redrive_of: &[Origin], item: &Existing) -> Verdict {
    let same_content = item.content_hash == event.content_hash;
    let same_admission = item.admission_id == event.admission_id;
    if item.origin == event.origin {
        Verdict::Stored
    } else if redrive_of.contains(&item.origin) && same_admission {
        // What lay at that place had this content. A line that says otherwise is not it.
        if same_content { Verdict::TakeOver } else { Verdict::IdReused }
    } else if same_admission {
        Verdict::Redelivered
    } else if same_content {
        Verdict::Deduplicated
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

    /// The event lies at 9, was admitted as 1, and holds `a`.
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
    }

    #[test]
    fn a_redriven_event_takes_its_item_over_from_any_place_where_it_was() {
        check(&["7", "8"], &existing("7", 1, "a"), Verdict::TakeOver);
        check(&["7", "8"], &existing("8", 1, "a"), Verdict::TakeOver);
        check(&["7", "8"], &existing("9", 1, "a"), Verdict::Stored);
    }

    #[test]
    fn a_redriven_event_whose_item_names_another_place_is_what_any_other_would_be() {
        check(&["7"], &existing("8", 1, "a"), Verdict::Redelivered);
        check(&["7"], &existing("8", 2, "a"), Verdict::Deduplicated);
        check(&["7"], &existing("8", 2, "b"), Verdict::IdReused);
    }

    #[test]
    fn who_only_claims_to_have_been_there_takes_nothing_over() {
        check(&["8"], &existing("8", 2, "a"), Verdict::Deduplicated);
        check(&["8"], &existing("8", 2, "b"), Verdict::IdReused);
        check(&["8"], &existing("8", 1, "b"), Verdict::IdReused);
    }
}
