//! A short search for inputs that make us store more than the bounds allow.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use fuzz::amplification::{known, search};

fn setting(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn no_input_makes_us_store_more_than_the_bounds() {
    let seed = setting("TIDEGATE_FUZZ_SEED", 20_261_128) as u64;
    let steps = setting("TIDEGATE_FUZZ_STEPS", 30);
    let starts = setting("TIDEGATE_FUZZ_STARTS", 2);
    println!("TIDEGATE_FUZZ_SEED={seed}");
    for worst in search(seed, starts, steps, setting("TIDEGATE_FUZZ_BYTES", 8_192)) {
        println!("{worst}");
    }
}

#[test]
fn the_largest_requests_are_within_the_bounds() {
    let all = known();
    for worst in &all {
        println!("{worst}");
    }
    let beyond: Vec<_> = all.iter().filter(|worst| !worst.is_within()).map(ToString::to_string).collect();
    assert!(beyond.is_empty(), "{beyond:#?}");
}
