//! The accounting: what became of each admission, and what does not balance. Facts in, verdict out; no I/O, no clock.
//!
//! The lines of one admission, wherever they were found, are one *case*. The rule that everything rests on decides it:
//! an event is archived by the origin that its item names, and by no other.

use std::collections::{HashMap, HashSet};

use shared::id::{AdmissionId, EventId, TenantId};
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::cases::{Case, Cases};
use super::facts::{Arrival, Facts, Item, Line};
use super::verdict::{Finding, Kind, Outcome, Verdict};
use crate::archive::SKEW_MS;

/// Judges.
pub(crate) fn account(facts: &Facts) -> Verdict {
    let books = Books::new(facts);
    let mut verdict = Verdict { findings: facts.faults.clone(), ..Verdict::default() };
    books.strangers(&mut verdict.findings);
    for case in books.cases.iter() {
        if !facts.span.has(case.received_at) {
            continue;
        }
        let Judged { outcome, redelivered, origin } = books.judge(case, &mut verdict.findings);
        let tenant = case.name.as_ref().map(|(tenant, _)| tenant.clone());
        let shard = origin.map(|origin| origin.shard.clone());
        let tallies = [
            &mut verdict.total,
            verdict.tenants.entry(tenant).or_default(),
            verdict.shards.entry(shard).or_default(),
        ];
        for tally in tallies {
            let counts =
                if case.is_of_other_producer() { &mut tally.other_producers } else { &mut tally.door };
            counts.add(outcome, redelivered);
        }
    }
    verdict.findings.sort_by(|a, b| (a.kind, &a.tenant, &a.id).cmp(&(b.kind, &b.tenant, &b.id)));
    verdict
}

/// Where on the stream the events lie that no place behind it has although they are done: of each the one line that is to
/// be brought back. It is the line that the event's item names, or one that came in its place; any other would find an
/// item that it may not take over. Without an item it is the latest.
pub(crate) fn stranded(facts: &Facts) -> HashSet<Origin> {
    let books = Books::new(facts);
    let arrivals: HashMap<_, _> = facts.arrivals.iter().map(|arrival| (&arrival.origin, arrival)).collect();
    let mut stranded = HashSet::new();
    for case in books.cases.iter() {
        let item = books.item_of(case);
        if books.archived_of(case).next().is_some() || books.unarchived(case, item).is_ok() {
            continue;
        }
        let item = item.filter(|item| case.owns(item));
        let takes_over = |arrival: &&Arrival| {
            item.is_none_or(|item| arrival.origin == item.origin || arrival.redrive_of.contains(&item.origin))
        };
        let live = case.live().filter_map(|origin| arrivals.get(origin).copied());
        stranded.extend(live.filter(takes_over).last().map(|arrival| arrival.origin.clone()));
    }
    stranded
}

/// What became of a case.
struct Judged<'a> {
    outcome: Outcome,
    /// How often it came by the stream besides.
    redelivered: u64,
    /// Where it lies, or lay last.
    origin: Option<&'a Origin>,
}

/// The facts, by what they are looked up by.
struct Books<'a> {
    facts: &'a Facts,
    cases: Cases,
    /// What lies at each place of the stream; `None` if it cannot be read.
    arrivals: HashMap<&'a Origin, Option<(&'a TenantId, &'a EventId, AdmissionId)>>,
    /// Archived lines and their objects' keys. Strangers are not among them.
    archived: HashMap<&'a Origin, Vec<(&'a Line, &'a str)>>,
    items: HashMap<(&'a TenantId, &'a EventId), &'a Item>,
    quarantined: HashSet<&'a Origin>,
    failed: HashSet<&'a Origin>,
    /// Places that others were put in place of.
    former: HashSet<&'a Origin>,
    /// Who is in the archive.
    names: HashSet<(&'a TenantId, &'a EventId)>,
}

impl<'a> Books<'a> {
    fn new(facts: &'a Facts) -> Self {
        let arrivals = facts.arrivals.iter().map(|arrival| {
            let event = arrival.event.as_ref();
            (&arrival.origin, event.map(|event| (&event.tenant, &event.id, event.admission_id)))
        });
        let items = facts.items.iter().map(|item| ((&item.tenant, &item.id), item)).collect();
        let mut books = Self {
            facts,
            cases: Cases::default(),
            arrivals: arrivals.collect(),
            archived: HashMap::new(),
            items,
            quarantined: facts.quarantined.iter().map(|kept| &kept.origin).collect(),
            failed: facts.failed.iter().map(|kept| &kept.origin).collect(),
            former: facts.arrivals.iter().flat_map(|arrival| &arrival.redrive_of).collect(),
            names: HashSet::new(),
        };
        let known: Vec<_> = lines(facts).filter(|(line, _)| !books.is_strange(line)).collect();
        for (line, key) in known {
            books.archived.entry(&line.origin).or_default().push((line, key));
            books.names.insert((&line.tenant, &line.id));
        }
        books.cases = Cases::of(facts, |line| facts.span.has(line.received_at) && !books.is_strange(line));
        books
    }

