//! `work consumer small 5`: runs a function on an input, several times, and prints the processor time of an event.
//! For callgrind: `valgrind --tool=callgrind --toggle-collect='work::measured*' work consumer small 1`.

#![expect(clippy::unwrap_used, reason = "this is a benchmark")]

use std::sync::Arc;
use std::time::Duration;

use bench::inputs::Input;
use bench::{consumer, cpu, ingest};
use shared::config::Config;
use tokio::runtime::Runtime;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [function, input, rounds] = &arguments[..] else { usage() };
    let rounds: usize = rounds.parse().unwrap_or_else(|_| usage());
    let Some(input) = Input::named(input) else { usage() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match function.as_str() {
        "consumer" => consumer(&runtime, input, rounds),
        "ingest" => ingest(&runtime, input, rounds),
        _ => usage(),
    }
}

fn usage() -> ! {
    let inputs = Input::ALL.map(Input::name).join("|");
    eprintln!("usage: work consumer|ingest {inputs} ROUNDS");
    std::process::exit(2)
}

fn consumer(runtime: &Runtime, input: Input, rounds: usize) {
    let batch = runtime.block_on(input.batch());
    let config = Arc::new(Config::default());
    for _ in 0..rounds {
        let run = consumer::Run::new(&config);
        let before = cpu::used();
        measured(|| runtime.block_on(run.process(&batch)));
        let used = cpu::used().checked_sub(before).unwrap();
        let of_events = |key: &&String| !key.starts_with("errors/");
        assert_eq!(run.keys().iter().filter(of_events).count(), run.keys().len(), "nothing is quarantined");
        report("consumer", input, used, &format!("archive object {} B", run.archived()));
    }
}

fn ingest(runtime: &Runtime, input: Input, rounds: usize) {
    let events: Vec<_> = input.objects().iter().map(|object| ingest::event(object)).collect();
    let function = ingest::Ingest::new();
    for _ in 0..rounds {
        let before = cpu::used();
        measured(|| {
            for event in &events {
                ingest::accepted(&runtime.block_on(function.answer(event)));
            }
        });
        report("ingest", input, cpu::used().checked_sub(before).unwrap(), "");
    }
}

/// What callgrind counts.
#[inline(never)]
fn measured(run: impl FnOnce()) {
    run();
}

fn report(function: &str, input: Input, used: Duration, more: &str) {
    let events = input.events();
    let each = used.as_secs_f64() * 1e6 / f64::from(u32::try_from(events).unwrap());
    println!("{function}\t{}\t{each:.2} µs an event of {events}\t{more}", input.name());
}
