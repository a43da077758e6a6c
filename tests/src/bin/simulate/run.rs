//! One run, from its seed to its end.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use operate::redrive::Selection;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::client::{self, ClientLog, Event, Sender};
use crate::host::{self, Site};
use crate::scenario::Scenario;
use crate::world::{Coverage, World};
use crate::{expiry, judge, operator};

/// How long the pipeline may need to store everything once nothing fails any more. A late write may come 15 minutes after its
/// caller, and retries wait, too.
const DRAINED: Duration = Duration::from_hours(2);
/// The longest that the mapping waits after its last failure, and until it finds a new shard; and until ingest knows the newest keys.
const LAST_WAIT: Duration = Duration::from_secs(15);
/// How long a stored event takes to the target, while nothing fails and no other waits.
const DISPATCHED: Duration = Duration::from_secs(2);
/// The promise, while nothing fails, with a window of up to [`WINDOW`].
const FRESH: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(3);

/// A run that ended well.
#[derive(Debug)]
pub(crate) struct Run {
    /// Two runs of one seed have the same.
    pub(crate) trace: u64,
    pub(crate) coverage: Coverage,
}

/// A run that did not.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) seed: u64,
    pub(crate) violations: Vec<String>,
    /// The last calls.
    pub(crate) trace: Vec<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails:", self.seed)?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

/// A run in which some of what the seed decides is decided otherwise.
pub(crate) fn run_changed(seed: u64, change: impl FnOnce(&mut Scenario)) -> Result<Run, Failed> {
    // What the pipeline takes from the thread's own generator: jitter.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let world = {
        let _within = runtime.enter();
        World::new(seed, change)
    };
    runtime.block_on(whole_run(&world));
    drop(runtime);
    let (hash, trace) = world.trace();
    match world.violations() {
        violations if violations.is_empty() => Ok(Run { trace: hash, coverage: world.coverage() }),
        violations => Err(Failed { seed, violations, trace }),
    }
}

async fn whole_run(world: &World) {
    let site = Site::new(world);
    let log = RefCell::new(ClientLog::default());
    site.start().await;
    futures::join!(
        client::requests(&site, world, &log),
        client::foreign_records(world, &log),
        host::restarts(&site, world),
        host::rollovers(&site, world),
        operator::operations(&site, world),
        operator::erasures(world),
        clock_jumps(world),
        splits(world),
    );
    world.end_faults();
    drained(world).await;
    // What was left because its batch was not done is put back by the second one.
    for selection in [Selection::default(), Selection::default(), operator::dropped()] {
        operator::last_redrive(&site, world, selection).await;
        drained(world).await;
    }
    calm_events(&site, world, &log).await;
    drained(world).await;
    judge::judge(world, &log.borrow());
    audited(&site, world).await;
    world.add("events accepted", log.borrow().accepted());
    expiry::expiry(&site, world, &log).await;
}

async fn clock_jumps(world: &World) {
    for (at, by) in &world.scenario().clock_jumps {
        sleep(at.saturating_sub(world.elapsed())).await;
        world.set_clock(*by);
    }
}

async fn splits(world: &World) {
    for at in &world.scenario().splits {
        sleep(at.saturating_sub(world.elapsed())).await;
        world.note("a shard is split");
        world.count("splits");
        let mut state = world.state();
        let number = state.random.usize(..100);
        state.data.split(number);
    }
}

/// Waits until every record and message is done and no late write is to come.
pub(crate) async fn drained(world: &World) {
    let limit = world.elapsed() + DRAINED;
    while !world.state().data.is_drained() || world.late() > 0 {
        sleep(Duration::from_millis(500)).await;
        if world.elapsed() > limit {
            world.violation("not everything is done although nothing fails");
            return;
        }
    }
}

/// While nothing fails, events are stored in time.
async fn calm_events(site: &Site, world: &World, log: &RefCell<ClientLog>) {
    let newest_keys =
        world.scenario().credentials.as_ref().map_or(Duration::ZERO, |_| world.scenario().length);
    sleep(newest_keys.saturating_sub(world.elapsed()) + LAST_WAIT).await;
    for n in 0..2_u64 {
        let event = Event {
            name: (format!("t{n}"), format!("calm-{n}")),
            text: format!("all is calm, call 555-0199, {n}"),
            n,
        };
        let sender = Sender::usual(world, &event);
        let is_accepted = client::send(site, world, log, std::slice::from_ref(&event), false, &sender).await;
        let fresh = FRESH + site.window().saturating_sub(WINDOW);
        sleep(fresh).await;
        if !is_accepted || !judge::is_stored(world, &event.name) {
            world.violation(format_args!(
                "{:?} is not stored within {fresh:?} although nothing fails",
                event.name
            ));
        }
        // Slots are by the clock: after it was set back, calls wait.
        if world.scenario().dispatch.is_some() && world.scenario().clock_jumps.is_empty() {
            sleep(DISPATCHED).await;
            if !world.state().data.target.taken.contains_key(&event.name) {
                world.violation(format_args!("{:?} is not dispatched although nothing fails", event.name));
            }
        }
    }
}

/// The audit finds nothing that is not explained.
pub(crate) async fn audited(site: &Site, world: &World) {
    match operator::last_audit(site, world).await {
        Err(error) => world.violation(format_args!("the audit failed: {error:#}")),
        Ok(report) => {
            let counts = serde_json::to_value(&report).unwrap_or_default();
            let count = |of: &str, name: &str| counts["total"][of][name].as_u64().unwrap_or(1 << 32);
            let open = |of| count(of, "in_flight") + count(of, "missing");
            // What cannot be read, and failed for another reason, stays at the failure destination.
            let state = world.state();
            let erased = &state.data.erased;
            let failed = erased.unexplained_failures(&counts);
            let unexplained = erased.unexplained(&counts);
            // With a finding each, which is explained.
            let missing = counts["findings"].as_array().map_or(0, Vec::len) as u64;
            let open = (open("ingest") + open("foreign_producers")).saturating_sub(missing);
            drop(state);
            if !unexplained.is_empty() || open + failed > 0 {
                world.violation(format_args!("the audit does not balance: {unexplained:?} in {report}"));
            }
        }
    }
}
