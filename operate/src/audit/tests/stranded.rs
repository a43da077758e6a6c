//! What lies on the stream and in no place behind it: the audit calls it missing, and the one line of it is found that is
//! to be brought back.

use shared::origin::Origin;

use super::super::account::stranded;
use super::{Arrival, DONE_BEFORE, Event, FATES, Fate, History, Kind, READ_FROM};

/// Checks where the lines lie that are to be brought back, and that the audit calls their events missing.
fn check(history: &History, expected: &[&Origin]) {
    let mut stranded: Vec<_> = stranded(&history.facts).into_iter().collect();
    stranded.sort_by_key(ToString::to_string);
    let mut expected: Vec<_> = expected.iter().map(|origin| (*origin).clone()).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(stranded, expected);
    let findings = history.judge().findings;
    assert!(findings.iter().all(|finding| finding.kind == Kind::Missing), "{findings:?}");
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
}

impl History {
    /// An event that is done, and nowhere but on the stream.
    fn drop_one(&mut self) -> (Origin, Event) {
        let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
        self.arrive(&origin, &event, Vec::new());
        (origin, event)
    }

    /// The same event once more, in place of what lay at `former`.
    fn bring_back(&mut self, event: &Event, former: &[&Origin], from: usize) -> Origin {
        let again = self.origin(from);
        self.arrive(&again, event, former.iter().map(|origin| (*origin).clone()).collect());
        again
    }
}

#[test]
fn nothing_is_stranded_that_is_stored_kept_queued_or_under_way() {
    check(&History::of(&FATES), &[]);
}

#[test]
fn what_is_done_and_in_no_place_is_stranded_whether_it_has_its_item_or_not() {
    let mut history = History::of(&FATES);
    let (without, _) = history.drop_one();
    let (with, event) = history.drop_one();
    history.insert(&with, &event);
    check(&history, &[&without, &with]);
}

#[test]
fn what_is_not_done_may_yet_go_anywhere() {
    let mut history = History::of(&[]);
    let (origin, event) = (history.origin(DONE_BEFORE), history.event(1_000));
    history.arrive(&origin, &event, Vec::new());
    check(&history, &[]);
}

#[test]
fn what_cannot_be_read_is_stranded_unless_quarantine_has_it() {
    let mut history = History::of(&[Fate::Unreadable]);
    let origin = history.facts.quarantined[0].origin.clone();
    check(&history, &[]);
    history.facts.quarantined.clear();
    check(&history, &[&origin]);
}

#[test]
fn a_duplicate_is_left_and_an_id_with_another_content_is_not() {
    for same in [true, false] {
        let mut history = History::of(&[]);
        let (_, first) = history.store();
        let (origin, event) = (history.origin(READ_FROM), history.event(50_000));
        let content_hash = if same { first.content_hash } else { event.content_hash };
        let event = Event { tenant: first.tenant, id: first.id, content_hash, ..event };
        history.arrive(&origin, &event, Vec::new());
        check(&history, &[&origin][usize::from(same)..]);
    }
}

#[test]
fn of_an_admission_that_came_twice_the_line_that_its_item_names_is_stranded() {
    for named in [0, 1] {
        let mut history = History::of(&[]);
        let (one, event) = history.drop_one();
        let other = history.bring_back(&event, &[], READ_FROM);
        let origins = [one, other];
        history.insert(&origins[named], &event);
        check(&history, &[&origins[named]]);
    }
}

#[test]
fn of_an_admission_that_came_twice_and_has_no_item_one_line_is_stranded() {
    let mut history = History::of(&[]);
    let (_, event) = history.drop_one();
    let later = history.bring_back(&event, &[], READ_FROM);
    check(&history, &[&later]);
}

#[test]
fn a_line_whose_item_names_a_place_of_its_admission_elsewhere_would_take_nothing_over() {
    let mut history = History::of(&[]);
    let (elsewhere, event) = history.drop_one();
    history.insert(&elsewhere, &event);
    history.bring_back(&event, &[], READ_FROM);
    // Another part of the stream has the line that the item names.
    history.facts.arrivals.retain(|arrival: &Arrival| arrival.origin != elsewhere);
    assert!(stranded(&history.facts).is_empty());
}

#[test]
fn what_was_brought_back_and_is_under_way_is_not_stranded() {
    let mut history = History::of(&[]);
    let (former, event) = history.drop_one();
    history.insert(&former, &event);
    history.bring_back(&event, &[&former], DONE_BEFORE);
    check(&history, &[]);
}

#[test]
fn what_was_brought_back_and_dropped_again_is_stranded_wherever_its_item_was_left() {
    for left_at in [None, Some(0), Some(1)] {
        let mut history = History::of(&FATES);
        let (former, event) = history.drop_one();
        let again = history.bring_back(&event, &[&former], READ_FROM + 1_000);
        let origins = [former, again];
        if let Some(left_at) = left_at {
            history.insert(&origins[left_at], &event);
        }
        check(&history, &[&origins[1]]);
    }
}
