//! Histories in which every kind of fate occurs: as they are they balance, and whatever is then dropped, doubled, added
//! or moved is named.

mod stranded;

use std::sync::Arc;

use proptest::prelude::*;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;
use uuid::Uuid;

use super::account::account;
use super::facts::{Arrival, Event, Facts, Item, Kept, Line, Object, Shard};
use super::verdict::{Counts, Finding, Kind, Verdict};
use crate::archive::Span;

/// The stream holds records from here on; what lies before has expired.
const READ_FROM: usize = 1_000;
/// What lies before is done.
const DONE_BEFORE: usize = 5_000;
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    /// And its record is gone from the stream.
    StoredLongAgo,
    /// And its item's time is over.
    ItemIsOver,
    StoredOfOtherProducer,
    /// It came by the stream twice.
    Redelivered,
    /// Spilled as well as put.
    StoredAndSpilled,
    /// Sent twice by the client.
    Deduplicated,
    /// Sent again with other content.
    IdReused,
    Unreadable,
    Failed,
    /// It had an item already.
    FailedWithItem,
    FailedAndRedriven,
    /// Put back, and not processed yet.
    FailedAndUnderWay,
    /// The same, and its failure is not kept any more.
    ForgottenAndUnderWay,
    QuarantinedAndRedriven,
    /// With its item there already.
    InsertedOnly,
    OnTheStreamOnly,
    Spilled,
    Dead,
}

use Fate::{
    Dead, Deduplicated, Failed, FailedAndRedriven, FailedAndUnderWay, FailedWithItem, ForgottenAndUnderWay,
    IdReused, InsertedOnly, ItemIsOver, OnTheStreamOnly, QuarantinedAndRedriven, Redelivered, Spilled,
    Stored, StoredAndSpilled, StoredLongAgo, StoredOfOtherProducer, Unreadable,
};

const FATES: [Fate; 19] = [
    Stored,
    StoredLongAgo,
    ItemIsOver,
    StoredOfOtherProducer,
    Redelivered,
    StoredAndSpilled,
    Deduplicated,
    IdReused,
    Unreadable,
    Failed,
    FailedWithItem,
    FailedAndRedriven,
    FailedAndUnderWay,
    ForgottenAndUnderWay,
    QuarantinedAndRedriven,
    InsertedOnly,
    OnTheStreamOnly,
    Spilled,
    Dead,
];

/// A history, with what should come of it.
struct History {
    facts: Facts,
    expected: Counts,
    others: Counts,
    next: usize,
}

fn shard(number: usize) -> Arc<str> {
    format!("shardId-{:012}", number % 2).into()
}

impl History {
    fn of(fates: &[Fate]) -> Self {
        let now = Timestamp::from_unix_ms(NOW);
        let facts = Facts::none(Span::default(), Timestamp::from_unix_ms(NOW - DAY), now);
        let mut history = Self { facts, expected: Counts::default(), others: Counts::default(), next: 0 };
        for number in 0..2 {
            let mark = |at: usize| Some(ShardPosition::new(at.to_string(), 0));
            let known = Shard { done_before: mark(DONE_BEFORE), read_from: mark(READ_FROM) };
            history.facts.shards.insert(shard(number), known);
        }
        history.facts.objects.push(Object { key: "events/one".to_owned(), lines: Vec::new() });
        for fate in fates {
            history.live(*fate);
        }
        history
    }

    /// A place of its own among the records from `from` on.
    fn origin(&mut self, from: usize) -> Origin {
        self.next += 1;
        let (shard, sequence_number) = (shard(self.next), (from + self.next).to_string().into());
        Origin { shard, sequence_number, position: u32::try_from(self.next % 3).unwrap() }
    }

