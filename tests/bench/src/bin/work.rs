//! The benchmarked functions, as `tests/bench/*.py` and people run them:
//!
//! - `work consumer small 5` runs a function on an input five times, and prints the processor time of an event. Two more numbers
//!   may say of how many events and tenants.
//! - `work write FOLDER` writes every input's payloads into a folder; `work payload consumer small 5000` prints one of that many
//!   events.
//! - `work serve consumer FILE` runs a function on such a file each time that it reads a line, and prints its processor time.
//!   If the line is a folder, it writes into it what the function stored.
//!
//! For callgrind: `valgrind --tool=callgrind --toggle-collect='work::measured*' work consumer small 1`.

#![expect(clippy::unwrap_used, reason = "this is a benchmark")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bench::inputs::{Input, Load};
use bench::{consumer, cpu, ingest, limit};
use serde_json::{Value, json};
use shared::config::Config;
use shared::format::record::{self, Content};
use tokio::runtime::Runtime;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments[..] {
        ["write", folder] => write(&runtime, Path::new(folder)),
        ["payload", function, input, events] => {
            let load = Input::named(input).unwrap_or_else(|| usage()).load();
            let events = events.parse().unwrap_or_else(|_| usage());
            println!("{}", payloads(&runtime, function, Load { events, ..load }));
        }
        ["serve", function, file] => serve(function, &fs::read_to_string(file).unwrap(), &runtime),
        [function, input, rounds, ref amounts @ ..] => {
            let mut load = Input::named(input).unwrap_or_else(|| usage()).load();
            for (amount, given) in [&mut load.events, &mut load.tenants].into_iter().zip(amounts) {
                *amount = given.parse().unwrap_or_else(|_| usage());
            }
            let rounds = rounds.parse().unwrap_or_else(|_| usage());
            run(&runtime, function, load, rounds);
        }
        _ => usage(),
    }
}

fn usage() -> ! {
    let inputs = Input::ALL.map(Input::name).join("|");
    eprintln!("usage: work consumer|ingest|limit {inputs} ROUNDS [EVENTS [TENANTS]]");
    eprintln!("       work write FOLDER");
    eprintln!("       work payload consumer|ingest {inputs} EVENTS");
    eprintln!("       work serve consumer|ingest|limit FILE");
    std::process::exit(2)
}

/// What one round took, and more of it.
type Round<'a> = Box<dyn FnMut(Option<&Path>) -> (Duration, String) + 'a>;

/// A function on its payloads, one a line. If there is a folder, what it stored is written there.
fn function<'a>(function: &str, payloads: &'a str, runtime: &'a Runtime) -> Round<'a> {
    match function {
        "consumer" => {
            let config = Arc::new(Config::default());
            Box::new(move |folder| consumer(runtime, payloads, &config, folder))
        }
        "ingest" => {
            let ingest = ingest::Ingest::new();
            Box::new(move |folder| self::ingest(runtime, payloads, &ingest, folder))
        }
        "limit" => Box::new(|_| {
            let stages = limit::stages(payloads);
            let each = stages.iter().map(|(stage, used)| format!("{stage}={}", used.as_secs_f64()));
            (stages.iter().map(|(_, used)| *used).sum(), each.collect::<Vec<_>>().join("\t"))
        }),
        _ => usage(),
    }
}

fn consumer(
    runtime: &Runtime,
    batch: &str,
    config: &Arc<Config>,
    folder: Option<&Path>,
) -> (Duration, String) {
    let run = if folder.is_some() { consumer::Run::keeping(config) } else { consumer::Run::new(config) };
    let before = cpu::used();
    measured(|| runtime.block_on(run.process(batch)));
    let used = cpu::used().checked_sub(before).unwrap();
    let of_events = |key: &&String| !key.starts_with("errors/");
    assert_eq!(run.keys().iter().filter(of_events).count(), run.keys().len(), "nothing is quarantined");
    let archive = run.archive();
    if let Some(folder) = folder {
        let items: Vec<_> = run.items().iter().map(ToString::to_string).collect();
        fs::write(folder.join("items.ndjson"), items.join("\n")).unwrap();
        fs::write(folder.join("archive.ndjson.gz"), &archive).unwrap();
    }
    (used, format!("archive={}", archive.len()))
}

fn ingest(
    runtime: &Runtime,
    requests: &str,
    ingest: &ingest::Ingest,
    folder: Option<&Path>,
) -> (Duration, String) {
    let (mut answers, mut records) = (Vec::new(), Vec::new());
    let before = cpu::used();
    measured(|| {
        for request in requests.lines() {
            let answer = runtime.block_on(ingest.answer(request));
            ingest::accepted(&answer);
            let put = ingest.put();
            if folder.is_some() {
                answers.push(answer);
                records.extend(put);
            }
        }
    });
    let used = cpu::used().checked_sub(before).unwrap();
    if let Some(folder) = folder {
        let lines: Vec<_> = records.iter().flat_map(|(key, data)| lines(key, data)).collect();
        fs::write(folder.join("answers.ndjson"), answers.join("\n")).unwrap();
        fs::write(folder.join("lines.ndjson"), lines.join("\n")).unwrap();
    }
    (used, String::new())
}

/// The event lines of a record, with its partition key, as JSON.
fn lines(key: &str, data: &[u8]) -> Vec<String> {
    let entries = record::unpack(data, &[]).unwrap().entries;
    let line = |entry: record::Entry| match entry.unwrap() {
        Content::Event(event) => {
            let line: Value = serde_json::from_slice(&event.line()).unwrap();
            json!({ "partition_key": key, "line": line }).to_string()
        }
        Content::Foreign(_) => unreachable!("ingest writes event lines"),
    };
    entries.into_iter().map(line).collect()
}

/// What callgrind counts.
#[inline(never)]
fn measured(run: impl FnOnce()) {
    run();
}

fn run(runtime: &Runtime, name: &str, load: Load, rounds: usize) {
    let payloads = payloads(runtime, name, load);
    let mut round = function(name, &payloads, runtime);
    for _ in 0..rounds {
        let (used, more) = round(None);
        let each = used.as_secs_f64() * 1e6 / f64::from(u32::try_from(load.events).unwrap());
        println!("{name}\t{}\t{each:.2} µs an event of {}\t{more}", load.input.name(), load.events);
    }
}

fn payloads(runtime: &Runtime, function: &str, load: Load) -> String {
    if function == "ingest" { load.requests().join("\n") } else { runtime.block_on(load.batch()) }
}

fn write(runtime: &Runtime, folder: &Path) {
    for load in Input::ALL.map(Input::load) {
        for function in ["consumer", "ingest"] {
            let name = format!("{function}-{}-{}", load.events, load.input.name());
            fs::write(folder.join(name), payloads(runtime, function, load)).unwrap();
        }
    }
}

fn serve(name: &str, payloads: &str, runtime: &Runtime) {
    let mut round = function(name, payloads, runtime);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (used, more) = round((!line.is_empty()).then_some(Path::new(&line)));
        println!("{}\t{more}", used.as_secs_f64());
    }
}
