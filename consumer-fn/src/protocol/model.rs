//! Model checker for the protocol: every order in which attempts, zombies, retries, resends and redrives can meet, within the
//! bounds of a configuration. The deployed [`Attempt`] decides; the world around it is modelled.
//!
//! A crash, a time-out and a late effect are the same here: the mapping abandons an attempt, and the attempt takes any number
//! of further steps, at any time, or none.

mod explore;
mod redrive;
mod world;

use explore::{Explored, explore};
use world::{Budget, Variant, World};

/// Explores, and prints the number of states.
fn check(name: &str, world: &World) -> Explored {
    let started = std::time::Instant::now();
    let explored = explore(world);
    println!("{name}: {} states, {} ended, in {:.1?}", explored.states, explored.ended, started.elapsed());
    if let Some(counter_example) = &explored.counter_example {
        println!("{counter_example}");
    }
    explored
}

fn holds(name: &str, world: &World) {
    let explored = check(name, world);
    assert!(explored.counter_example.is_none(), "{name}: the invariant does not hold");
    assert!(explored.ended > 0, "{name}: no order ended");
}

fn fails(name: &str, world: &World, how: &str) {
    let counter_example = check(name, world).counter_example.expect(name);
    assert!(counter_example.contains(how), "{name}: fails in another way than expected");
}

/// Three events on one shard, at most two in an object.
fn three(variant: Variant, budget: Budget) -> World {
    World { events: vec![0, 1, 2], objects_of: 2, retries: 0, variant, budget }
}

/// An event, another one, and the first again.
fn resent(variant: Variant, budget: Budget) -> World {
    World { events: vec![0, 1, 0], objects_of: 2, retries: 0, variant, budget }
}

const NOTHING: Budget = Budget { abandoned: 0, faults: 0, redeliveries: 0, redrives: 0, quarantines: 0 };
const CRASHES: Budget = Budget { abandoned: 3, ..NOTHING };
const FAULTS: Budget = Budget { abandoned: 2, faults: 1, ..NOTHING };
const REDELIVERIES: Budget = Budget { abandoned: 2, redeliveries: 1, ..NOTHING };
const REDRIVES: Budget = Budget { abandoned: 2, redrives: 1, ..NOTHING };

#[test]
fn every_event_is_archived_once_whatever_crashes() {
    holds("two events, three crashes", &World { objects_of: 1, ..two(Variant::AsDeployed, CRASHES) });
    holds("three events, two crashes", &three(Variant::AsDeployed, Budget { abandoned: 2, ..CRASHES }));
}

#[test]
#[ignore = "minutes: `make model`"]
fn every_event_is_archived_once_within_larger_bounds() {
    holds("three events, three crashes", &three(Variant::AsDeployed, CRASHES));
    holds("three events, two crashes, a fault", &three(Variant::AsDeployed, FAULTS));
    holds("an event sent again, two crashes, a fault", &resent(Variant::AsDeployed, FAULTS));
    let all = Budget { abandoned: 1, faults: 1, redeliveries: 1, redrives: 1, quarantines: 0 };
    holds("an event sent again, one of everything", &resent(Variant::AsDeployed, all));
}

#[test]
fn every_event_is_archived_once_whatever_answer_is_lost() {
    let budget = Budget { abandoned: 1, ..FAULTS };
    holds("three events, a crash, a fault", &three(Variant::AsDeployed, budget));
    holds("an event sent again, a crash, a fault", &resent(Variant::AsDeployed, budget));
    holds("two events, two crashes, a fault", &two(Variant::AsDeployed, FAULTS));
}

#[test]
fn every_event_is_archived_once_if_batches_come_again() {
    holds(
        "three events, a crash, a redelivery",
        &three(Variant::AsDeployed, Budget { abandoned: 1, ..REDELIVERIES }),
    );
    holds("an event sent again, two crashes, a redelivery", &resent(Variant::AsDeployed, REDELIVERIES));
}

/// One event.
fn one(variant: Variant, budget: Budget) -> World {
    World { events: vec![0], ..three(variant, budget) }
}

/// Two events.
fn two(variant: Variant, budget: Budget) -> World {
    World { events: vec![0, 1], ..three(variant, budget) }
}

#[test]
fn every_event_is_archived_once_if_it_is_redriven() {
    holds("two events, two crashes, a redrive", &two(Variant::AsDeployed, REDRIVES));
    let twice = Budget { abandoned: 3, redrives: 2, ..NOTHING };
    holds("an event, three crashes, two redrives", &one(Variant::AsDeployed, twice));
    let lost = Budget { abandoned: 2, redrives: 2, faults: 1, ..NOTHING };
    holds("an event, two crashes, two redrives, a fault", &one(Variant::AsDeployed, lost));
    let again = Budget { abandoned: 2, redrives: 1, redeliveries: 1, ..NOTHING };
    holds("an event, two crashes, a redrive, a redelivery", &one(Variant::AsDeployed, again));
}

#[test]
fn every_event_is_archived_once_if_it_is_redriven_from_quarantine() {
    let budget = Budget { abandoned: 1, redrives: 1, quarantines: 1, ..NOTHING };
    holds("two events, a crash, a quarantine, a redrive", &two(Variant::AsDeployed, budget));
    let twice = Budget { abandoned: 2, redrives: 2, quarantines: 2, ..NOTHING };
    let world = World { retries: 1, ..one(Variant::AsDeployed, twice) };
    holds("an event, two crashes, two quarantines, two redrives", &world);
}

#[test]
fn without_empty_objects_a_late_object_repeats_lines_of_the_next() {
    fails("without empty objects", &three(Variant::WithoutEmptyObjects, CRASHES), "archived twice");
}

#[test]
fn without_origins_a_resent_event_is_archived_twice() {
    fails("without origins", &resent(Variant::WithoutOrigins, CRASHES), "archived twice");
}

#[test]
fn without_conditions_zombies_overwrite_each_other() {
    fails("objects without condition", &three(Variant::WithoutObjectCondition, CRASHES), "event");
    fails("ledger without condition", &three(Variant::WithoutLedgerCondition, CRASHES), "event");
}

#[test]
fn without_a_ledger_a_bisected_batch_is_archived_again() {
    fails("without a ledger", &three(Variant::WithoutLedger, CRASHES), "archived twice");
}

#[test]
fn a_redrive_without_a_fence_meets_the_attempt_it_replaces() {
    fails("redrive without a fence", &three(Variant::WithoutFence, REDRIVES), "event 0 is archived by 0");
}

#[test]
fn a_redriven_record_must_name_every_former_origin() {
    let twice = Budget { abandoned: 3, redrives: 2, ..NOTHING };
    let world = one(Variant::WithoutFormerOrigins, twice);
    fails("redrive that names only the last origin", &world, "is lost");
}

#[test]
fn an_item_that_is_taken_over_without_condition_is_archived_from_two_origins() {
    let budget = Budget { abandoned: 2, redrives: 2, faults: 1, ..NOTHING };
    let world = one(Variant::WithoutTakeOverCondition, budget);
    fails("taking over without condition", &world, "event 0 is archived");
}

#[test]
fn quarantine_that_is_redriven_before_its_batch_is_committed_meets_the_next_attempt() {
    let budget = Budget { abandoned: 2, redrives: 1, quarantines: 1, ..NOTHING };
    let world = World { retries: 1, ..one(Variant::WithoutWaiting, budget) };
    fails("redrive of quarantine without waiting", &world, "event 0 is archived");
}