    /// An event of its own; those with an `age` are received so long ago.
    fn event(&mut self, age: i64) -> Event {
        self.next += 1;
        let number = self.next;
        Event {
            tenant: TenantId::parse(&format!("t{}", number % 3)).unwrap(),
            id: EventId::parse(format!("e{number}")).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128(number as u128)),
            content_hash: format!("content {number}"),
            received_at: Timestamp::from_unix_ms(NOW - age),
        }
    }

    fn arrive(&mut self, origin: &Origin, event: &Event, redrive_of: Vec<Origin>) {
        let (origin, received_at) = (origin.clone(), event.received_at);
        self.facts.arrivals.push(Arrival { origin, event: Some(event.clone()), received_at, redrive_of });
    }

    fn archive(&mut self, origin: &Origin, event: &Event, item_until: Option<i64>) {
        let line = Line {
            tenant: event.tenant.clone(),
            id: event.id.clone(),
            admission_id: event.admission_id,
            origin: origin.clone(),
            received_at: event.received_at,
            item_until: item_until.map(Timestamp::from_unix_ms),
        };
        self.facts.objects[0].lines.push(line);
    }

    fn insert(&mut self, origin: &Origin, event: &Event) {
        self.facts.items.push(Item {
            tenant: event.tenant.clone(),
            id: event.id.clone(),
            origin: origin.clone(),
            admission_id: event.admission_id,
            content_hash: event.content_hash.clone(),
            received_at: Some(event.received_at),
        });
    }

    fn kept(origin: &Origin, event: Option<&Event>) -> Kept {
        let received_at = event.map_or(Timestamp::from_unix_ms(NOW - 60_000), |event| event.received_at);
        Kept { origin: origin.clone(), event: event.cloned(), received_at }
    }

    /// An event that is stored.
    fn store(&mut self) -> (Origin, Event) {
        let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
        self.arrive(&origin, &event, Vec::new());
        self.insert(&origin, &event);
        self.archive(&origin, &event, None);
        self.expected.admissions += 1;
        self.expected.stored += 1;
        (origin, event)
    }

    fn live(&mut self, fate: Fate) {
        match fate {
            Stored => {
                self.store();
                return;
            }
            StoredLongAgo | ItemIsOver => {
                let (origin, event) = (self.origin(1), self.event(3 * DAY));
                self.archive(&origin, &event, (fate == ItemIsOver).then_some(NOW - 1));
                if fate == StoredLongAgo {
                    self.insert(&origin, &event);
                }
                self.expected.stored += 1;
            }
            StoredOfOtherProducer => {
                let (origin, mut event) = (self.origin(READ_FROM), self.event(60_000));
                event.admission_id =
                    AdmissionId::of_foreign(&origin.shard, &origin.sequence_number, origin.position);
                self.arrive(&origin, &event, Vec::new());
                self.insert(&origin, &event);
                self.archive(&origin, &event, None);
                self.others.admissions += 1;
                self.others.stored += 1;
                return;
            }
            Redelivered => {
                let (_, event) = self.store();
                let again = self.origin(READ_FROM);
                self.arrive(&again, &event, Vec::new());
                self.expected.redelivered += 1;
                return;
            }
            StoredAndSpilled => {
                let (_, event) = self.store();
                self.facts.spilled.push(event);
                return;
            }
            Deduplicated | IdReused => {
                let (_, first) = self.store();
                let (origin, mut event) = (self.origin(READ_FROM), self.event(50_000));
                (event.tenant, event.id) = (first.tenant, first.id);
                if fate == Deduplicated {
                    event.content_hash = first.content_hash;
                    self.expected.deduplicated += 1;
                } else {
                    self.facts.quarantined.push(Self::kept(&origin, Some(&event)));
                    self.expected.quarantined += 1;
                }
                self.arrive(&origin, &event, Vec::new());
            }
            _ => self.live_unstored(fate),
        }
        if fate != Unreadable {
            self.expected.admissions += 1;
        }
    }

    /// Of what is not stored at once.
    fn live_unstored(&mut self, fate: Fate) {
        match fate {
            Unreadable => {
                let origin = self.origin(READ_FROM);
                let kept = Self::kept(&origin, None);
                let received_at = kept.received_at;
                // An attempt that got no further, and the next one.
                self.facts.quarantined.extend([kept.clone(), kept]);
                self.facts.arrivals.push(Arrival {
                    origin,
                    event: None,
                    received_at,
                    redrive_of: Vec::new(),
                });
                self.others.admissions += 1;
                self.others.quarantined += 1;
            }
            Failed | FailedWithItem | FailedAndRedriven | FailedAndUnderWay | QuarantinedAndRedriven => {
                let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
                self.arrive(&origin, &event, Vec::new());
                let kept = Self::kept(&origin, Some(&event));
                if fate == QuarantinedAndRedriven {
                    self.facts.quarantined.push(kept);
                } else {
                    self.facts.failed.push(kept);
                }
                match fate {
                    FailedWithItem => self.insert(&origin, &event),
                    FailedAndRedriven | QuarantinedAndRedriven => {
                        let again = self.origin(READ_FROM + 1_000);
                        self.arrive(&again, &event, vec![origin]);
                        self.insert(&again, &event);
                        self.archive(&again, &event, None);
                    }
                    FailedAndUnderWay => {
                        let again = self.origin(DONE_BEFORE);
                        self.arrive(&again, &event, vec![origin.clone()]);
                        self.insert(&origin, &event);
                    }
                    _ => {}
                }
                *match fate {
                    Failed | FailedWithItem => &mut self.expected.failed,
                    FailedAndUnderWay => &mut self.expected.in_flight,
                    _ => &mut self.expected.stored,
                } += 1;
            }
            ForgottenAndUnderWay => {
                let (origin, event, again) = (self.origin(1), self.event(3 * DAY), self.origin(DONE_BEFORE));
                self.arrive(&again, &event, vec![origin.clone()]);
                self.insert(&origin, &event);
                self.expected.in_flight += 1;
            }
            InsertedOnly | OnTheStreamOnly => {
                let (origin, event) = (self.origin(DONE_BEFORE), self.event(1_000));
                self.arrive(&origin, &event, Vec::new());
                if fate == InsertedOnly {
                    self.insert(&origin, &event);
                }
                self.expected.in_flight += 1;
            }
            Spilled => {
                let event = self.event(1_000);
                self.facts.spilled.push(event);
                self.expected.in_flight += 1;
            }
            Dead => {
                let event = self.event(5 * DAY);
                self.facts.dead.push(event);
                self.expected.failed += 1;
            }
            _ => unreachable!("{fate:?} is stored"),
        }
    }

    fn judge(&self) -> Verdict {
        account(&self.facts)
    }
}

