//! Events that are only on the stream: the audit calls them missing, and for each the one line to redrive is found.

use shared::origin::Origin;

use super::super::account::stranded;
use super::{AuditFacts, DONE_END, FATES, Fate, FindingKind, History, KnownEvent, KnownLine, READ_FROM};

/// Checks the origins of the lines to redrive, and that the audit calls their events missing.
fn check(history: &History, expected: &[&Origin]) {
    let replaced = history.facts.arrivals.iter().collect();
    let facts = AuditFacts { replaced, ..history.facts.clone() };
    let mut stranded: Vec<_> = stranded(&facts).into_iter().collect();
    stranded.sort_by_key(ToString::to_string);
    let mut expected: Vec<_> = expected.iter().map(|origin| (*origin).clone()).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(stranded, expected);
    let findings = history.judge().findings;
    assert!(findings.iter().all(|finding| finding.kind == FindingKind::Missing), "{findings:?}");
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
}

impl History {
    /// A done event that is only on the stream.
    fn drop_one(&mut self) -> (Origin, KnownEvent) {
        let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
        self.arrive(&origin, &event, Vec::new());
        (origin, event)
    }

    /// The same event again, as a redrive of the origins `former`.
    fn redrive(&mut self, event: &KnownEvent, former: &[&Origin], from: usize) -> Origin {
        let again = self.origin(from);
        self.arrive(&again, event, former.iter().map(|origin| (*origin).clone()).collect());
        again
    }
}

#[test]
fn stored_failed_queued_and_unfinished_events_are_not_stranded() {
    check(&History::of(&FATES), &[]);
}

#[test]
fn a_done_event_that_is_stored_nowhere_is_stranded_with_or_without_an_item() {
    let mut history = History::of(&FATES);
    let (without, _) = history.drop_one();
    let (with, event) = history.drop_one();
    history.insert(&with, &event);
    check(&history, &[&without, &with]);
}

#[test]
fn an_unfinished_event_is_not_stranded() {
    let mut history = History::of(&[]);
    let (origin, event) = (history.origin(DONE_END), history.event(1_000));
    history.arrive(&origin, &event, Vec::new());
    check(&history, &[]);
}

#[test]
fn an_unreadable_line_is_stranded_unless_quarantine_has_it() {
    let mut history = History::of(&[Fate::Unreadable]);
    let origin = history.facts.quarantined[0].origin.clone();
    check(&history, &[]);
    history.facts.quarantined.clear();
    check(&history, &[&origin]);
}

#[test]
fn a_reused_id_is_stranded_and_a_duplicate_is_not() {
    for same in [true, false] {
        let mut history = History::of(&[]);
        let (_, first) = history.store();
        let (origin, event) = (history.origin(READ_FROM), history.event(50_000));
        let content_hash = if same { first.content_hash } else { event.content_hash };
        let event = KnownEvent { tenant: first.tenant, id: first.id, content_hash, ..event };
        history.arrive(&origin, &event, Vec::new());
        check(&history, &[&origin][usize::from(same)..]);
    }
}

#[test]
fn of_a_line_delivered_twice_the_one_that_its_item_names_is_stranded() {
    for named in [0, 1] {
        let mut history = History::of(&[]);
        let (one, event) = history.drop_one();
        let other = history.redrive(&event, &[], READ_FROM);
        let origins = [one, other];
        history.insert(&origins[named], &event);
        check(&history, &[&origins[named]]);
    }
}

#[test]
fn of_a_line_delivered_twice_without_an_item_the_later_one_is_stranded() {
    let mut history = History::of(&[]);
    let (_, event) = history.drop_one();
    let later = history.redrive(&event, &[], READ_FROM);
    check(&history, &[&later]);
}

#[test]
fn a_line_is_not_stranded_if_its_item_names_another_origin() {
    let mut history = History::of(&[]);
    let (elsewhere, event) = history.drop_one();
    history.insert(&elsewhere, &event);
    history.redrive(&event, &[], READ_FROM);
    // Another part of the stream has the line that the item names.
    history.facts.arrivals.retain(|arrival: &KnownLine| arrival.origin != elsewhere);
    assert!(stranded(&history.facts).is_empty());
}

/// The item names the first. A redrive of the second would find that, and leave it.
#[test]
fn a_line_is_stranded_although_another_delivery_of_it_is_saved() {
    let mut history = History::of(&[]);
    let (named, event) = history.drop_one();
    history.insert(&named, &event);
    let saved = history.redrive(&event, &[], READ_FROM);
    let saved = history.facts.arrivals.iter().find(|arrival| arrival.origin == saved).cloned();
    history.facts.failed.extend(saved);
    let again = history.redrive(&event, &[&named], READ_FROM);
    check(&history, &[&again]);
}

#[test]
fn a_redriven_event_that_is_not_done_is_not_stranded() {
    let mut history = History::of(&[]);
    let (former, event) = history.drop_one();
    history.insert(&former, &event);
    history.redrive(&event, &[&former], DONE_END);
    check(&history, &[]);
}

#[test]
fn a_redriven_event_that_was_dropped_again_is_stranded_at_its_last_origin() {
    for left_at in [None, Some(0), Some(1)] {
        let mut history = History::of(&FATES);
        let (former, event) = history.drop_one();
        let again = history.redrive(&event, &[&former], READ_FROM + 1_000);
        let origins = [former, again];
        if let Some(left_at) = left_at {
            history.insert(&origins[left_at], &event);
        }
        check(&history, &[&origins[1]]);
    }
}