    /// Whether the stream is known to have had something else, or nothing, where a line says it comes from.
    fn is_strange(&self, line: &Line) -> bool {
        match self.arrivals.get(&line.origin) {
            Some(arrival) => *arrival != Some((&line.tenant, &line.id, line.admission_id)),
            None => self.is_covered(&line.origin, line.received_at),
        }
    }

    /// Whether a line of that origin, if the stream had one, was surely read.
    fn is_covered(&self, origin: &Origin, received_at: Timestamp) -> bool {
        let read_from = self.facts.shards.get(&origin.shard).and_then(|shard| shard.read_from.as_ref());
        let behind = read_from.is_some_and(|read_from| ShardPosition::from(origin) >= *read_from);
        behind || received_at.unix_ms() >= self.facts.stream_from.unix_ms().saturating_add(SKEW_MS)
    }

    /// Whether everything that happens to a line of that origin has happened.
    fn is_done(&self, origin: &Origin) -> bool {
        let done_before = self.facts.shards.get(&origin.shard).and_then(|shard| shard.done_before.as_ref());
        done_before.is_some_and(|done_before| ShardPosition::from(origin) < *done_before)
    }

    /// Lines and items that nobody's event stands behind; and items whose event is gone from the stream, and which the
    /// archive does not have.
    fn strangers(&self, findings: &mut Vec<Finding>) {
        for (line, key) in lines(self.facts).filter(|(line, _)| self.is_strange(line)) {
            let detail = "an archived line whose origin holds another event on the stream, or none";
            let name = Some((&line.tenant, &line.id));
            findings.push(Finding::event(Kind::Foreign, name, Some(&line.origin), detail).within(key));
        }
        for item in &self.facts.items {
            let Some(received_at) = item.received_at.filter(|at| self.facts.span.has(*at)) else { continue };
            let mut found = |kind, detail| {
                let name = Some((&item.tenant, &item.id));
                findings.push(Finding::event(kind, name, Some(&item.origin), detail));
            };
            match self.arrivals.get(&item.origin) {
                Some(Some((tenant, id, _))) if (*tenant, *id) == (&item.tenant, &item.id) => {}
                Some(_) => found(Kind::Foreign, "an item whose origin holds another event on the stream"),
                None if self.is_covered(&item.origin, received_at) => {
                    found(Kind::Foreign, "an item whose origin holds no event on the stream");
                }
                None if self.is_spoken_for(&item.origin) => {}
                None if self.is_done(&item.origin) => {
                    found(Kind::Missing, "an item names this origin, and the archive has no line of it");
                }
                None => {
                    found(
                        Kind::Foreign,
                        "an item whose origin lies where no shard is known to have anything",
                    );
                }
            }
        }
    }

    /// Whether an origin that the stream no longer has belongs to a case: of a line, a failure, or what came in its place.
    fn is_spoken_for(&self, origin: &Origin) -> bool {
        self.archived.contains_key(origin) || self.failed.contains(origin) || self.former.contains(origin)
    }