/// What an intruder does to a history; gives what must be named.
#[derive(Clone, Copy, Debug)]
enum Tamper {
    DropLine,
    DropItem,
    DropQuarantine,
    DropFailure,
    DoubleLine,
    ForeignLine,
    ForeignItem,
    MoveItemToOtherTenant,
    MoveLineToOtherPlace,
}

const TAMPERS: [Tamper; 9] = [
    Tamper::DropLine,
    Tamper::DropItem,
    Tamper::DropQuarantine,
    Tamper::DropFailure,
    Tamper::DoubleLine,
    Tamper::ForeignLine,
    Tamper::ForeignItem,
    Tamper::MoveItemToOtherTenant,
    Tamper::MoveLineToOtherPlace,
];

type Named = (Kind, Option<(TenantId, EventId)>, Option<Origin>);

fn named(kind: Kind, tenant: &TenantId, id: &EventId) -> Named {
    (kind, Some((tenant.clone(), id.clone())), None)
}

impl History {
    /// Does it, to the event that `choice` chooses; `None` where there is none that it could be done to.
    fn tamper(&mut self, tamper: Tamper, choice: prop::sample::Index) -> Option<Vec<Named>> {
        let one = |count: usize| (count > 0).then(|| choice.index(count));
        match tamper {
            Tamper::DropLine => {
                let line = self.remove_line(choice)?;
                Some(vec![named(Kind::Missing, &line.tenant, &line.id)])
            }
            Tamper::DropItem => {
                // Of what is stored: of others it would be inserted when their time comes.
                let lines = &self.facts.objects[0].lines;
                let stored = |item: &&Item| lines.iter().any(|line| line.origin == item.origin);
                let stored: Vec<_> = self.facts.items.iter().filter(stored).cloned().collect();
                let item = stored[one(stored.len())?].clone();
                self.facts.items.retain(|other| *other != item);
                Some(vec![named(Kind::Missing, &item.tenant, &item.id)])
            }
            Tamper::DropQuarantine | Tamper::DropFailure => {
                let redriven: Vec<_> =
                    self.facts.arrivals.iter().flat_map(|arrival| arrival.redrive_of.clone()).collect();
                let kept = match tamper {
                    Tamper::DropQuarantine => &mut self.facts.quarantined,
                    _ => &mut self.facts.failed,
                };
                let live: Vec<_> =
                    kept.iter().filter(|kept| !redriven.contains(&kept.origin)).cloned().collect();
                let lost = live[one(live.len())?].clone();
                kept.retain(|kept| kept.origin != lost.origin);
                let name = lost.event.map(|event| (event.tenant, event.id));
                Some(vec![(Kind::Missing, name, Some(lost.origin))])
            }
            Tamper::DoubleLine => {
                let lines = &self.facts.objects[0].lines;
                let line = lines[one(lines.len())?].clone();
                let expected = vec![named(Kind::Doubled, &line.tenant, &line.id)];
                self.facts.objects.push(Object { key: "events/two".to_owned(), lines: vec![line] });
                Some(expected)
            }
            Tamper::ForeignLine | Tamper::ForeignItem => {
                let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
                match tamper {
                    Tamper::ForeignLine => self.archive(&origin, &event, None),
                    _ => self.insert(&origin, &event),
                }
                Some(vec![named(Kind::Foreign, &event.tenant, &event.id)])
            }
            Tamper::MoveItemToOtherTenant => {
                let lines = &self.facts.objects[0].lines;
                let stored = |item: &Item| lines.iter().any(|line| line.origin == item.origin);
                let arrived =
                    |item: &Item| self.facts.arrivals.iter().any(|arrival| arrival.origin == item.origin);
                let items = self.facts.items.iter().enumerate();
                let movable: Vec<_> =
                    items.filter(|(_, item)| stored(item) && arrived(item)).map(|(index, _)| index).collect();
                let item = &mut self.facts.items[movable[one(movable.len())?]];
                let before = (item.tenant.clone(), item.id.clone());
                item.tenant = TenantId::parse("thief").unwrap();
                let missing = named(Kind::Missing, &before.0, &before.1);
                Some(vec![named(Kind::Foreign, &item.tenant, &item.id), missing])
            }
            Tamper::MoveLineToOtherPlace => {
                let line = self.remove_line(choice)?;
                let origin = self.origin(READ_FROM);
                self.facts.objects[0].lines.push(Line { origin, ..line.clone() });
                let missing = named(Kind::Missing, &line.tenant, &line.id);
                let is_old = line.received_at.unix_ms() < NOW - DAY;
                let foreign = named(Kind::Foreign, &line.tenant, &line.id);
                Some(if is_old { vec![foreign] } else { vec![foreign, missing] })
            }
        }
    }

