//! The accounting: what became of each admission, and what does not balance. Facts in, balance out; no I/O, no clock.
//!
//! All lines of one admission are one *case*. One rule decides it: an event is archived by the origin that its item names,
//! and by no other.

use std::collections::{HashMap, HashSet};

use shared::format::content_hash::is_same;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::balance::{AdmissionOutcome, AuditFinding, Balance, FindingKind};
use super::cases::{Case, Cases};
use super::facts::{ArchivedLine, AuditFacts, KnownItem, KnownLine};
use crate::archive::{SKEW, earlier};

/// For events whose tenant cannot be read.
const UNREADABLE: &str = "(unreadable)";
/// Of an item that names such an origin. The line there may be of another group.
const NO_SUCH_EVENT: &str = "an item whose origin holds another event on the stream, or none";
/// For events that wait in a queue.
const QUEUED: &str = "(not on the stream)";

/// The facts may be of a group of events only, but of each event all are there.
pub(crate) fn account(facts: &AuditFacts) -> Balance {
    let index = FactIndex::new(facts);
    let mut balance = Balance::default();
    index.check_strangers(&mut balance.findings);
    index.check_erased(&mut balance.findings);
    for case in index.cases.iter() {
        if !facts.span.has(case.received_at) || index.is_counted_elsewhere(case) {
            continue;
        }
        let Judged { outcome, redelivered, origin } = index.judge(case, &mut balance.findings);
        let tenant = case.name.as_ref().map_or(UNREADABLE, |(tenant, _)| tenant.as_str());
        let shard = origin.map_or(QUEUED, |origin| &*origin.shard);
        let tallies = [
            &mut balance.total,
            balance.tenants.entry(tenant.to_owned()).or_default(),
            balance.shards.entry(shard.to_owned()).or_default(),
        ];
        for tally in tallies {
            let counts =
                if case.is_of_foreign_producer() { &mut tally.foreign_producers } else { &mut tally.ingest };
            counts.add(outcome, redelivered);
        }
    }
    balance
}

/// The events that are done and stored nowhere: for each the origin of the one line to redrive. It is the line that the
/// event's item names, or one that replaced it: no other may take over the item. Without an item it is the latest line.
pub(crate) fn stranded(facts: &AuditFacts) -> HashSet<Origin> {
    let index = FactIndex::new(facts);
    let mut stranded = HashSet::new();
    for case in index.cases.iter() {
        let item = index.item_of(case);
        if index.archived_of(case).next().is_some()
            || index.is_counted_elsewhere(case)
            || index.unarchived(case, item).is_ok()
        {
            continue;
        }
        let item = item.filter(|item| case.owns(item));
        let takes_over = |arrival: &&KnownLine| item.is_none_or(|item| arrival.may_take_over(item));
        let live = case.live().filter_map(|origin| index.arrivals.get(origin).copied());
        stranded.extend(live.filter(takes_over).last().map(|arrival| arrival.origin.clone()));
    }
    stranded
}

struct Judged<'a> {
    outcome: AdmissionOutcome,
    /// Extra deliveries.
    redelivered: u64,
    /// Its origin, or its last one.
    origin: Option<&'a Origin>,
}

/// The facts, indexed.
struct FactIndex<'a> {
    facts: &'a AuditFacts,
    cases: Cases,
    /// The lines on the stream.
    arrivals: HashMap<&'a Origin, &'a KnownLine>,
    /// Archived lines, without strange lines.
    archived: HashMap<(Name<'a>, &'a Origin), Vec<&'a ArchivedLine>>,
    items: HashMap<Name<'a>, &'a KnownItem>,
    quarantined: HashSet<&'a Origin>,
    failed: HashMap<&'a Origin, &'a KnownLine>,
    /// Origins that later ones replaced.
    former: HashSet<&'a Origin>,
    /// The events in the archive.
    names: HashSet<Name<'a>>,
}

type Name<'a> = (&'a TenantId, &'a EventId);

