//! Histories with every fate of an event. They balance. Each change (drop, double, add, move) causes a finding.

mod stranded;

use std::sync::Arc;

use proptest::prelude::*;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;
use uuid::Uuid;

use super::account::account;
use super::balance::{AuditFinding, Balance, Counts, FindingKind};
use super::facts::{ArchivedLine, AuditFacts, Fact, KnownEvent, KnownItem, KnownLine, ShardFacts};
use super::partitions::{Bounds, Groups, Partitions};

/// The stream's oldest sequence number. Older records have expired.
const READ_FROM: usize = 1_000;
/// Records before it are done.
const DONE_END: usize = 5_000;
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    /// And its record is gone from the stream.
    StoredLongAgo,
    /// And its item has expired.
    ItemIsOver,
    StoredOfForeignProducer,
    /// Delivered twice.
    Redelivered,
    /// Both put and spilled.
    StoredAndSpilled,
    /// Sent twice by the client.
    Deduplicated,
    /// Sent again with other content.
    IdReused,
    Unreadable,
    Failed,
    /// After its item was inserted.
    FailedWithItem,
    FailedAndRedriven,
    /// Redriven, and not processed yet.
    FailedAndInProgress,
    /// The same, and its failure has expired.
    ExpiredAndInProgress,
    QuarantinedAndRedriven,
    /// Sent again with other content, and redriven under a new id.
    RedrivenAsNew,
    /// In progress: its item exists, its line not yet.
    InsertedOnly,
    OnTheStreamOnly,
    Spilled,
    Dead,
}

use Fate::{
    Dead, Deduplicated, ExpiredAndInProgress, Failed, FailedAndInProgress, FailedAndRedriven, FailedWithItem,
    IdReused, InsertedOnly, ItemIsOver, OnTheStreamOnly, QuarantinedAndRedriven, Redelivered, RedrivenAsNew,
    Spilled, Stored, StoredAndSpilled, StoredLongAgo, StoredOfForeignProducer, Unreadable,
};

const FATES: [Fate; 20] = [
    Stored,
    StoredLongAgo,
    ItemIsOver,
    StoredOfForeignProducer,
    Redelivered,
    StoredAndSpilled,
    Deduplicated,
    IdReused,
    Unreadable,
    Failed,
    FailedWithItem,
    FailedAndRedriven,
    FailedAndInProgress,
    ExpiredAndInProgress,
    QuarantinedAndRedriven,
    RedrivenAsNew,
    InsertedOnly,
    OnTheStreamOnly,
    Spilled,
    Dead,
];