    /// Takes away a line, of those whose event has an item.
    fn remove_line(&mut self, choice: prop::sample::Index) -> Option<Line> {
        let items = &self.facts.items;
        let lines = self.facts.objects[0].lines.iter().enumerate();
        let with_item = lines.filter(|(_, line)| items.iter().any(|item| item.origin == line.origin));
        let with_item: Vec<_> = with_item.map(|(index, _)| index).collect();
        let index = (!with_item.is_empty()).then(|| with_item[choice.index(with_item.len())])?;
        Some(self.facts.objects[0].lines.remove(index))
    }
}

fn has(findings: &[Finding], (kind, name, origin): &Named) -> bool {
    findings.iter().any(|finding| {
        let found = finding.tenant.clone().zip(finding.id.clone());
        finding.kind == *kind && found == *name && (origin.is_none() || finding.origin == *origin)
    })
}

#[test]
fn each_fate_by_itself_balances_and_is_counted_as_what_it_is() {
    for fate in FATES {
        let history = History::of(&[fate]);
        let verdict = history.judge();
        assert_eq!(verdict.findings, [], "{fate:?}");
        let counted = (verdict.total.door, verdict.total.other_producers);
        assert_eq!(counted, (history.expected, history.others), "{fate:?}");
    }
}

#[test]
fn each_tampering_is_possible_with_one_of_each_fate() {
    use prop::strategy::ValueTree;
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let choice = any::<prop::sample::Index>().new_tree(&mut runner).unwrap().current();
    for tamper in TAMPERS {
        assert!(History::of(&FATES).tamper(tamper, choice).is_some(), "{tamper:?}");
    }
}

