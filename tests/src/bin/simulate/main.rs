//! The whole pipeline on one thread and in virtual time. A seed decides everything: what is sent, what fails and when, who dies,
//! how the clock jumps, what is deployed, what the operator does beside. So a seed that fails is a test.
//!
//! Real are ingest's router, the formats, the event source mapping, the consumer, the drain, the dispatcher, and the operator's audit, redrive
//! and replay. Simulated are the stores, the stream, the queue and its mapping, the clock, randomness, and what a process is.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | a run, from its beginning to its end |
//! | `scenario.rs` | what a seed decides before the run begins |
//! | `kinds.rs` | the kinds of damage, each with its switch and its counts |
//! | `configured.rs` | the configurations, and rollovers |
//! | `world.rs` | time, faults, processes, and the trace of all calls |
//! | `capacity.rs`, `peak.rs` | a table that refuses what is above its capacity, and a peak |
//! | `data.rs`, `stores.rs` | the stores in memory, and the functions' ports to them |
//! | `mapping.rs` | the ports of the event source mapping, invocations, the drain |
//! | `host.rs` | the host, which dies and starts again with another configuration |
//! | `credentials.rs` | the keys of tenants, which change, and a document that cannot be read |
//! | `dispatch.rs`, `target.rs` | the dispatch queue with its mapping, the dispatcher's ports, and its target |
//! | `client.rs` | what is sent, and what was answered |
//! | `deployment.rs`, `operator.rs` | audit, redrive and replay |
//! | `erase.rs` | what the operator deletes by hand |
//! | `expiry.rs` | a year later |
//! | `judge.rs`, `judge/dispatched.rs` | what must hold at the end |
//! | `oracle.rs` | what may be otherwise after something was deleted |
//!
//! Usage, as by `make simulate`: `simulate [runs] [first seed] [--without KIND,KIND]`, by default 100,000 runs from seed 1, on all
//! cores. If it is one run, and that fails, all its calls are printed. It fails, too, if a kind of damage did not occur in a
//! thousand runs.

mod capacity;
mod client;
mod configured;
mod credentials;
mod data;
mod deployment;
mod dispatch;
mod erase;
mod expiry;
mod host;
mod judge;
mod kinds;
mod mapping;
mod operator;
mod oracle;
#[cfg(test)]
mod peak;
mod run;
mod scenario;
mod stores;
mod target;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::kinds::Kind;
use crate::run::{Failed, Run, run_changed};
use crate::world::Coverage;

/// Seeds that fail are run and printed up to this many; the others are counted.
const SHOWN: usize = 10;
/// In so many runs each kind of damage occurs.
const ENOUGH: u64 = 1_000;

#[derive(Default)]
struct Sums {
    runs: u64,
    failed: Vec<Failed>,
    coverage: Coverage,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments.iter().map_while(|argument| argument.parse().ok()).collect();
    let (runs, first) = (numbers.first().copied().unwrap_or(100_000), numbers.get(1).copied().unwrap_or(1));
    let names = match &arguments[numbers.len()..] {
        [] => "",
        [option, names] if option == "--without" => names,
        other => {
            eprintln!(
                "error: {other:?} is not understood: simulate [runs] [first seed] [--without KIND,KIND]"
            );
            return ExitCode::FAILURE;
        }
    };
    let switched_off = match kinds::named(names) {
        Ok(kinds) => kinds,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, sums) = (AtomicU64::new(first), Mutex::new(Sums::default()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + runs {
                        return;
                    }
                    let result = run_changed(seed, |scenario| kinds::remove(&switched_off, scenario));
                    if runs == 1
                        && let Ok(run) = &result
                    {
                        println!("trace {:016x}", run.trace);
                    }
                    let mut sums = sums.lock().expect("no thread panics while it holds the lock");
                    sums.take(result, started);
                }
            });
        }
    });
    let sums = sums.into_inner().expect("no thread panics while it holds the lock");
    let seconds = started.elapsed().as_secs_f64();
    for (what, count) in &sums.coverage {
        println!("{count:>12} {what}");
    }
    let missing = report_kinds(&sums.coverage, &switched_off);
    for failed in sums.failed.iter().take(SHOWN) {
        println!("{failed}");
    }
    if let ([failed], 1) = (&sums.failed[..], runs) {
        println!("{}", failed.trace.join("\n"));
    }
    let mut seeds: Vec<_> = sums.failed.iter().map(|failed| failed.seed).collect();
    seeds.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = sums.runs as f64 / seconds;
    println!("{} runs in {seconds:.0} s, {rate:.0} a second; {} failed: {seeds:?}", sums.runs, seeds.len());
    if let Some(seed) = seeds.first() {
        let without = if names.is_empty() { String::new() } else { format!(" WITHOUT={names}") };
        println!("The first again, with its calls: make simulate SEED={seed}{without}");
    }
    if missing > 0 && runs >= ENOUGH {
        println!("{missing} kinds of damage did not occur");
        return ExitCode::FAILURE;
    }
    if seeds.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints how often each kind of damage occurred, and returns how many did not.
fn report_kinds(coverage: &Coverage, switched_off: &[&Kind]) -> usize {
    let mut missing = 0;
    println!("{:>12}  kind           damage", "times");
    for (kind, counter, count) in kinds::occurred(coverage, switched_off) {
        println!("{count:>12}  {kind:<13}  {counter}");
        missing += usize::from(count == 0);
    }
    missing
}

impl Sums {
    fn take(&mut self, result: Result<Run, Failed>, started: Instant) {
        self.runs += 1;
        match result {
            Ok(Run { coverage, .. }) => {
                for (what, count) in coverage {
                    *self.coverage.entry(what).or_default() += count;
                }
            }
            Err(failed) => {
                println!("{failed}");
                self.failed.push(failed);
            }
        }
        if self.runs.is_multiple_of(5_000) {
            println!(
                "{} runs, {} failed, {:.0} s",
                self.runs,
                self.failed.len(),
                started.elapsed().as_secs_f64()
            );
        }
    }
}
