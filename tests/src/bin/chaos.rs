//! `make chaos`: random crash runs, several at a time. Usage: `chaos [runs] [first seed]`, by default 1,000 runs. It
//! prints the seed of a run that fails; `chaos 1 SEED` repeats that run. It fails, too, if a kind of damage did not occur in a hundred
//! runs.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::chaos::{KINDS, RunSummary, run};

/// The number of runs at a time. They mostly wait for processes.
const PARALLEL: usize = 8;
/// In so many runs each kind of damage occurs.
const ENOUGH: u64 = 100;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (runs, first) = (numbers.first().copied().unwrap_or(1_000), numbers.get(1).copied().unwrap_or(1));
    let program = std::env::current_exe().expect("this program runs").with_file_name("tidegate-with-faults");
    let next = AtomicU64::new(first);
    let total = Mutex::new((0_u64, RunSummary::default()));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + runs {
                        return;
                    }
                    let program = program.clone();
                    match runtime
                        .block_on(async { tokio::spawn(async move { run(&program, seed).await }).await })
                    {
                        Ok(balanced) => report(&total, seed, balanced),
                        Err(error) => {
                            println!("seed {seed}: FAILED: {error}");
                            failed.lock().expect("no thread panics while it holds the lock").push(seed);
                        }
                    }
                }
            });
        }
    });
    let (done, sums) = total.into_inner().expect("no thread panics while it holds the lock");
    let failed = failed.into_inner().expect("no thread panics while it holds the lock");
    let occurred = KINDS.map(|kind| (kind, sums.coverage.get(kind).copied().unwrap_or_default()));
    for (what, times) in &sums.coverage {
        println!("{times:>8} {what}");
    }
    println!(
        "{done} runs passed, {} failed {failed:?}: {} events accepted, {} objects, {} keys fenced",
        failed.len(),
        sums.accepted,
        sums.objects,
        sums.fenced,
    );
    let missing = occurred.iter().filter(|(_, times)| *times == 0).count();
    if missing > 0 && runs >= ENOUGH {
        println!("{missing} kinds of damage did not occur");
        return ExitCode::FAILURE;
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(total: &Mutex<(u64, RunSummary)>, seed: u64, balanced: RunSummary) {
    let mut total = total.lock().expect("no thread panics while it holds the lock");
    let (done, sums) = &mut *total;
    *done += 1;
    sums.accepted += balanced.accepted;
    sums.objects += balanced.objects;
    sums.fenced += balanced.fenced;
    for (kind, times) in balanced.coverage {
        *sums.coverage.entry(kind).or_default() += times;
    }
    if (*done).is_multiple_of(25) {
        println!("{done} runs, last seed {seed}: {} events accepted and stored once", sums.accepted);
    }
}
