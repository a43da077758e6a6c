//! The world around an attempt: a stream of one shard, its event source mapping, items, objects, ledger, manifest and
//! quarantine. The redrive is in `redrive.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::LazyLock;

use shared::id::AdmissionId;
use uuid::Uuid;

use crate::insert::verdict::{Verdict, decide};
use crate::items::Existing;
use crate::ledger::{Intent, Progress, Written};
use crate::protocol::{Action, Attempt, Planned, Seen};
use shared::objects::Created;
use shared::origin::{Origin, ShardPosition};

#[derive(Clone, Debug)]
pub(super) struct World {
    /// The event of each record. An event that occurs twice was put on the stream twice by ingest.
    pub(super) events: Vec<usize>,
    /// The most records in an object.
    pub(super) objects_of: usize,
    /// How often a single record is retried.
    pub(super) retries: u8,
    pub(super) variant: Variant,
    pub(super) budget: Budget,
}

/// How often each kind of failure may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Attempts that crash or run out of time.
    pub(super) abandoned: u8,
    /// Answers that are lost, effects that are repeated late, attempts that end early.
    pub(super) faults: u8,
    /// Batches that are delivered again although they were done.
    pub(super) redeliveries: u8,
    /// Failed or quarantined records that are brought back.
    pub(super) redrives: u8,
    /// Records that go to quarantine, although another attempt at them may not.
    pub(super) quarantines: u8,
}

/// The protocol as deployed, or without one of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    AsDeployed,
    WithoutEmptyObjects,
    WithoutOrigins,
    WithoutObjectCondition,
    WithoutLedgerCondition,
    WithoutLedger,
    WithoutFence,
    WithoutFormerOrigins,
    WithoutTakeOverCondition,
    WithoutWaiting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) stream: Vec<Record>,
    /// The origin that each event's item names.
    items: Vec<Option<usize>>,
    /// By key.
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) ledger: Progress,
    /// The keys that have a row.
    manifest: BTreeSet<String>,
    /// The mapping's batches, in order; the first is what `current` is at.
    pub(super) work: VecDeque<Batch>,
    current: Option<Run>,
    /// Attempts that the mapping abandoned. They may continue at any time, or never.
    zombies: Vec<Run>,
    /// Effects that timed out and may still land.
    late: Vec<Late>,
    /// The records at the failure destination that were not brought back yet.
    pub(super) failed: BTreeSet<usize>,
    /// The records in quarantine that were not brought back yet.
    pub(super) quarantined: BTreeSet<usize>,
    pub(super) redrive: Option<Redrive>,
    pub(super) left: Budget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) event: usize,
    /// Its former records, if it was redriven.
    pub(super) redrive_of: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) end: ShardPosition,
    /// The records whose events it holds.
    pub(super) lines: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) failures: u8,
}

/// Receives a possible next state, who takes that step, and a description.
pub(super) type Push<'a> = dyn FnMut(State, &'static str, &dyn Fn() -> String) + 'a;

/// An invocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    from: usize,
    /// The prefix ends here.
    to: usize,
    /// Up to where items are inserted.
    inserted: usize,
    /// What the item of the next one was seen to name, if it is to be taken over from there.
    from_item: Option<usize>,
    /// Those whose item names this origin.
    stored: Vec<usize>,
    /// Those that go to quarantine, and whether they are there.
    bad: Vec<usize>,
    bad_written: bool,
    attempt: Attempt,
}

/// An effect that no attempt waits for any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Late {
    Action { action: Action, lines: Vec<usize> },
    TakeOver { from: usize, to: usize },
}

/// A record that is being brought back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Redrive {
    pub(super) record: usize,
    /// Fences the shard up to the record's end. `None` for a record in quarantine.
    pub(super) fence: Option<Attempt>,
}

/// What happened, for a counter-example.
pub(super) struct Step {
    who: &'static str,
    what: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.what)
    }
}

/// Sequence numbers whose number of digits grows.
fn number(record: usize) -> String {
    (record + 8).to_string()
}

/// The first position of a record.
pub(super) fn position(record: usize) -> ShardPosition {
    ShardPosition::new(number(record), 0)
}