#[test]
fn what_was_received_outside_of_the_span_is_not_counted() {
    let mut history = History::of(&[Stored, StoredLongAgo, Dead]);
    history.facts.span = Span::new(Some(Timestamp::from_unix_ms(NOW - DAY)), None);
    let verdict = history.judge();
    assert_eq!((verdict.findings.len(), verdict.total.door.admissions), (0, 1));
}

#[test]
fn an_id_that_comes_again_after_its_item_is_gone_is_a_new_event() {
    for (item_until, findings) in [(NOW - 90_000, 0), (NOW - 30_000, 1)] {
        let mut history = History::of(&[Stored]);
        let (origin, event) = (history.origin(1), history.event(3 * DAY));
        let again = history.facts.items[0].clone();
        let event = Event { tenant: again.tenant, id: again.id, ..event };
        history.archive(&origin, &event, Some(item_until));
        let verdict = history.judge();
        assert_eq!(
            (verdict.findings.len(), verdict.total.door.stored),
            (findings, 2),
            "{:?}",
            verdict.findings
        );
    }
}

#[test]
fn tenants_and_shards_add_up_to_the_whole() {
    let verdict = History::of(&FATES).judge();
    let sum = |tallies: Vec<super::verdict::Tally>| {
        tallies.iter().map(|tally| tally.door.admissions + tally.other_producers.admissions).sum::<u64>()
    };
    let all = sum(vec![verdict.total]);
    assert_eq!(sum(verdict.tenants.into_values().collect()), all);
    assert_eq!(sum(verdict.shards.into_values().collect()), all);
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(prop::sample::select(FATES.to_vec()), 1..40)
}

proptest! {
    #[test]
    fn an_untouched_history_balances(fates in fates()) {
        let history = History::of(&fates);
        let verdict = history.judge();
        prop_assert_eq!(&verdict.findings, &[]);
        prop_assert_eq!(verdict.total.door, history.expected);
        prop_assert_eq!(verdict.total.other_producers, history.others);
        let counts = history.expected;
        let outcomes = counts.stored + counts.deduplicated + counts.quarantined + counts.failed + counts.in_flight;
        prop_assert_eq!(outcomes, counts.admissions);
    }

    #[test]
    fn whatever_is_dropped_doubled_added_or_moved_is_named(
        fates in fates(),
        tamper in prop::sample::select(TAMPERS.to_vec()),
        choice in any::<prop::sample::Index>(),
    ) {
        let mut history = History::of(&fates);
        let Some(expected) = history.tamper(tamper, choice) else { return Ok(()) };
        let findings = history.judge().findings;
        for named in &expected {
            prop_assert!(has(&findings, named), "{:?} is not among {:?}", named, findings);
        }
        prop_assert!(findings.len() <= 2, "and nothing else: {:?}", findings);
    }
}
