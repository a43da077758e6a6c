//! `SEED=7 cargo test --package tests --bin simulate` runs that seed alone, and prints its calls if it fails.

use std::time::Duration;

use crate::run::{Failed, Run, run, run_changed};
use crate::scenario::{Operation, Scenario};

/// Seeds of `make test`, some seconds. `make simulate` runs more.
const SEEDS: u64 = 200;

#[track_caller]
fn passed(run: Result<Run, Failed>) -> Run {
    run.unwrap_or_else(|failed| panic!("{failed}{}", failed.trace.join("\n")))
}

#[test]
fn whatever_fails_every_accepted_event_is_stored_once() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        passed(run(seed));
        return;
    }
    (1..=SEEDS).for_each(|seed| drop(passed(run(seed))));
}

#[test]
fn a_seed_is_one_run() {
    for seed in 1..20 {
        assert_eq!(passed(run(seed)).trace, passed(run(seed)).trace, "seed {seed}");
    }
}

/// A scenario in which nothing fails.
pub(crate) fn calm(scenario: &mut Scenario) {
    (scenario.failing_calls, scenario.poison, scenario.kills, scenario.dropped) = (0, 0, 0, 0);
    scenario.items_a_second = None;
    scenario.outages.clear();
    scenario.host_kills.clear();
    scenario.clock_jumps.clear();
    scenario.splits.clear();
    scenario.operations.clear();
    scenario.rules.maximum_record_age = None;
}

/// It stopped to read the stream at records that seemed to come from the future, and called what was stored of them foreign.
#[test]
fn an_audit_after_the_clock_was_set_back_has_no_false_findings() {
    for seed in 1..6 {
        passed(run_changed(seed, |scenario| {
            calm(scenario);
            (scenario.requests, scenario.length) = (30, Duration::from_mins(1));
            scenario.clock_jumps = vec![(Duration::from_secs(30), -3 * 3_600_000)];
            scenario.operations = vec![(Duration::from_secs(45), Operation::Audit)];
        }));
    }
}
