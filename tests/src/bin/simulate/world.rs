//! What the processes of a run share: the stores, the time, the faults, and the trace of all calls.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use shared::id::Ids;
use shared::time::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::capacity::Capacity;
use crate::data::Data;
use crate::scenario::{DiskKind, OutageKind, Scenario, pick};

/// How many calls the trace of a failed run shows.
const SHOWN: usize = 4_000;

/// 2026-11-21T09:30:00Z
const START_MS: i64 = 1_795_253_400_000;

/// What happened how often, in all runs.
pub(crate) type Coverage = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Store {
    Stream,
    /// The spill queue and the dispatch queue.
    Spill,
    Objects,
    /// The items, and the slot counter of dispatch.
    Items,
    Ledger,
    /// What the event source mapping reads, and its checkpoints.
    Mapping,
}

impl Store {
    pub(crate) const ALL: [Self; 6] =
        [Self::Stream, Self::Spill, Self::Objects, Self::Items, Self::Ledger, Self::Mapping];
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// No effect, and an error.
    Refused,
    /// Some of what was sent is refused.
    RefusedInPart,
    /// The effect, and an error.
    Lost,
    /// No effect and no answer.
    Hangs,
    /// The effect, and no answer.
    Unanswered,
    /// An error, and the effect later.
    Late,
    /// No answer, and the effect later.
    UnansweredAndLate,
    /// The calling process dies, and there is no effect.
    DiesBefore,
    /// The calling process dies after the effect.
    DiesAfter,
    /// The calling process dies, and the effect comes later.
    DiesAndIsLate,
}

impl Fate {
    pub(crate) const FAULTS: [Self; 10] = [
        Self::Refused,
        Self::RefusedInPart,
        Self::Lost,
        Self::Hangs,
        Self::Unanswered,
        Self::Late,
        Self::UnansweredAndLate,
        Self::DiesBefore,
        Self::DiesAfter,
        Self::DiesAndIsLate,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Done => "calls without a fault",
            Self::Refused => "calls refused",
            Self::RefusedInPart => "calls refused in part",
            Self::Lost => "answers lost",
            Self::Hangs => "calls that hang",
            Self::Unanswered => "calls done and not answered",
            Self::Late => "late writes after an error",
            Self::UnansweredAndLate => "late writes after no answer",
            Self::DiesBefore => "deaths before an effect",
            Self::DiesAfter => "deaths after an effect",
            Self::DiesAndIsLate => "deaths before a late write",
        }
    }
}

#[derive(Clone)]
pub(crate) struct World(Arc<Shared>);

struct Shared {
    scenario: Scenario,
    started: Instant,
    /// How far the clock was set, in milliseconds.
    set_by: AtomicI64,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) data: Data,
    pub(crate) random: Rng,
    pub(crate) coverage: Coverage,
    /// Whether anything fails.
    failing: bool,
    /// Effects that are still to come.
    late: usize,
    /// What should not be.
    violations: Vec<String>,
    hash: DefaultHasher,
    shown: VecDeque<String>,
}