impl<'a> FactIndex<'a> {
    fn new(facts: &'a AuditFacts) -> Self {
        let quarantined = facts.quarantined.iter().chain(&facts.id_reused).chain(&facts.as_new);
        let quarantined = quarantined.map(|line| &line.origin);
        let mut index = Self {
            facts,
            cases: Cases::default(),
            arrivals: facts.arrivals.iter().map(|arrival| (&arrival.origin, arrival)).collect(),
            archived: HashMap::new(),
            items: facts.items.iter().map(|item| ((&item.tenant, &item.id), item)).collect(),
            quarantined: quarantined.chain(&facts.readable_now).collect(),
            failed: facts.failed.iter().map(|line| (&line.origin, line)).collect(),
            former: facts.arrivals.iter().flat_map(|arrival| &arrival.redrive_of).collect(),
            names: HashSet::new(),
        };
        for line in lines(facts) {
            if !index.is_strange(line) {
                index.archived.entry((line.event.name(), &line.origin)).or_default().push(line);
                index.names.insert(line.event.name());
            }
        }
        index.cases = Cases::of(
            facts,
            |line| facts.span.has(line.event.received_at) && !index.is_strange(line),
            |line| index.is_covered(&line.origin, line.received_at),
        );
        index
    }

    /// The origin that the line names is known to hold another event, or none.
    fn is_strange(&self, line: &ArchivedLine) -> bool {
        match self.arrivals.get(&line.origin) {
            Some(arrival) => !arrival.event.as_ref().is_some_and(|event| {
                event.admission_id == line.event.admission_id && event.name() == line.event.name()
            }),
            None => self.is_covered(&line.origin, line.event.received_at),
        }
    }

    /// If the stream has a line of that origin, it was read.
    fn is_covered(&self, origin: &Origin, received_at: Timestamp) -> bool {
        let read_from = self.facts.shards.get(&origin.shard).and_then(|shard| shard.read_from.as_ref());
        let is_after = read_from.is_some_and(|read_from| ShardPosition::from(origin) >= *read_from);
        is_after || earlier(received_at, SKEW) >= self.facts.stream_from
    }

    /// The line of that origin is done.
    fn is_done(&self, origin: &Origin) -> bool {
        let done_end = self.facts.shards.get(&origin.shard).and_then(|shard| shard.done_end.as_ref());
        done_end.is_some_and(|done_end| ShardPosition::from(origin) < *done_end)
    }

    /// Finds lines and items of no event, and items whose event is neither on the stream nor in the archive.
    fn check_strangers(&self, findings: &mut Vec<AuditFinding>) {
        for line in lines(self.facts).filter(|line| self.is_strange(line)) {
            let detail = "an archived line whose origin holds another event on the stream, or none";
            let name = Some(line.event.name());
            findings.push(
                AuditFinding::event(FindingKind::Foreign, name, Some(&line.origin), detail)
                    .within(&line.object),
            );
        }
        for item in &self.facts.items {
            let Some(received_at) = item.received_at.filter(|at| self.facts.span.has(*at)) else { continue };
            let (kind, detail) = match self.arrivals.get(&item.origin) {
                Some(KnownLine { event: Some(event), .. }) if event.name() == (&item.tenant, &item.id) => {
                    continue;
                }
                Some(_) => (FindingKind::Foreign, NO_SUCH_EVENT),
                None if self.is_covered(&item.origin, received_at) => (FindingKind::Foreign, NO_SUCH_EVENT),
                None if self.is_accounted_for(item) => continue,
                None if self.is_done(&item.origin) => {
                    (FindingKind::Missing, "an item names this origin, and the archive has no line of it")
                }
                None => {
                    (FindingKind::Foreign, "an item whose origin is beyond all known records of its shard")
                }
            };
            let name = Some((&item.tenant, &item.id));
            findings.push(AuditFinding::event(kind, name, Some(&item.origin), detail));
        }
    }

    /// The stream no longer has that origin, but an archived line, a failure or a redriven event accounts for it.
    fn is_accounted_for(&self, item: &KnownItem) -> bool {
        let KnownItem { tenant, id, origin, .. } = item;
        self.archived.contains_key(&((tenant, id), origin))
            || self.failed.contains_key(origin)
            || self.former.contains(origin)
    }

    /// It was redriven under another name, or can be read by now: it is counted under the name that it has now.
    fn is_counted_elsewhere(&self, case: &Case) -> bool {
        let is_replaced = case.live().any(|origin| self.facts.replaced.has(origin, case.admission_id));
        is_replaced && self.archived_of(case).next().is_none()
    }

