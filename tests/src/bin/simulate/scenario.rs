//! What a seed decides before the run begins: how often what fails, and the configurations. The rest is decided as it comes.

use std::time::Duration;

use fastrand::Rng;
use shared::backoff::Backoff;
use shared::mapping::Rules;

use crate::credentials::Rotating;
use crate::dispatch::Dispatching;
use crate::world::{Fate, Store};

/// How far the clock is set back where events are dispatched, in milliseconds.
const FURTHEST_BACK: i64 = -300_000;

/// A run's weather. Each kind of fault is off in about half of the runs, so that each is also seen without the others.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// How many of a thousand calls fail.
    pub(crate) failing_calls: u64,
    /// How they fail.
    pub(crate) fates: Vec<Fate>,
    /// How many of a thousand records crash every consumer that gets them, until the faults end.
    pub(crate) poison: u64,
    /// How many of a thousand invocations are killed from outside, at any time.
    pub(crate) kills: u64,
    /// How many of a thousand batches that failed for good are dropped: the failure destination does not take them.
    pub(crate) dropped: u64,
    /// The longest usual latency of a call, in milliseconds.
    pub(crate) latency_ms: u64,
    /// How many items a second the table takes, until the faults end; `None` if it takes all.
    pub(crate) items_a_second: Option<f64>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) disks: Vec<DiskDamage>,
    /// When the host is killed.
    pub(crate) host_kills: Vec<Duration>,
    /// When the clock is set, and by how many milliseconds.
    pub(crate) clock_jumps: Vec<(Duration, i64)>,
    /// When a shard is split.
    pub(crate) splits: Vec<Duration>,
    /// When another configuration is deployed, without an interruption.
    pub(crate) rollovers: Vec<Duration>,
    pub(crate) operations: Vec<(Duration, Operation)>,
    pub(crate) erasures: Vec<(Duration, Erasure)>,
    /// How many of ten events have the id of one that was sent before: most are the same event, one in ten is another.
    pub(crate) repeats: u64,
    /// Whether it is looked again after all but the archive has expired.
    pub(crate) expires: bool,
    pub(crate) requests: u64,
    pub(crate) foreign_records: u64,
    /// How long requests are sent and faults happen.
    pub(crate) length: Duration,
    pub(crate) shards: u128,
    pub(crate) rules: Rules,
    /// Which configurations are deployed.
    pub(crate) configures: Configures,
    pub(crate) dispatch: Option<Dispatching>,
    pub(crate) credentials: Option<Rotating>,
}

/// A store that fails, or is slow, for a while.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) store: Store,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) kind: OutageKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Configures {
    /// The defaults.
    Never,
    /// One, at every start.
    Once,
    /// Another one at each start, and at each rollover.
    EachTime,
}

/// What happens to the disk of the machine that has all stores, as on the local run.
#[derive(Debug)]
pub(crate) struct DiskDamage {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) kind: DiskKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskKind {
    /// Only some writes still have room.
    Full,
    ReadOnly,
    Slow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutageKind {
    NoWrites,
    NoAnswers,
    Slow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Redrive,
    /// Of events whose id another event has: they get a new one.
    RedriveAsNew,
    RedriveStream,
    /// Of dead letters of dispatch.
    RedriveDispatch,
    Audit,
    Replay,
}

/// What an operator deletes by hand, of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erasure {
    Item,
    /// All that it has under `claims/`.
    Claims,
    /// Its lines in the archive, and what it has under `texts/`.
    Lines,
    /// All of these.
    Everything,
}