impl World {
    /// Call it within the runtime whose time is virtual.
    pub(crate) fn new(seed: u64, change: impl FnOnce(&mut Scenario)) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut scenario = Scenario::new(seed, &mut random);
        change(&mut scenario);
        let mut data = Data::new(scenario.shards);
        data.capacity = scenario.items_a_second.map(|a_second| Capacity::new(a_second, 1.0));
        let state = State {
            data,
            random,
            coverage: Coverage::new(),
            failing: true,
            late: 0,
            violations: Vec::new(),
            hash: DefaultHasher::new(),
            shown: VecDeque::new(),
        };
        let shared =
            Shared { scenario, started: Instant::now(), set_by: AtomicI64::new(0), state: Mutex::new(state) };
        Self(Arc::new(shared))
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.0.scenario
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(START_MS + elapsed + self.0.set_by.load(Ordering::Relaxed))
    }

    pub(crate) fn clock(&self) -> Clock {
        let world = self.clone();
        Clock::new(move || world.now())
    }

    pub(crate) fn ids(&self) -> Ids {
        let world = self.clone();
        Ids::new(move || Uuid::from_u128(world.random(|random| random.u128(..))))
    }

    pub(crate) fn set_clock(&self, by_ms: i64) {
        self.0.set_by.fetch_add(by_ms, Ordering::Relaxed);
        self.count(if by_ms < 0 { "clock set back" } else { "clock set forward" });
        self.note(format_args!("the clock is set by {by_ms} ms"));
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.set_by.fetch_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.note(format_args!("{time:?} pass"));
    }

    pub(crate) fn random<T>(&self, choose: impl FnOnce(&mut Rng) -> T) -> T {
        choose(&mut self.state().random)
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.state().count(what);
    }

    pub(crate) fn random_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state())
    }

    pub(crate) fn add(&self, what: &'static str, count: u64) {
        self.state().add(what, count);
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.state().coverage.clone()
    }

    /// A line of the trace.
    pub(crate) fn note(&self, what: impl Display) {
        let elapsed = self.elapsed().as_millis();
        self.state().note(elapsed, what);
    }

    pub(crate) fn violation(&self, what: impl Display) {
        self.state().violation(what);
    }

    pub(crate) fn end_faults(&self) {
        self.note("faults end");
        let mut state = self.state();
        state.failing = false;
        state.data.poison.clear();
        state.data.capacity = None;
    }

    /// Effects that are still to come.
    pub(crate) fn late(&self) -> usize {
        self.state().late
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// The trace so far: its hash, and its last lines.
    pub(crate) fn trace(&self) -> (u64, Vec<String>) {
        let state = self.state();
        (state.hash.finish(), state.shown.iter().cloned().collect())
    }

    /// After how much time a function that starts now is killed from outside, if it is.
    pub(crate) fn kill_time(&self) -> Option<Duration> {
        let mut state = self.state();
        let is_killed = state.failing && state.random.u64(..1_000) < self.scenario().kills;
        is_killed.then(|| Duration::from_millis(state.random.u64(1..500)))
    }

    fn fate(&self, caller: Caller, store: Store, is_write: bool) -> (Fate, [Duration; 2]) {
        let (elapsed, scenario) = (self.elapsed(), self.scenario());
        let mut state = self.state();
        let random = &mut state.random;
        let latency = |random: &mut Rng, most: u64| {
            let ms = if random.bool() { 0 } else { random.u64(..=most) };
            Duration::from_millis(ms)
        };
        let mut latencies = [latency(random, scenario.latency_ms), latency(random, scenario.latency_ms)];
        if !state.failing {
            return (Fate::Done, latencies);
        }
        let outages = scenario.outages.iter().filter(|outage| outage.store == store);
        for outage in outages.filter(|outage| (outage.from..outage.until).contains(&elapsed)) {
            match outage.kind {
                OutageKind::NoWrites if is_write => {
                    state.count("writes that a store refuses");
                    return (Fate::Refused, latencies);
                }
                OutageKind::NoAnswers => {
                    state.count("calls that a store does not answer");
                    let fate = if caller == Caller::Mapping { Fate::Refused } else { Fate::Hangs };
                    return (fate, latencies);
                }
                OutageKind::Slow => {
                    state.count("calls to a slow store");
                    latencies[0] += Duration::from_millis(state.random.u64(50..3_000));
                }
                OutageKind::NoWrites => {}
            }
        }
        for disk in scenario.disks.iter().filter(|disk| (disk.from..disk.until).contains(&elapsed)) {
            match disk.kind {
                // What is small may still have room.
                DiskKind::Full if is_write && state.random.u64(..4) > 0 => {
                    state.count("writes to a full disk");
                    return (Fate::Refused, latencies);
                }
                DiskKind::ReadOnly if is_write => {
                    state.count("writes to a read-only disk");
                    return (Fate::Refused, latencies);
                }
                DiskKind::Slow => {
                    state.count("calls to a slow disk");
                    latencies[0] += Duration::from_millis(state.random.u64(50..1_500));
                }
                DiskKind::Full | DiskKind::ReadOnly => {}
            }
        }
        if scenario.fates.is_empty() || state.random.u64(..1_000) >= scenario.failing_calls {
            return (Fate::Done, latencies);
        }
        let fate = match *pick(&mut state.random, &scenario.fates) {
            // The mapping has no time limits: where it stands for Lambda's own, they are AWS's concern.
            Fate::Hangs | Fate::Unanswered | Fate::UnansweredAndLate if caller == Caller::Mapping => {
                Fate::Refused
            }
            // That a whole host dies is decided apart.
            Fate::DiesBefore if caller.is_of_host() => Fate::Refused,
            Fate::DiesAfter if caller.is_of_host() => Fate::Lost,
            Fate::DiesAndIsLate if caller.is_of_host() => Fate::Late,
            fate => fate,
        };
        // A late read is a lost one. What one machine writes for itself is not late.
        let is_late = |fate| matches!(fate, Fate::Late | Fate::UnansweredAndLate | Fate::DiesAndIsLate);
        let fate = if is_late(fate) && (!is_write || store == Store::Mapping) { Fate::Refused } else { fate };
        state.count(fate.name());
        (fate, latencies)
    }

    fn land(&self, effect: impl FnOnce(&mut State) + Send + 'static) {
        let world = self.clone();
        let after = self.random(|random| {
            let most = match random.u64(..20) {
                0 => 900_000,
                1..5 => 60_000,
                5..12 => 5_000,
                _ => 300,
            };
            Duration::from_millis(random.u64(1..most))
        });
        self.state().late += 1;
        tokio::spawn(async move {
            sleep(after).await;
            world.note("a late effect");
            let mut state = world.state();
            state.late -= 1;
            effect(&mut state);
        });
    }
}

