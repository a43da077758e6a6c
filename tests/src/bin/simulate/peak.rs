//! A table that refuses what is above its capacity, and a peak of three times the usual load. The stream absorbs the peak: events are
//! stored late, and once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use shared::archive::each_line;
use shared::format::archive_line::ArchiveLine;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, sleep_until};

use crate::capacity::Capacity;
use crate::client::{self, ClientLog, Event, Sender};
use crate::host::Site;
use crate::judge;
use crate::run::drained;
use crate::scenario::{Configures, Scenario};
use crate::tests::calm;
use crate::world::World;

const MINUTE: Duration = Duration::from_mins(1);
/// Usual load, events a second.
const USUAL: u64 = 6;
/// In the peak.
const PEAK: u64 = 3 * USUAL;
const PEAK_BEGINS: u64 = 3;
const PEAK_ENDS: u64 = 6;
const FRESH: i64 = 5_000;
/// DynamoDB keeps what was not used for 300 s, and promises nothing: with that, the table would take this peak at once.
const KEPT_SECONDS: f64 = 10.0;

/// As Application Auto Scaling tracks its target: when two minutes in a row used more of the capacity than the target, it is set to what
/// makes that use the target. This takes another minute.
async fn scale(world: &World, mut a_second: f64, target: f64) {
    let (mut above, mut before) = (0, 0);
    loop {
        sleep(MINUTE).await;
        let written = count(world, "items") + count(world, "items that existed");
        #[expect(clippy::cast_precision_loss, reason = "some thousand items")]
        let used = (written - before) as f64 / MINUTE.as_secs_f64();
        before = written;
        above = if used > 1.01 * target * a_second { above + 1 } else { 0 };
        if above < 2 {
            continue;
        }
        sleep(MINUTE).await;
        (above, a_second) = (0, used / target);
        before = count(world, "items") + count(world, "items that existed");
        world.random_state(|state| {
            state.data.capacity.as_mut().expect("the table has a capacity").set(a_second);
        });
    }
}

fn count(world: &World, what: &str) -> u64 {
    world.coverage().get(what).copied().unwrap_or_default()
}

/// Sends the load, a request each half second.
async fn load(site: &Site, world: &World, log: &RefCell<ClientLog>, minutes: u64) {
    let start = Instant::now();
    let mut n = 0;
    for tick in 0..minutes * 60 * 2 {
        sleep_until(start + Duration::from_millis(500 * tick)).await;
        let is_peak = (PEAK_BEGINS * 120..PEAK_ENDS * 120).contains(&tick);
        let count = if is_peak { PEAK } else { USUAL } / 2;
        let event = |n: u64| Event {
            name: (format!("t{}", n % 3), format!("e{n}")),
            text: format!("call 555-0199 about {n}"),
            n,
        };
        let events: Vec<_> = (n..n + count).map(event).collect();
        n += count;
        if !client::send(site, world, log, &events, true, &Sender::usual(world, &events[0])).await {
            world.violation("a request was not accepted");
        }
    }
}

/// By the minute in which events were received: how long the slowest took to be in the archive, in milliseconds.
fn freshness(world: &World) -> BTreeMap<i64, i64> {
    let state = world.state();
    let mut slowest = BTreeMap::<i64, i64>::new();
    let mut first = None;
    for object in
        state.data.objects.iter().filter(|(key, _)| key.starts_with("events/")).map(|(_, object)| object)
    {
        let read = each_line(&object.bytes, |line: ArchiveLine<'static>, _| {
            let received = line.facts.received_at;
            let minute = received.unix_ms() / 60_000;
            first = Some(first.map_or(minute, |first: i64| first.min(minute)));
            let took = object.written.unix_ms() - received.unix_ms();
            let slowest = slowest.entry(minute).or_default();
            *slowest = (*slowest).max(took);
        });
        read.expect("every object can be read");
    }
    slowest.into_iter().map(|(minute, took)| (minute - first.unwrap_or_default(), took)).collect()
}

#[derive(Debug)]
struct Seen {
    /// The last minute in which the slowest event was late, counted from the end of the peak.
    late_for: i64,
    slowest_ms: i64,
    refused: u64,
    /// Writes that found an item of an earlier attempt.
    again: u64,
    items: u64,
}

fn peak(a_second: f64, target: Option<f64>, minutes: u64) -> Seen {
    fastrand::seed(1);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let world = {
        let _within = runtime.enter();
        World::new(1, |scenario: &mut Scenario| {
            calm(scenario);
            (scenario.requests, scenario.foreign_records, scenario.shards) = (0, 0, 1);
            (scenario.latency_ms, scenario.configures) = (15, Configures::Never);
            scenario.rules = shared::mapping::Rules::default();
        })
    };
    runtime.block_on(async {
        world.end_faults();
        world.random_state(|state| state.data.capacity = Some(Capacity::new(a_second, KEPT_SECONDS)));
        let site = Site::new(&world);
        let log = RefCell::new(ClientLog::default());
        site.start().await;
        let scaled = async {
            match target {
                Some(target) => scale(&world, a_second, target).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = async { load(&site, &world, &log, minutes).await; drained(&world).await } => {}
            () = scaled => {}
        }
        judge::judge(&world, &log.borrow());
    });
    let violations = world.violations();
    assert_eq!(violations, [""; 0]);
    let by_minute = freshness(&world);
    let late = by_minute.iter().filter(|(_, took)| **took > FRESH).map(|(minute, _)| *minute).max();
    println!("{by_minute:?}");
    let ended = i64::try_from(PEAK_ENDS).expect("some minutes");
    let seen = Seen {
        late_for: late.map_or(0, |minute| minute + 1 - ended),
        slowest_ms: by_minute.values().copied().max().unwrap_or_default(),
        refused: count(&world, "items refused"),
        again: count(&world, "items that existed"),
        items: count(&world, "items"),
    };
    println!("{a_second} items/s, target {target:?}: {seen:?}");
    seen
}

#[test]
fn a_table_above_its_capacity_delays_events_and_neither_loses_nor_doubles_one() {
    // Used to 80 % by the usual load, as it is deployed.
    #[expect(clippy::cast_precision_loss, reason = "some events a second")]
    let seen = peak(1.25 * USUAL as f64, Some(0.8), 20);
    assert!((1..=8).contains(&seen.late_for), "{seen:?}");
    few_calls_are_in_vain(&seen);
}

#[test]
fn without_scaling_the_peak_is_stored_as_soon_as_the_capacity_has_room_for_it() {
    // (3 - 1.5) × 3 minutes of the usual load wait, and half of it is the room: nine minutes.
    #[expect(clippy::cast_precision_loss, reason = "some events a second")]
    let seen = peak(1.5 * USUAL as f64, None, 20);
    assert!((8..=10).contains(&seen.late_for) && seen.slowest_ms < 5 * 60_000, "{seen:?}");
    few_calls_are_in_vain(&seen);
}

/// An item that is written again is paid again. What is refused is free: it is most of the first round of an
/// invocation, and then a part.
fn few_calls_are_in_vain(seen: &Seen) {
    let Seen { refused, again, items, .. } = seen;
    assert!(*again < items / 100, "{seen:?}");
    assert!(*refused < 2 * items, "{seen:?}");
}