impl Scenario {
    pub(crate) fn new(seed: u64, random: &mut Rng) -> Self {
        let length = Duration::from_secs(random.u64(10..90));
        let times = |random: &mut Rng, most: u64| -> Vec<Duration> {
            let count = if random.bool() { 0 } else { random.u64(1..=most) };
            let mut times: Vec<_> = (0..count).map(|_| within(random, length)).collect();
            times.sort_unstable();
            times
        };
        let outages = times(random, 3).into_iter().map(|from| outage(random, from)).collect();
        let host_kills = times(random, 4);
        let clock_jumps: Vec<_> = times(random, 2).into_iter().map(|at| (at, jump(random))).collect();
        let splits = times(random, 2);
        // Also after the last request, while late writes land.
        let later = Duration::from_millis(random.u64(..60_000));
        let mut operations: Vec<_> =
            times(random, 8).into_iter().map(|at| (at + later, operation(random))).collect();
        let disks = times(random, 2).into_iter().map(|from| disk_damage(random, from)).collect();
        let rollovers = times(random, 3);
        let erasures = times(random, 4).into_iter().map(|at| (at + later, erasure(random))).collect();
        // By a generator of their own: without them a seed is the run that it was before they were added.
        let mut own = Rng::with_seed(!seed);
        // Slots are by the clock: where it is set back, calls wait for as long.
        let is_far_back = clock_jumps.iter().any(|(_, by)| *by < FURTHEST_BACK);
        let dispatch = (own.bool() && !is_far_back).then(|| Dispatching::new(&mut own, length));
        let credentials = (own.u64(..3) == 0).then(|| Rotating::new(&mut own, length));
        if dispatch.is_some() {
            let redrives = times(&mut own, 4).into_iter();
            operations.extend(redrives.map(|at| (at + later, Operation::RedriveDispatch)));
        }
        let mut rules = rules(random);
        if !clock_jumps.is_empty() {
            // As on the local run, the only one where clock and mapping are of one machine.
            rules.maximum_record_age = None;
        }
        Self {
            failing_calls: *pick(random, &[0, 5, 20, 80, 250]),
            fates: fates(random),
            poison: *pick(random, &[0, 0, 20, 100]),
            kills: *pick(random, &[0, 0, 50, 200]),
            dropped: *pick(random, &[0, 0, 0, 300]),
            latency_ms: *pick(random, &[1, 10, 40]),
            items_a_second: *pick(random, &[None, None, None, Some(0.5), Some(3.0)]),
            outages,
            disks,
            host_kills,
            clock_jumps,
            splits,
            rollovers,
            operations,
            erasures,
            repeats: 3,
            expires: true,
            requests: random.u64(3..40),
            foreign_records: *pick(random, &[0, 0, 2, 8]),
            length,
            shards: *pick(random, &[1, 1, 2, 3]),
            rules,
            configures: Configures::EachTime,
            dispatch,
            credentials,
        }
    }
}

pub(crate) fn pick<'a, T>(random: &mut Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}

pub(crate) fn within(random: &mut Rng, length: Duration) -> Duration {
    Duration::from_millis(random.u64(..u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}

fn fates(random: &mut Rng) -> Vec<Fate> {
    Fate::FAULTS.into_iter().filter(|_| random.bool()).collect()
}

fn outage(random: &mut Rng, from: Duration) -> Outage {
    let kinds = [OutageKind::NoWrites, OutageKind::NoWrites, OutageKind::NoAnswers, OutageKind::Slow];
    Outage {
        store: *pick(random, &Store::ALL),
        from,
        until: from + Duration::from_millis(random.u64(100..60_000)),
        kind: *pick(random, &kinds),
    }
}

/// By minutes or hours, forward or back.
fn jump(random: &mut Rng) -> i64 {
    let most: i64 = *pick(random, &[10_000, 600_000, 4 * 3_600_000]);
    random.i64(-most..=most)
}

fn disk_damage(random: &mut Rng, from: Duration) -> DiskDamage {
    DiskDamage {
        from,
        until: from + Duration::from_millis(random.u64(100..40_000)),
        kind: *pick(random, &[DiskKind::Full, DiskKind::ReadOnly, DiskKind::Slow]),
    }
}

fn erasure(random: &mut Rng) -> Erasure {
    *pick(random, &[Erasure::Item, Erasure::Claims, Erasure::Lines, Erasure::Everything])
}

fn operation(random: &mut Rng) -> Operation {
    use Operation::{Audit, Redrive, RedriveAsNew, RedriveStream, Replay};
    *pick(random, &[Audit, Audit, Redrive, Redrive, Redrive, RedriveAsNew, RedriveStream, Replay])
}

fn rules(random: &mut Rng) -> Rules {
    Rules {
        batch_size: *pick(random, &[2, 10, 10_000]),
        batching_window: Duration::from_millis(*pick(random, &[500, 3_000, 3_000])),
        maximum_retry_attempts: Some(*pick(random, &[1, 3, 5])),
        maximum_record_age: *pick(
            random,
            &[None, None, Some(Duration::from_mins(1)), Some(Duration::from_hours(6))],
        ),
        backoff: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(10) },
        ..Rules::default()
    }
}