impl State {
    pub(crate) fn violation(&mut self, what: impl Display) {
        self.violations.push(what.to_string());
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.coverage.entry(what).or_default() += count;
        }
    }

    fn note(&mut self, elapsed: u128, what: impl Display) {
        let line = format!("{elapsed:>8} {what}");
        line.hash(&mut self.hash);
        if self.shown.len() == SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(line);
    }
}

/// What kind of process calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Ingest,
    /// The event source mapping, and those of the queues.
    Mapping,
    Consumer,
    Drain,
    Operator,
    Dispatcher,
    /// A foreign producer.
    Foreign,
}

impl Caller {
    fn is_of_host(self) -> bool {
        matches!(self, Self::Ingest | Self::Mapping | Self::Foreign)
    }
}

/// A process. When it is dead, none of its calls has an effect or an answer.
#[derive(Clone)]
pub(crate) struct Process {
    caller: Caller,
    life: Arc<Life>,
}

struct Life {
    world: World,
    is_dead: AtomicBool,
    died: Notify,
    /// It dies before so many further calls. Negative: it does not.
    calls_left: AtomicI64,
}

impl Process {
    pub(crate) fn new(world: &World, caller: Caller) -> Self {
        let life = Life {
            world: world.clone(),
            is_dead: AtomicBool::new(false),
            died: Notify::new(),
            calls_left: AtomicI64::new(-1),
        };
        Self { caller, life: Arc::new(life) }
    }

    /// The same process, in another of its parts.
    pub(crate) fn part(&self, caller: Caller) -> Self {
        Self { caller, life: Arc::clone(&self.life) }
    }

    /// It dies before its next call after `calls` calls.
    pub(crate) fn dies_after(self, calls: i64) -> Self {
        self.life.calls_left.store(calls, Ordering::Relaxed);
        self
    }

    pub(crate) fn world(&self) -> &World {
        &self.life.world
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.life.is_dead.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self) {
        self.life.is_dead.store(true, Ordering::Relaxed);
        self.life.died.notify_waiters();
    }

    pub(crate) async fn died(&self) {
        let died = self.life.died.notified();
        if !self.is_dead() {
            died.await;
        }
    }

    /// A call to a store. `effect` is what it does there.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        store: Store,
        what: impl Display + Send,
        effect: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        self.call(store, false, what, |state, _| effect(state)).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        store: Store,
        what: impl Display + Send,
        effect: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        self.call(store, true, what, |state, _| effect(state)).await
    }

    /// A write of which a part may be refused: then `effect` gets `true`, and chooses it.
    pub(crate) async fn write_some<T: Send + 'static>(
        &self,
        store: Store,
        what: impl Display + Send,
        effect: impl FnOnce(&mut State, bool) -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        self.call(store, true, what, effect).await
    }

    async fn call<T: Send + 'static>(
        &self,
        store: Store,
        is_write: bool,
        what: impl Display + Send,
        effect: impl FnOnce(&mut State, bool) -> T + Send + 'static,
    ) -> Result<T, CallFailure> {
        let caller = self.caller;
        let Life { world, calls_left, .. } = &*self.life;
        if calls_left.load(Ordering::Relaxed) >= 0 && calls_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            world.count("deaths at a given call");
            self.kill();
        }
        self.while_alive().await;
        let (fate, [before, after]) = world.fate(caller, store, is_write);
        world.note(format_args!("{caller:?} {store:?} {what}: {fate:?}"));
        world.count("calls");
        if !before.is_zero() {
            sleep(before).await;
        }
        self.while_alive().await;
        let result = match fate {
            Fate::Done => Ok(effect(&mut world.state(), false)),
            Fate::RefusedInPart => Ok(effect(&mut world.state(), true)),
            Fate::Refused => Err(CallFailure { is_clear: true }),
            Fate::Lost => {
                effect(&mut world.state(), false);
                Err(CallFailure { is_clear: false })
            }
            Fate::Hangs => pending().await,
            Fate::Unanswered => {
                effect(&mut world.state(), false);
                pending().await
            }
            Fate::Late => {
                world.land(|state| drop(effect(state, false)));
                Err(CallFailure { is_clear: false })
            }
            Fate::UnansweredAndLate => {
                world.land(|state| drop(effect(state, false)));
                pending().await
            }
            Fate::DiesBefore => {
                self.kill();
                pending().await
            }
            Fate::DiesAfter => {
                effect(&mut world.state(), false);
                self.kill();
                pending().await
            }
            Fate::DiesAndIsLate => {
                world.land(|state| drop(effect(state, false)));
                self.kill();
                pending().await
            }
        };
        if !after.is_zero() {
            sleep(after).await;
        }
        self.while_alive().await;
        result
    }

    /// A dead process goes no further.
    pub(crate) async fn while_alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }
}

/// A call failed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{}", if *.is_clear { "refused" } else { "no clear answer" })]
pub(crate) struct CallFailure {
    /// It certainly had no effect.
    pub(crate) is_clear: bool,
}
