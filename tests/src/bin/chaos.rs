//! `make chaos`: random crash runs, in parallel, until there were as many as asked for (default 1,000). Usage:
//! `chaos [runs] [first seed]`. A run that fails names its seed; `chaos 1 SEED` repeats it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::chaos::{Balanced, run};

/// Runs at the same time: they wait for processes more than they work.
const PARALLEL: usize = 8;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (runs, first) = (numbers.first().copied().unwrap_or(1_000), numbers.get(1).copied().unwrap_or(1));
    let program = std::env::current_exe().expect("this program runs").with_file_name("tidegate-with-faults");
    let next = AtomicU64::new(first);
    let total = Mutex::new((0_u64, Balanced::default()));
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
                    match runtime.block_on(async { tokio::spawn(async_run(program, seed)).await }) {
                        Ok(balanced) => report(&total, seed, balanced),
                        Err(error) => {
                            println!("seed {seed}: FAILED: {error}");
                            failed.lock().expect("nobody panics with it").push(seed);
                        }
                    }
                }
            });
        }
    });
    let (done, sums) = *total.lock().expect("nobody panics with it");
    let failed = failed.into_inner().expect("nobody panics with it");
    println!(
        "{done} runs balanced, {} did not {failed:?}: {} events accepted, {} objects, {} keys sealed, {} kills from outside",
        failed.len(),
        sums.accepted,
        sums.objects,
        sums.sealed,
        sums.killed
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn async_run(program: std::path::PathBuf, seed: u64) -> Balanced {
    run(&program, seed).await
}

fn report(total: &Mutex<(u64, Balanced)>, seed: u64, balanced: Balanced) {
    let mut total = total.lock().expect("nobody panics with it");
    let (done, sums) = &mut *total;
    *done += 1;
    sums.accepted += balanced.accepted;
    sums.objects += balanced.objects;
    sums.sealed += balanced.sealed;
    sums.killed += balanced.killed;
    if (*done).is_multiple_of(25) {
        println!("{done} runs, last seed {seed}: {} events accepted and stored once", sums.accepted);
    }
}
