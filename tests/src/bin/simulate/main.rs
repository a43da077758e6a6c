//! The whole pipeline on one thread and in virtual time. A seed decides everything: what is sent, what fails and when, who dies,
//! how the clock jumps, what the operator does beside. So a seed that fails is a test.
//!
//! Real are ingest's router, the formats, the event source mapping, the consumer, the drain, and the operator's audit, redrive
//! and replay. Simulated are the stores, the stream, the queue and its mapping, the clock, randomness, and what a process is.
//!
//! | file | holds |
//! |---|---|
//! | `run.rs` | a run, from its beginning to its end |
//! | `scenario.rs` | what a seed decides before the run begins |
//! | `world.rs` | time, faults, processes, and the trace of all calls |
//! | `capacity.rs`, `peak.rs` | a table that refuses what is above its capacity, and a peak |
//! | `data.rs`, `stores.rs` | the stores in memory, and the functions' ports to them |
//! | `mapping.rs` | the ports of the event source mapping, invocations, the drain |
//! | `host.rs` | the host, which dies and starts again with another configuration |
//! | `client.rs` | what is sent, and what was answered |
//! | `deployment.rs`, `operator.rs` | audit, redrive and replay |
//! | `judge.rs` | what must hold at the end |
//!
//! Usage, as by `make simulate`: `simulate [runs] [first seed]`, by default 100,000 runs from seed 1, on all cores. If it is
//! one run, and that fails, all its calls are printed.

mod capacity;
mod client;
mod data;
mod deployment;
mod host;
mod judge;
mod mapping;
mod operator;
#[cfg(test)]
mod peak;
mod run;
mod scenario;
mod stores;
#[cfg(test)]
mod tests;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::run::{Failed, Run, run};
use crate::world::Coverage;

/// Seeds that fail are run and printed up to this many; the others are counted.
const SHOWN: usize = 10;

#[derive(Default)]
struct Sums {
    runs: u64,
    failed: Vec<Failed>,
    coverage: Coverage,
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (runs, first) = (numbers.first().copied().unwrap_or(100_000), numbers.get(1).copied().unwrap_or(1));
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
                    let result = run(seed);
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
    for failed in sums.failed.iter().take(SHOWN) {
        println!("{failed}");
    }
    if let ([failed], 1) = (&sums.failed[..], runs) {
        println!("{}", failed.trace.join("\n"));
    }
    let seeds: Vec<_> = sums.failed.iter().map(|failed| failed.seed).collect();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = sums.runs as f64 / seconds;
    println!("{} runs in {seconds:.0} s, {rate:.0} a second; {} failed: {seeds:?}", sums.runs, seeds.len());
    if seeds.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