/// The position after a record's only line.
pub(super) fn after(record: usize) -> ShardPosition {
    ShardPosition::new(number(record), 1)
}

/// The first record at or after a position.
fn record_at(position: &ShardPosition) -> usize {
    let record = position.sequence_number.parse::<usize>().unwrap() - 8;
    if position.position == 0 { record } else { record + 1 }
}

/// The origins of the first records: most steps compare some.
static ORIGINS: LazyLock<Vec<Origin>> = LazyLock::new(|| {
    let origin =
        |record| Origin { shard: "shard".into(), sequence_number: number(record).into(), position: 0 };
    (0..16).map(origin).collect()
});

/// What an item says of `event` that names `record`.
fn existing(event: usize, record: usize) -> Existing {
    let admission_id = AdmissionId(Uuid::from_u128(event as u128));
    Existing { origin: ORIGINS[record].clone(), admission_id, content_hash: String::new() }
}

impl State {
    /// Whether the mapping has nothing left to do. Zombies may exist, and must not matter.
    pub(super) fn is_ended(&self) -> bool {
        self.work.is_empty() && self.redrive.is_none()
    }

    /// The invariant: no event is archived twice; at the end each is archived once or has failed; and only from the origin that
    /// its item names.
    pub(super) fn check(&self) -> Result<(), String> {
        for (event, item) in self.items.iter().enumerate() {
            let lines = self.objects.values().flat_map(|object| &object.lines);
            let archived: Vec<_> = lines.filter(|line| self.stream[**line].event == event).collect();
            match (&archived[..], item) {
                ([], _) => {}
                ([line], Some(origin)) if *line == origin => {}
                ([line], origin) => {
                    return Err(format!("event {event} is archived by {line}, its item names {origin:?}"));
                }
                _ => return Err(format!("event {event} is archived twice, by {archived:?}")),
            }
            // A redrive of the failed record stores the event: its item names this record or a former one.
            let keeps = |failed: &usize| {
                let record = &self.stream[*failed];
                record.event == event
                    && item.is_none_or(|origin| origin == *failed || record.redrive_of.contains(&origin))
            };
            let is_failed = || self.failed.iter().chain(&self.quarantined).any(keeps);
            if self.is_ended() && archived.is_empty() && !is_failed() {
                return Err(format!("event {event} is lost; its item names {item:?}"));
            }
        }
        let intent = self.ledger.intent.as_ref().map(|intent| &intent.key);
        for (key, object) in self.objects.iter().filter(|(_, object)| !object.lines.is_empty()) {
            if self.is_ended() && !self.manifest.contains(key) && intent != Some(key) {
                return Err(format!("no row for the object at {key} with events of {:?}", object.lines));
            }
        }
        Ok(())
    }
}

impl World {
    pub(super) fn start(&self) -> State {
        let records = self.events.len();
        State {
            stream: self.events.iter().map(|&event| Record { event, redrive_of: Vec::new() }).collect(),
            items: vec![None; self.events.iter().max().unwrap() + 1],
            objects: BTreeMap::new(),
            ledger: Progress::default(),
            manifest: BTreeSet::new(),
            work: [Batch { from: 0, to: records, failures: 0 }].into(),
            current: None,
            zombies: Vec::new(),
            late: Vec::new(),
            failed: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            redrive: None,
            left: self.budget,
        }
    }