/// A history, and the expected counts.
struct History {
    facts: AuditFacts,
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
        let facts =
            AuditFacts { stream_from: Timestamp::from_unix_ms(NOW - DAY), now, ..AuditFacts::default() };
        let mut history = Self { facts, expected: Counts::default(), others: Counts::default(), next: 0 };
        for number in 0..2 {
            let mark = |at: usize| Some(ShardPosition::new(at.to_string(), 0));
            let known = ShardFacts { done_end: mark(DONE_END), read_from: mark(READ_FROM) };
            history.facts.shards.insert(shard(number), known);
        }
        for fate in fates {
            history.live(*fate);
        }
        history
    }

    /// A new origin after `from`.
    fn origin(&mut self, from: usize) -> Origin {
        self.next += 1;
        let (shard, sequence_number) = (shard(self.next), (from + self.next).to_string().into());
        Origin { shard, sequence_number, position: u32::try_from(self.next % 3).unwrap() }
    }

    /// A new event that was received `age` milliseconds ago.
    fn event(&mut self, age: i64) -> KnownEvent {
        self.next += 1;
        let number = self.next;
        KnownEvent {
            tenant: TenantId::parse(&format!("t{}", number % 3)).unwrap(),
            id: EventId::parse(format!("e{number}")).unwrap(),
            admission_id: AdmissionId(Uuid::from_u128(number as u128)),
            content_hash: format!("content {number}"),
            received_at: Timestamp::from_unix_ms(NOW - age),
        }
    }

    fn arrive(&mut self, origin: &Origin, event: &KnownEvent, redrive_of: Vec<Origin>) {
        let (origin, received_at) = (origin.clone(), event.received_at);
        self.facts.arrivals.push(KnownLine { origin, event: Some(event.clone()), received_at, redrive_of });
    }

    fn archive(&mut self, origin: &Origin, event: &KnownEvent, item_until: Option<i64>) {
        let line = ArchivedLine {
            event: KnownEvent { content_hash: String::new(), ..event.clone() },
            origin: origin.clone(),
            object: "events/one".into(),
            item_until: item_until.map(Timestamp::from_unix_ms),
        };
        self.facts.archived.push(line);
    }

    fn insert(&mut self, origin: &Origin, event: &KnownEvent) {
        self.facts.items.push(KnownItem {
            tenant: event.tenant.clone(),
            id: event.id.clone(),
            origin: origin.clone(),
            admission_id: event.admission_id,
            content_hash: event.content_hash.clone(),
            received_at: Some(event.received_at),
        });
    }

    fn failed_line(origin: &Origin, event: Option<&KnownEvent>) -> KnownLine {
        let received_at = event.map_or(Timestamp::from_unix_ms(NOW - 60_000), |event| event.received_at);
        KnownLine { origin: origin.clone(), event: event.cloned(), received_at, redrive_of: Vec::new() }
    }

    /// Puts an event into quarantine, because another one has its id. Returns it with the id that it would get.
    fn reuse(&mut self, origin: &Origin, event: &KnownEvent) -> KnownEvent {
        let id = EventId::of_part(event.id.as_str(), "new").unwrap();
        let as_new = KnownEvent { id, ..event.clone() };
        self.facts.id_reused.push(Self::failed_line(origin, Some(event)));
        self.facts.as_new.push(Self::failed_line(origin, Some(&as_new)));
        as_new
    }

    /// Stores a new event.
    fn store(&mut self) -> (Origin, KnownEvent) {
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
            StoredOfForeignProducer => {
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
                    self.reuse(&origin, &event);
                    self.expected.quarantined += 1;
                }
                self.arrive(&origin, &event, Vec::new());
            }
            RedrivenAsNew => {
                let (_, first) = self.store();
                let (origin, mut event) = (self.origin(READ_FROM), self.event(50_000));
                (event.tenant, event.id) = (first.tenant, first.id);
                self.arrive(&origin, &event, Vec::new());
                event = self.reuse(&origin, &event);
                let again = self.origin(READ_FROM + 1_000);
                self.arrive(&again, &event, vec![origin]);
                self.insert(&again, &event);
                self.archive(&again, &event, None);
                self.expected.stored += 1;
            }
            _ => self.live_unstored(fate),
        }
        if fate != Unreadable {
            self.expected.admissions += 1;
        }
    }

    /// The fates of events that are not stored at once.
    fn live_unstored(&mut self, fate: Fate) {
        match fate {
            Unreadable => {
                let origin = self.origin(READ_FROM);
                let failed = Self::failed_line(&origin, None);
                let received_at = failed.received_at;
                // From two attempts.
                self.facts.quarantined.extend([failed.clone(), failed]);
                self.facts.arrivals.push(KnownLine {
                    origin,
                    event: None,
                    received_at,
                    redrive_of: Vec::new(),
                });
                self.others.admissions += 1;
                self.others.quarantined += 1;
            }
            Failed | FailedWithItem | FailedAndRedriven | FailedAndInProgress | QuarantinedAndRedriven => {
                let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
                self.arrive(&origin, &event, Vec::new());
                let failed = Self::failed_line(&origin, Some(&event));
                if fate == QuarantinedAndRedriven {
                    self.facts.quarantined.push(failed);
                } else {
                    self.facts.failed.push(failed);
                }
                match fate {
                    FailedWithItem => self.insert(&origin, &event),
                    FailedAndRedriven | QuarantinedAndRedriven => {
                        let again = self.origin(READ_FROM + 1_000);
                        self.arrive(&again, &event, vec![origin]);
                        self.insert(&again, &event);
                        self.archive(&again, &event, None);
                    }
                    FailedAndInProgress => {
                        let again = self.origin(DONE_END);
                        self.arrive(&again, &event, vec![origin.clone()]);
                        self.insert(&origin, &event);
                    }
                    _ => {}
                }
                *match fate {
                    Failed | FailedWithItem => &mut self.expected.failed,
                    FailedAndInProgress => &mut self.expected.in_flight,
                    _ => &mut self.expected.stored,
                } += 1;
            }
            ExpiredAndInProgress => {
                let (origin, event, again) = (self.origin(1), self.event(3 * DAY), self.origin(DONE_END));
                self.arrive(&again, &event, vec![origin.clone()]);
                self.insert(&origin, &event);
                self.expected.in_flight += 1;
            }
            InsertedOnly | OnTheStreamOnly => {
                let (origin, event) = (self.origin(DONE_END), self.event(1_000));
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

    /// Judged as if memory were so small that nearly each event is a group of its own, which must give the same as all together.
    fn judge(&self) -> Balance {
        let replaced = self.facts.arrivals.iter().collect();
        let facts = AuditFacts { replaced, ..self.facts.clone() };
        let together = sorted(account(&facts));
        let mut partitions = Partitions::new(Bounds { buffered: 2_000, group: 1_000 });
        for fact in facts_of(&facts) {
            partitions.add(&fact).unwrap();
        }
        let mut part = facts;
        part.clear();
        let mut balance = Balance::default();
        let mut groups = Groups::from(partitions);
        while groups.next(|fact| part.add(fact)).unwrap() {
            balance.add(account(&part));
            part.clear();
        }
        let apart = sorted(balance);
        assert_eq!(apart, together);
        apart
    }
}

fn sorted(mut balance: Balance) -> Balance {
    balance.findings.sort_by_key(|finding| format!("{finding:?}"));
    balance
}

fn facts_of(facts: &AuditFacts) -> Vec<Fact> {
    let AuditFacts {
        arrivals, archived, quarantined, id_reused, as_new, failed, items, spilled, dead, ..
    } = facts.clone();
    let all = archived.into_iter().map(Fact::Archived);
    let all = all.chain(quarantined.into_iter().map(Fact::Quarantined));
    let all = all.chain(id_reused.into_iter().map(Fact::IdReused)).chain(as_new.into_iter().map(Fact::AsNew));
    let all = all.chain(failed.into_iter().map(Fact::Failed)).chain(items.into_iter().map(Fact::Item));
    let all = all.chain(spilled.into_iter().map(Fact::Spilled)).chain(dead.into_iter().map(Fact::Dead));
    all.chain(arrivals.into_iter().map(Fact::Arrived)).collect()
}

/// A change that must cause findings.
#[derive(Clone, Copy, Debug)]
enum Change {
    DropLine,
    DropItem,
    DropQuarantine,
    DropFailure,
    DoubleLine,
    ForeignLine,
    ForeignItem,
    MoveItemToOtherTenant,
    MoveLineToOtherOrigin,
}

const CHANGES: [Change; 9] = [
    Change::DropLine,
    Change::DropItem,
    Change::DropQuarantine,
    Change::DropFailure,
    Change::DoubleLine,
    Change::ForeignLine,
    Change::ForeignItem,
    Change::MoveItemToOtherTenant,
    Change::MoveLineToOtherOrigin,
];

type Named = (FindingKind, Option<(TenantId, EventId)>, Option<Origin>);

fn named(kind: FindingKind, tenant: &TenantId, id: &EventId) -> Named {
    (kind, Some((tenant.clone(), id.clone())), None)
}

impl History {
    /// Applies it to the event that `choice` chooses, and returns the expected findings. `None` if no event is suitable.
    fn change(&mut self, change: Change, choice: prop::sample::Index) -> Option<Vec<Named>> {
        let one = |count: usize| (count > 0).then(|| choice.index(count));
        match change {
            Change::DropLine => {
                let line = self.remove_line(choice)?;
                Some(vec![named(FindingKind::Missing, &line.event.tenant, &line.event.id)])
            }
            Change::DropItem => {
                // Only of stored events: other events get their item later.
                let lines = &self.facts.archived;
                let stored = |item: &&KnownItem| lines.iter().any(|line| line.origin == item.origin);
                let stored: Vec<_> = self.facts.items.iter().filter(stored).cloned().collect();
                let item = stored[one(stored.len())?].clone();
                self.facts.items.retain(|other| *other != item);
                Some(vec![named(FindingKind::Missing, &item.tenant, &item.id)])
            }
            Change::DropQuarantine | Change::DropFailure => {
                let redriven: Vec<_> =
                    self.facts.arrivals.iter().flat_map(|arrival| arrival.redrive_of.clone()).collect();
                let failed = match change {
                    Change::DropQuarantine => {
                        vec![&mut self.facts.quarantined, &mut self.facts.id_reused, &mut self.facts.as_new]
                    }
                    _ => vec![&mut self.facts.failed],
                };
                let live = failed.iter().take(2).flat_map(|failed| failed.iter());
                let live: Vec<_> =
                    live.filter(|failed| !redriven.contains(&failed.origin)).cloned().collect();
                let lost = live[one(live.len())?].clone();
                for failed in failed {
                    failed.retain(|failed| failed.origin != lost.origin);
                }
                let name = lost.event.map(|event| (event.tenant, event.id));
                Some(vec![(FindingKind::Missing, name, Some(lost.origin))])
            }
            Change::DoubleLine => {
                let lines = &mut self.facts.archived;
                let line = lines[one(lines.len())?].clone();
                let expected = vec![named(FindingKind::Doubled, &line.event.tenant, &line.event.id)];
                lines.push(ArchivedLine { object: "events/two".into(), ..line });
                Some(expected)
            }
            Change::ForeignLine | Change::ForeignItem => {
                let (origin, event) = (self.origin(READ_FROM), self.event(60_000));
                match change {
                    Change::ForeignLine => self.archive(&origin, &event, None),
                    _ => self.insert(&origin, &event),
                }
                Some(vec![named(FindingKind::Foreign, &event.tenant, &event.id)])
            }
            Change::MoveItemToOtherTenant => {
                let lines = &self.facts.archived;
                let stored = |item: &KnownItem| lines.iter().any(|line| line.origin == item.origin);
                let arrived = |item: &KnownItem| {
                    self.facts.arrivals.iter().any(|arrival| arrival.origin == item.origin)
                };
                let items = self.facts.items.iter().enumerate();
                let movable: Vec<_> =
                    items.filter(|(_, item)| stored(item) && arrived(item)).map(|(index, _)| index).collect();
                let item = &mut self.facts.items[movable[one(movable.len())?]];
                let before = (item.tenant.clone(), item.id.clone());
                item.tenant = TenantId::parse("thief").unwrap();
                let missing = named(FindingKind::Missing, &before.0, &before.1);
                Some(vec![named(FindingKind::Foreign, &item.tenant, &item.id), missing])
            }
            Change::MoveLineToOtherOrigin => {
                let line = self.remove_line(choice)?;
                let origin = self.origin(READ_FROM);
                self.facts.archived.push(ArchivedLine { origin, ..line.clone() });
                let missing = named(FindingKind::Missing, &line.event.tenant, &line.event.id);
                let is_old = line.event.received_at.unix_ms() < NOW - DAY;
                let foreign = named(FindingKind::Foreign, &line.event.tenant, &line.event.id);
                Some(if is_old { vec![foreign] } else { vec![foreign, missing] })
            }
        }
    }

    /// Removes a line whose event has an item.
    fn remove_line(&mut self, choice: prop::sample::Index) -> Option<ArchivedLine> {
        let items = &self.facts.items;
        let lines = self.facts.archived.iter().enumerate();
        let with_item = lines.filter(|(_, line)| items.iter().any(|item| item.origin == line.origin));
        let with_item: Vec<_> = with_item.map(|(index, _)| index).collect();
        let index = (!with_item.is_empty()).then(|| with_item[choice.index(with_item.len())])?;
        Some(self.facts.archived.remove(index))
    }
}

fn has(findings: &[AuditFinding], (kind, name, origin): &Named) -> bool {
    findings.iter().any(|finding| {
        let found = finding.tenant.clone().zip(finding.id.clone());
        finding.kind == *kind && found == *name && (origin.is_none() || finding.origin == *origin)
    })
}

#[test]
fn each_fate_balances_and_is_counted() {
    for fate in FATES {
        let history = History::of(&[fate]);
        let balance = history.judge();
        assert_eq!(balance.findings, [], "{fate:?}");
        let counted = (balance.total.ingest, balance.total.foreign_producers);
        assert_eq!(counted, (history.expected, history.others), "{fate:?}");
    }
}

#[test]
fn each_change_is_possible_with_one_of_each_fate() {
    use prop::strategy::ValueTree;
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let choice = any::<prop::sample::Index>().new_tree(&mut runner).unwrap().current();
    for change in CHANGES {
        assert!(History::of(&FATES).change(change, choice).is_some(), "{change:?}");
    }
}

#[test]
fn an_event_with_a_new_id_is_stored_also_after_the_stream_has_expired() {
    let mut history = History::of(&[RedrivenAsNew]);
    history.facts.arrivals.clear();
    for shard in history.facts.shards.values_mut() {
        shard.read_from = None;
    }
    history.facts.stream_from = Timestamp::from_unix_ms(NOW);
    let balance = history.judge();
    assert_eq!((balance.findings, balance.total.ingest), (vec![], history.expected));
}

#[test]
fn an_event_that_copies_an_admission_is_judged_alone() {
    let mut history = History::of(&[]);
    let (_, first) = history.store();
    let tenant = TenantId::parse("thief").unwrap();
    let of_other_tenant = KnownEvent { tenant, ..first.clone() };
    let with_other_id = KnownEvent { id: EventId::parse("9").unwrap(), ..first.clone() };
    for copy in [&of_other_tenant, &with_other_id] {
        let origin = history.origin(READ_FROM);
        history.arrive(&origin, copy, Vec::new());
        history.insert(&origin, copy);
        history.archive(&origin, copy, None);
    }
    let origin = history.origin(READ_FROM);
    let with_other_content = KnownEvent { content_hash: "another".to_owned(), ..first };
    history.arrive(&origin, &with_other_content, Vec::new());
    history.reuse(&origin, &with_other_content);
    let balance = history.judge();
    assert_eq!(balance.findings, []);
    let Counts { admissions, stored, quarantined, redelivered, .. } = balance.total.ingest;
    assert_eq!([admissions, stored, quarantined, redelivered], [4, 3, 1, 0]);

    history.facts.id_reused.clear();
    history.facts.as_new.clear();
    history.facts.archived.retain(|line| line.event.tenant.as_str() != "thief");
    history.facts.items.retain(|item| item.tenant.as_str() != "thief");
    let missing = history.judge().findings.into_iter().map(|finding| (finding.kind, finding.tenant));
    let expected = [&with_other_content, &of_other_tenant].map(|event| event.tenant.clone());
    assert_eq!(missing.collect::<Vec<_>>(), expected.map(|tenant| (FindingKind::Missing, Some(tenant))));
}

#[test]
fn a_line_that_names_the_origin_of_another_event_as_its_own_hides_nothing() {
    let mut history = History::of(&[Stored]);
    let victim = history.facts.archived.remove(0);
    history.facts.items.clear();
    let (of_same_name, other) = (history.event(1_000), history.event(1_000));
    let of_same_name =
        KnownEvent { tenant: victim.event.tenant.clone(), id: victim.event.id.clone(), ..of_same_name };
    for event in [of_same_name, other] {
        let origin = history.origin(DONE_END);
        history.arrive(&origin, &event, vec![victim.origin.clone()]);
    }
    let balance = history.judge();
    assert_eq!((balance.findings.len(), balance.total.ingest.in_flight), (1, 2), "{:?}", balance.findings);
    assert_eq!(balance.findings[0].origin, Some(victim.origin));
}

#[test]
fn a_finding_says_what_is_missing() {
    let mut history = History::of(&[Stored]);
    history.facts.items.clear();
    let details = history.judge().findings.into_iter().map(|finding| finding.detail);
    assert_eq!(details.collect::<Vec<_>>(), ["archived, and it has no item"]);
}

#[test]
fn events_outside_the_span_are_not_counted() {
    let mut history = History::of(&[Stored, StoredLongAgo, Dead]);
    history.facts.span = crate::archive::Span::new(Some(Timestamp::from_unix_ms(NOW - DAY)), None);
    let balance = history.judge();
    assert_eq!((balance.findings.len(), balance.total.ingest.admissions), (0, 1));
}

#[test]
fn an_id_that_is_sent_again_after_its_item_expired_is_a_new_event() {
    for (item_until, findings) in [(NOW - 90_000, 0), (NOW - 30_000, 1)] {
        let mut history = History::of(&[Stored]);
        let (origin, event) = (history.origin(1), history.event(3 * DAY));
        let again = history.facts.items[0].clone();
        let event = KnownEvent { tenant: again.tenant, id: again.id, ..event };
        history.archive(&origin, &event, Some(item_until));
        let balance = history.judge();
        assert_eq!(
            (balance.findings.len(), balance.total.ingest.stored),
            (findings, 2),
            "{:?}",
            balance.findings
        );
    }
}

#[test]
fn tenants_and_shards_add_up_to_the_total() {
    let balance = History::of(&FATES).judge();
    let sum = |tallies: Vec<super::balance::Tally>| {
        tallies.iter().map(|tally| tally.ingest.admissions + tally.foreign_producers.admissions).sum::<u64>()
    };
    let all = sum(vec![balance.total]);
    assert_eq!(sum(balance.tenants.into_values().collect()), all);
    assert_eq!(sum(balance.shards.into_values().collect()), all);
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    prop::collection::vec(prop::sample::select(FATES.to_vec()), 1..40)
}

proptest! {
    #[test]
    fn an_unchanged_history_balances(fates in fates()) {
        let history = History::of(&fates);
        let balance = history.judge();
        prop_assert_eq!(&balance.findings, &[]);
        prop_assert_eq!(balance.total.ingest, history.expected);
        prop_assert_eq!(balance.total.foreign_producers, history.others);
        let counts = history.expected;
        let outcomes = counts.stored + counts.deduplicated + counts.quarantined + counts.failed + counts.in_flight;
        prop_assert_eq!(outcomes, counts.admissions);
    }

    #[test]
    fn each_change_causes_findings(
        fates in fates(),
        change in prop::sample::select(CHANGES.to_vec()),
        choice in any::<prop::sample::Index>(),
    ) {
        let mut history = History::of(&fates);
        let Some(expected) = history.change(change, choice) else { return Ok(()) };
        let findings = history.judge().findings;
        for named in &expected {
            prop_assert!(has(&findings, named), "{:?} is not among {:?}", named, findings);
        }
        prop_assert!(findings.len() <= 2, "and nothing else: {:?}", findings);
    }
}