    /// The origins by which a case is archived.
    fn archived_of<'c>(&'c self, case: &'c Case) -> impl Iterator<Item = &'c Origin> {
        case.origins.iter().filter(|origin| !self.lines_at(case, origin).is_empty())
    }

    /// Its archived lines of this origin.
    fn lines_at<'c>(&'c self, case: &'c Case, origin: &'c Origin) -> &'c [&'c ArchivedLine] {
        case.named().and_then(|name| self.archived.get(&(name, origin))).map_or(&[], Vec::as_slice)
    }

    /// The item with its id, which may be of another event.
    fn item_of<'c>(&'c self, case: &'c Case) -> Option<&'c KnownItem> {
        self.items.get(&case.named()?).copied()
    }

    fn judge<'c>(&'c self, case: &'c Case, findings: &mut Vec<AuditFinding>) -> Judged<'c> {
        let archived: Vec<_> = self.archived_of(case).collect();
        if let Some(first) = archived.first().copied() {
            let lines: Vec<_> =
                archived.iter().flat_map(|origin| self.lines_at(case, origin)).copied().collect();
            self.check_stored(&lines, findings);
            let others = case.arrivals.iter().filter(|origin| {
                !archived.contains(origin) && !case.former.contains(*origin) && self.is_done(origin)
            });
            let redelivered = others.count() as u64;
            return Judged { outcome: AdmissionOutcome::Stored, redelivered, origin: Some(first) };
        }
        let origin = case.live().last();
        let outcome = self.unarchived(case, self.item_of(case)).unwrap_or_else(|detail| {
            if self.is_erased(case) {
                return AdmissionOutcome::Erased;
            }
            findings.push(AuditFinding::event(FindingKind::Missing, case.named(), origin, detail));
            AdmissionOutcome::Missing
        });
        Judged { outcome, redelivered: 0, origin }
    }

    /// All its origins were erased.
    fn is_erased(&self, case: &Case) -> bool {
        let is_erased = |(tenant, id): Name<'_>| {
            case.origins.iter().all(|origin| self.facts.erased.has(tenant, id, origin))
        };
        case.named().is_some_and(is_erased)
    }

    /// What is stored although it was erased.
    fn check_erased(&self, findings: &mut Vec<AuditFinding>) {
        let mut check = |(tenant, id): Name<'_>, origin: &Origin, what: &str, object: Option<&str>| {
            let Some(erased) = self.facts.erased.finished(tenant, id, origin) else { return };
            let detail = format!("{what}, and it was erased at {erased}: run `tidegate erase` again");
            let finding = AuditFinding::event(FindingKind::Foreign, Some((tenant, id)), Some(origin), detail);
            findings.push(match object {
                Some(object) => finding.within(object),
                None => finding,
            });
        };
        for line in lines(self.facts) {
            check(line.event.name(), &line.origin, "archived", Some(&line.object));
        }
        for item in &self.facts.items {
            check((&item.tenant, &item.id), &item.origin, "an item", None);
        }
    }

    /// A stored event has one line, and an item that names it.
    fn check_stored(&self, lines: &[&ArchivedLine], findings: &mut Vec<AuditFinding>) {
        let line = lines[0];
        let name = line.event.name();
        for other in &lines[1..] {
            let detail = format!("archived {} times: in `{}` as well", lines.len(), line.object);
            let finding = AuditFinding::event(FindingKind::Doubled, Some(name), Some(&other.origin), detail);
            findings.push(finding.within(&other.object));
        }
        let (kind, detail) = match self.items.get(&name).copied() {
            Some(item) if lines.iter().any(|line| line.origin == item.origin) => return,
            // The item is of a later event, which came after this one's item expired.
            Some(item) if item.received_at.is_some_and(|at| is_over(line, at)) => return,
            Some(item) if self.archived.contains_key(&(name, &item.origin)) => (
                FindingKind::Doubled,
                format!("archived, and so is the event that its item names, at {}", item.origin),
            ),
            Some(item) => (
                FindingKind::Foreign,
                format!("archived, and its item names another event, at {}", item.origin),
            ),
            None if is_over(line, self.facts.now) => return,
            None => (FindingKind::Missing, "archived, and it has no item".to_owned()),
        };
        findings.push(AuditFinding::event(kind, Some(name), Some(&line.origin), detail).within(&line.object));
    }

    /// What became of an event that is not archived, or why it is missing.
    fn unarchived(&self, case: &Case, item: Option<&KnownItem>) -> Result<AdmissionOutcome, &'static str> {
        if case.live().any(|origin| self.quarantined.contains(origin)) {
            return Ok(AdmissionOutcome::Quarantined);
        }
        match (self.holder(case, item), self.course(case, item)) {
            // Even if more of its lines are in progress: they find the item, and leave archiving to the origin that it names.
            (Holder::ItselfAndDone, _) => Err("it has an item, and the archive has no line of it"),
            // If the item is gone, the event that it was compared with has expired since. Whether it may have is judged
            // with that event's line.
            (Holder::SameContent, _) | (Holder::Gone, Course::Over) => Ok(AdmissionOutcome::Deduplicated),
            // If its own item exists, the attempt that inserted it, or one that takes it over, will archive it.
            (_, Course::InProgress) | (Holder::Itself, Course::Over) => Ok(AdmissionOutcome::InFlight),
            (_, Course::Saved) => Ok(AdmissionOutcome::Failed),
            // The redriven line is done too, and did not take over the item.
            (Holder::ItselfAndFailed, Course::Over) => {
                Err("its item names an earlier origin, and the archive has no line of it")
            }
            (Holder::OtherContent, Course::Over) => {
                Err("its id belongs to another content, and quarantine does not have it")
            }
            (Holder::None, Course::Over) if case.name.is_none() => {
                Err("it cannot be read, and quarantine does not have it")
            }
            (Holder::None, Course::Over) => {
                Err("it has no item, and is neither in the archive nor in quarantine")
            }
        }
    }

    fn holder(&self, case: &Case, item: Option<&KnownItem>) -> Holder {
        let Some(item) = item else {
            let is_archived = case.named().is_some_and(|name| self.names.contains(&name));
            return if is_archived { Holder::Gone } else { Holder::None };
        };
        let has_failed = self.failed.contains_key(&item.origin) || case.former.contains(&item.origin);
        if case.owns(item) {
            match (self.is_done(&item.origin), has_failed) {
                (true, false) => Holder::ItselfAndDone,
                (true, true) => Holder::ItselfAndFailed,
                (false, _) => Holder::Itself,
            }
        } else if case.content_hash.as_ref().is_some_and(|hash| is_same(hash, &item.content_hash)) {
            Holder::SameContent
        } else {
            Holder::OtherContent
        }
    }

    fn course(&self, case: &Case, item: Option<&KnownItem>) -> Course {
        // A saved copy of the line that the item names helps nothing: redriven, it is a duplicate.
        let item = item.filter(|item| case.owns(item));
        let is_saved = |origin| {
            self.failed.get(origin).is_some_and(|line| item.is_none_or(|item| line.may_take_over(item)))
        };
        if case.is_spilled
            || case.live().any(|origin| !self.is_done(origin) && !self.failed.contains_key(origin))
        {
            Course::InProgress
        } else if case.is_dead || case.live().any(is_saved) {
            Course::Saved
        } else {
            Course::Over
        }
    }
}

/// Which event has the item with the id of an event that is not archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// This one, by an origin that is done.
    ItselfAndDone,
    /// This one, by an origin that is done and failed or was redriven.
    ItselfAndFailed,
    /// This one, by an origin that is not done yet.
    Itself,
    /// Another event with the same content.
    SameContent,
    /// Another event with other content.
    OtherContent,
    /// None any more: the archive has an event with this id, so there was an item.
    Gone,
    /// None.
    None,
}

/// What will still happen to an event that is not archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is in the spill queue, or at an origin that is not done yet.
    InProgress,
    /// Nothing until it is redriven: it failed and is saved.
    Saved,
    /// Nothing.
    Over,
}

/// The lines of the span.
fn lines(facts: &AuditFacts) -> impl Iterator<Item = &ArchivedLine> {
    facts.archived.iter().filter(|line| facts.span.has(line.event.received_at))
}

/// The item of a line may be deleted by then.
fn is_over(line: &ArchivedLine, now: Timestamp) -> bool {
    line.item_until.is_some_and(|until| until <= now)
}
