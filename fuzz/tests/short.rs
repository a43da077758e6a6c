//! The short run: every seed and some mutants, the same every time. Set `TIDEGATE_FUZZ_SEED` for other mutants, and
//! `TIDEGATE_FUZZ_MUTANTS` for more.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzz::mutate::{Dice, mutate};
use fuzz::{TARGETS, Target, seeds};

/// Larger seeds are checked, but not mutated, because mutants of smaller ones take less time.
const LARGEST_MUTATED: usize = 4_096;

fn run(name: &str) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let seeds = seeds::of(name);
    for seed in &seeds {
        check(&target, &seed.input, &format!("the seed {}", seed.name));
    }
    let (dice_seed, mutants) =
        (setting("TIDEGATE_FUZZ_SEED", 20_261_121), setting("TIDEGATE_FUZZ_MUTANTS", 3_000));
    println!("{name}: {} seeds, {mutants} mutants by TIDEGATE_FUZZ_SEED={dice_seed}", seeds.len());
    let small: Vec<_> = seeds.iter().filter(|seed| seed.input.len() <= LARGEST_MUTATED).collect();
    let mut dice = Dice::new(dice_seed);
    for mutant in 0..mutants {
        let seed = small[dice.below(small.len())];
        let other = small[dice.below(small.len())];
        let input = mutate(&mut dice, &seed.input, &other.input, target.words);
        check(&target, &input, &format!("mutant {mutant} of {} (TIDEGATE_FUZZ_SEED={dice_seed})", seed.name));
    }
}

/// Prints the input before the test fails.
fn check(target: &Target, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.check)(input))) {
        let shown = input[..input.len().min(8_192)].escape_ascii();
        eprintln!("{}: {what}, {} bytes:\n{shown}", target.name, input.len());
        std::panic::resume_unwind(panic);
    }
}

fn setting(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn records_are_read_or_refused_by_the_rules() {
    run("record");
}

#[test]
fn aggregates_are_read_whole_or_refused() {
    run("aggregate");
}

#[test]
fn requests_are_answered_by_the_rules_and_accepted_events_are_stored() {
    run("http");
}

#[test]
fn log_records_are_stored_as_they_were_sent_or_refused() {
    run("otlp");
}

#[test]
fn configurations_work_or_the_error_names_the_key() {
    run("configuration");
}