    /// The places of a case by which it is archived.
    fn archived_of<'c>(&self, case: &'c Case) -> impl Iterator<Item = &'c Origin> {
        case.origins.iter().filter(|origin| self.archived.contains_key(origin))
    }

    /// The item that has its id, whoever's event that is.
    fn item_of<'c>(&'c self, case: &'c Case) -> Option<&'c Item> {
        self.items.get(&case.named()?).copied()
    }

    fn judge<'c>(&self, case: &'c Case, findings: &mut Vec<Finding>) -> Judged<'c> {
        let archived: Vec<_> = self.archived_of(case).collect();
        let item = self.item_of(case);
        if let Some(first) = archived.first().copied() {
            let lines: Vec<_> = archived.iter().flat_map(|origin| &self.archived[origin]).copied().collect();
            self.check_stored(case, &lines, item, findings);
            let others = case.arrivals.iter().filter(|origin| {
                !archived.contains(origin) && !case.former.contains(*origin) && self.is_done(origin)
            });
            let redelivered = others.count() as u64;
            return Judged { outcome: Outcome::Stored, redelivered, origin: Some(first) };
        }
        let origin = case.live().last();
        let outcome = self.unarchived(case, item).unwrap_or_else(|detail| {
            findings.push(Finding::event(Kind::Missing, case.named(), origin, detail));
            Outcome::Missing
        });
        Judged { outcome, redelivered: 0, origin }
    }

    /// What is archived has one line, and an item that names it.
    fn check_stored(
        &self,
        case: &Case,
        lines: &[(&Line, &str)],
        item: Option<&Item>,
        findings: &mut Vec<Finding>,
    ) {
        for (line, key) in &lines[1..] {
            let detail = format!("archived {} times: in `{}` as well", lines.len(), lines[0].1);
            let finding = Finding::event(Kind::Doubled, case.named(), Some(&line.origin), detail);
            findings.push(finding.within(key));
        }
        let (line, key) = lines[0];
        let finding =
            |kind, detail| Finding::event(kind, case.named(), Some(&line.origin), detail).within(key);
        match item {
            Some(item) if lines.iter().any(|(line, _)| line.origin == item.origin) => {}
            // Of an event that came when this one's item had had its time.
            Some(item) if item.received_at.is_some_and(|at| is_over(line, at)) => {}
            Some(item) if self.archived.contains_key(&item.origin) => {
                let detail = format!("archived, and so is the event that its item names, at {}", item.origin);
                findings.push(finding(Kind::Doubled, detail));
            }
            Some(item) => {
                let detail = format!("archived, and its item names another event, at {}", item.origin);
                findings.push(finding(Kind::Foreign, detail));
            }
            None if is_over(line, self.facts.now) => {}
            None => findings.push(finding(Kind::Missing, "archived, and there is no item of it".to_owned())),
        }
    }

    /// What became of an event that is not archived; or why it should be somewhere and is not.
    fn unarchived(&self, case: &Case, item: Option<&Item>) -> Result<Outcome, &'static str> {
        if case.live().any(|origin| self.quarantined.contains(origin)) {
            return Ok(Outcome::Quarantined);
        }
        match (self.holder(case, item), self.course(case)) {
            // Whatever else of it is under way: who comes later finds the item, and leaves the archive to the origin it names.
            (Holder::ItselfAndDone, _) => Err("it has an item, and the archive has no line of it"),
            // Where nobody has the item any more, the one that it was compared with has gone since; whether it may is said
            // where its line is judged.
            (Holder::SameContent, _) | (Holder::NobodyAnyMore, Course::Over) => Ok(Outcome::Deduplicated),
            // If its own item is there, the attempt that inserted it, or one that takes it over, is still to archive it.
            (_, Course::UnderWay) | (Holder::Itself, Course::Over) => Ok(Outcome::InFlight),
            (_, Course::Kept) => Ok(Outcome::Failed),
            // What was put in place of the one that it names is done as well, and did not take the item over.
            (Holder::ItselfAndGivenUp, Course::Over) => {
                Err("its item names a place where it was before, and the archive has no line of it")
            }
            (Holder::OtherContent, Course::Over) => {
                Err("its id belongs to another content, and quarantine does not have it")
            }
            (Holder::Nobody, Course::Over) if case.name.is_none() => {
                Err("it cannot be read, and quarantine does not have it")
            }
            (Holder::Nobody, Course::Over) => {
                Err("it has no item, and is neither in the archive nor in quarantine")
            }
        }
    }

    fn holder(&self, case: &Case, item: Option<&Item>) -> Holder {
        let Some(item) = item else {
            let is_archived = case.named().is_some_and(|name| self.names.contains(&name));
            return if is_archived { Holder::NobodyAnyMore } else { Holder::Nobody };
        };
        let was_given_up = self.failed.contains(&item.origin) || case.former.contains(&item.origin);
        if case.owns(item) {
            match (self.is_done(&item.origin), was_given_up) {
                (true, false) => Holder::ItselfAndDone,
                (true, true) => Holder::ItselfAndGivenUp,
                (false, _) => Holder::Itself,
            }
        } else if case.content_hash.as_ref() == Some(&item.content_hash) {
            Holder::SameContent
        } else {
            Holder::OtherContent
        }
    }

    fn course(&self, case: &Case) -> Course {
        let is_kept = |origin| self.failed.contains(origin);
        if case.is_spilled || case.live().any(|origin| !self.is_done(origin) && !is_kept(origin)) {
            Course::UnderWay
        } else if case.is_dead || case.live().any(is_kept) {
            Course::Kept
        } else {
            Course::Over
        }
    }
}

/// Who has the item of an event that is not archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It has, by a place at which everything has happened that was to happen.
    ItselfAndDone,
    /// It has, by a place that is done and was given up: kept, or put once more.
    ItselfAndGivenUp,
    /// It has, by a place that is not done yet.
    Itself,
    /// Another event of the same content.
    SameContent,
    /// Another event of other content.
    OtherContent,
    /// Nobody. But an event of its name is in the archive, so somebody had it.
    NobodyAnyMore,
    /// Nobody.
    Nobody,
}

/// What is still to come of an event that is not archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is in the spill queue, or at a place of the stream that is not done yet.
    UnderWay,
    /// Nothing, until somebody brings it back: it was given up, and is kept.
    Kept,
    /// Nothing.
    Over,
}

/// The lines that are accounted for, with their objects' keys.
fn lines(facts: &Facts) -> impl Iterator<Item = (&Line, &str)> {
    let all =
        facts.objects.iter().flat_map(|object| object.lines.iter().map(|line| (line, object.key.as_str())));
    all.filter(|(line, _)| facts.span.has(line.received_at))
}

/// Whether the item of a line may have gone by then.
fn is_over(line: &Line, now: Timestamp) -> bool {
    line.item_until.is_some_and(|until| until <= now)
}