    /// The possible next states. Steps are described only if `described`.
    pub(super) fn successors(&self, state: &State, described: bool) -> Vec<(State, Step)> {
        let mut next = Vec::new();
        let mut push = |state: State, who: &'static str, what: &dyn Fn() -> String| {
            // Most steps are never described.
            next.push((state, Step { who, what: if described { what() } else { String::new() } }));
        };
        self.mapping(state, &mut push);
        if let Some(run) = &state.current {
            let without = State { current: None, ..state.clone() };
            self.run(&without, run, true, &mut push);
        }
        for (index, zombie) in state.zombies.iter().enumerate() {
            let mut without = state.clone();
            without.zombies.remove(index);
            self.run(&without, zombie, false, &mut push);
        }
        for (index, late) in state.late.iter().enumerate() {
            let mut landed = state.clone();
            landed.late.remove(index);
            match late {
                Late::Action { action, lines } => {
                    let seen = self.effect(&mut landed, action, lines);
                    push(landed, "late", &|| format!("{action:?} -> {seen:?}"));
                }
                Late::TakeOver { from, to } => {
                    let done = self.take_over(&mut landed, *from, *to);
                    push(landed, "late", &|| format!("item from record {from} to record {to}: {done}"));
                }
            }
        }
        self.redrive(state, &mut push);
        next
    }

    /// The event source mapping: begins batches, and abandons attempts.
    fn mapping(&self, state: &State, push: &mut Push<'_>) {
        match (&state.current, state.work.front()) {
            (None, Some(&Batch { from, to, .. })) => {
                let run = Run {
                    from,
                    to,
                    inserted: from,
                    from_item: None,
                    stored: Vec::new(),
                    bad: Vec::new(),
                    bad_written: false,
                    attempt: Attempt::new(position(from)),
                };
                push(State { current: Some(run), ..state.clone() }, "mapping", &|| {
                    format!("invokes with records {from}..{to}")
                });
            }
            (Some(run), _) if state.left.abandoned > 0 => {
                let mut abandoned = State { current: None, ..state.clone() };
                abandoned.zombies.push(run.clone());
                abandoned.left.abandoned -= 1;
                let kept = self.fail(&mut abandoned);
                let what = "gives the attempt up: it crashed, or was too slow";
                self.forget(&abandoned, kept, push);
                push(abandoned, "mapping", &|| what.to_owned());
            }
            _ => {}
        }
    }

    /// A record that was saved at the failure destination is delivered again.
    fn forget(&self, state: &State, kept: Option<usize>, push: &mut Push<'_>) {
        if let Some(from) = kept.filter(|_| state.left.redeliveries > 0) {
            let mut again = state.clone();
            again.left.redeliveries -= 1;
            again.work.push_front(Batch { from, to: from + 1, failures: self.retries });
            push(again, "mapping", &|| format!("forgets that record {from} was kept"));
        }
    }

    /// A batch failed: it is halved, retried, or saved at the failure destination. Returns the record that was saved.
    fn fail(&self, state: &mut State) -> Option<usize> {
        let Batch { from, to, failures } = state.work.pop_front().expect("a batch was at work");
        if to - from > 1 {
            let middle = from + (to - from) / 2;
            state.work.push_front(Batch { from: middle, to, failures: 0 });
            state.work.push_front(Batch { from, to: middle, failures: 0 });
        } else if failures < self.retries {
            state.work.push_front(Batch { from, to, failures: failures + 1 });
        } else {
            state.failed.insert(from);
            return Some(from);
        }
        None
    }

    /// The function answers that everything before `done` is done.
    fn answer(&self, state: &State, done: usize, push: &mut Push<'_>) {
        let mut answered = state.clone();
        let batch = state.work[0];
        if done <= batch.from {
            let kept = self.fail(&mut answered);
            self.forget(&answered, kept, push);
            push(answered, "function", &|| "answers that nothing is done".to_owned());
            return;
        }
        if done < batch.to {
            answered.work[0] = Batch { from: done, to: batch.to, failures: 0 };
        } else {
            answered.work.pop_front();
        }
        if state.left.redeliveries > 0 {
            let mut again = answered.clone();
            let to = state.work.back().expect("the batch at least").to;
            again.work = [Batch { from: batch.from, to, failures: 0 }].into();
            again.left.redeliveries -= 1;
            push(again, "mapping", &|| {
                format!("forgets that it was done, restarts at record {}", batch.from)
            });
        }
        push(answered, "function", &|| format!("answers that all before record {done} is done"));
    }

    /// One step of an attempt. `state` is without it.
    fn run(&self, state: &State, run: &Run, is_current: bool, push: &mut Push<'_>) {
        let who = if is_current { "function" } else { "zombie" };
        let put_back = |mut state: State, run: Run| {
            if is_current {
                state.current = Some(run);
            } else {
                state.zombies.push(run);
            }
            state
        };
        let may_fault = is_current && state.left.faults > 0;
        if run.inserted < run.to {
            // The ledger is read beside the items.
            if run.attempt.progress.is_none() {
                let mut run_next = run.clone();
                let seen = self.effect(&mut state.clone(), &Action::Read, &[]);
                run_next.attempt.see(Action::Read, seen);
                push(put_back(state.clone(), run_next), who, &|| "reads the ledger".to_owned());
            }
            self.next_item(state, run, who, may_fault, push, &put_back);
            return;
        }
        if !run.bad.is_empty() && !run.bad_written {
            let mut next = state.clone();
            next.quarantined.extend(&run.bad);
            let run_next = Run { bad_written: true, ..run.clone() };
            push(put_back(next, run_next), who, &|| format!("puts records {:?} into quarantine", run.bad));
            return;
        }
        let action = run.attempt.next(&mut |committed| self.plan(run, committed));
        if let Action::Done(committed) = &action {
            if run.from < run.to && *committed < after(run.to - 1) {
                let run_next = Run { attempt: Attempt::fence(after(run.to - 1)), ..run.clone() };
                push(put_back(state.clone(), run_next), who, &|| {
                    "is done, with nothing left to archive".to_owned()
                });
                return;
            }
            if is_current {
                self.answer(state, record_at(committed).max(run.to), push);
            } else {
                push(state.clone(), who, &|| "ends".to_owned());
            }
            return;
        }
        let (mut next, mut run_next) = (state.clone(), run.clone());
        let lines = lines(run, &action);
        let seen = self.effect(&mut next, &action, &lines);
        let what = || format!("{action:?} -> {seen:?}");
        run_next.attempt.see(action.clone(), seen.clone());
        if may_fault && !matches!(action, Action::Read | Action::Find(_)) {
            let mut lost = next.clone();
            lost.left.faults -= 1;
            push(put_back(lost, run.clone()), who, &|| format!("{}, but the answer is lost", what()));
            let mut late = state.clone();
            late.left.faults -= 1;
            late.late.push(Late::Action { action: action.clone(), lines: lines.clone() });
            push(put_back(late, run.clone()), who, &|| format!("{action:?} times out"));
        }
        if may_fault {
            let mut cut = state.clone();
            cut.left.faults -= 1;
            self.answer(&cut, record_at(run.attempt.committed_end()), push);
        }
        push(put_back(next, run_next), who, &what);
    }

    /// What an attempt would write next.
    fn plan(&self, run: &Run, committed: &ShardPosition) -> Option<Planned> {
        let from = record_at(committed).max(run.from);
        let lines: Vec<_> = run.stored.iter().filter(|line| **line >= from).collect();
        let last = lines.get(self.objects_of - 1).or(lines.last())?;
        let is_all = lines.last() == Some(last);
        let end = if is_all { after(run.to - 1) } else { after(**last) };
        Some(Planned { intent: Intent { key: number(from), from: position(from) }, end })
    }

    /// The item of the next record: inserted, taken over, or left as it is; or the record is found to be bad.
    fn next_item(
        &self,
        state: &State,
        run: &Run,
        who: &'static str,
        may_fault: bool,
        push: &mut Push<'_>,
        put_back: &dyn Fn(State, Run) -> State,
    ) {
        let record = run.inserted;
        if let Some(from) = run.from_item {
            let (mut next, mut run_next) = (state.clone(), Run { from_item: None, ..run.clone() });
            let done = self.take_over(&mut next, from, record);
            if may_fault {
                let mut lost = next.clone();
                lost.left.faults -= 1;
                push(put_back(lost, run.clone()), who, &|| {
                    "takes the item over, but the answer is lost".to_owned()
                });
                let mut late = state.clone();
                late.left.faults -= 1;
                late.late.push(Late::TakeOver { from, to: record });
                push(put_back(late, run.clone()), who, &|| "taking the item over times out".to_owned());
            }
            // If not, it looks again.
            if done {
                run_next.stored.push(record);
                run_next.inserted += 1;
            }
            push(put_back(next, run_next), who, &|| {
                format!("takes the item over from record {from} to record {record}: {done}")
            });
            return;
        }
        if state.left.quarantines > 0 {
            let mut bad = state.clone();
            bad.left.quarantines -= 1;
            let mut run_next = Run { inserted: record + 1, ..run.clone() };
            run_next.bad.push(record);
            push(put_back(bad, run_next), who, &|| format!("finds record {record} to be bad"));
        }
        let (mut next, mut run_next) = (state.clone(), run.clone());
        let verdict = insert(&mut next, record);
        if verdict == Verdict::TakeOver {
            run_next.from_item = state.items[state.stream[record].event];
        } else {
            let stored = verdict == Verdict::Stored || self.variant == Variant::WithoutOrigins;
            run_next.stored.extend(stored.then_some(record));
            run_next.inserted += 1;
        }
        push(put_back(next, run_next), who, &|| format!("inserts the item of record {record}: {verdict:?}"));
        if may_fault {
            let mut cut = state.clone();
            cut.left.faults -= 1;
            let run = Run { to: run.inserted, ..run.clone() };
            push(put_back(cut, run), who, &|| "gets no further with items".to_owned());
        }
    }

    /// Makes the item name another record, if it names `from` still.
    fn take_over(&self, state: &mut State, from: usize, to: usize) -> bool {
        let item = &mut state.items[state.stream[to].event];
        let done = *item == Some(from) || self.variant == Variant::WithoutTakeOverCondition;
        if done {
            *item = Some(to);
        }
        done
    }

    /// Carries out an action, and returns its result.
    pub(super) fn effect(&self, state: &mut State, action: &Action, lines: &[usize]) -> Seen {
        match action {
            Action::Read if self.variant == Variant::WithoutLedger => Seen::Progress(Progress::default()),
            Action::Read => Seen::Progress(state.ledger.clone()),
            Action::Write { progress, closed } => {
                state.manifest.extend(closed.as_ref().map(|(intent, _)| intent.key.clone()));
                let is_next = progress.version == state.ledger.version + 1;
                if is_next || matches!(self.variant, Variant::WithoutLedgerCondition | Variant::WithoutLedger)
                {
                    state.ledger = progress.clone();
                    Seen::Written(Written::Done)
                } else {
                    Seen::Written(Written::Conflict)
                }
            }
            Action::Put(planned) => {
                let object = Object { end: planned.end.clone(), lines: lines.to_vec() };
                self.create(state, &planned.intent.key, object)
            }
            Action::PutEmpty(..) if self.variant == Variant::WithoutEmptyObjects => Seen::Put(Created::New),
            Action::PutEmpty(intent, end) => {
                self.create(state, &intent.key, Object { end: end.clone(), lines: Vec::new() })
            }
            Action::Find(intent) => {
                Seen::Found(state.objects.get(&intent.key).map(|object| object.end.clone()))
            }
            Action::Done(_) => unreachable!("nothing is done by it"),
        }
    }

    fn create(&self, state: &mut State, key: &str, object: Object) -> Seen {
        if state.objects.contains_key(key) && self.variant != Variant::WithoutObjectCondition {
            return Seen::Put(Created::Existed);
        }
        state.objects.insert(key.to_owned(), object);
        Seen::Put(Created::New)
    }
}

/// Inserts a record's item, or decides what it means that it exists.
fn insert(state: &mut State, record: usize) -> Verdict {
    let Record { event, redrive_of } = &state.stream[record];
    let Some(origin) = state.items[*event] else {
        state.items[*event] = Some(record);
        return Verdict::Stored;
    };
    let former: Vec<_> = redrive_of.iter().map(|former| ORIGINS[*former].clone()).collect();
    decide(&existing(*event, record), &former, &existing(*event, origin))
}

/// The records whose events an object of this attempt holds.
fn lines(run: &Run, action: &Action) -> Vec<usize> {
    let Action::Put(Planned { intent, end }) = action else { return Vec::new() };
    let is_in = |record: &usize| intent.from <= position(*record) && position(*record) < *end;
    run.stored.iter().copied().filter(is_in).collect()
}
