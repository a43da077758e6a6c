//! The most memory that a body takes, in ingest and in the consumer, for each of its bytes; and how the work grows with it. A binary of
//! its own, since it counts what the whole process allocates.

#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::alloc::System;

use axum::body::Body;
use fuzz::amplification::pipeline::Pipeline;
use fuzz::amplification::sender::Sent;
use http::Request;
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait};
use shared::limits;

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

const OTLP: &[u8] = br#"{"resourceLogs":"#;

/// Bodies of about `bytes` bytes, each the worst of its kind.
fn bodies(bytes: usize) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let many = |piece: &str, between: &str| vec![piece; bytes / (piece.len() + between.len())].join(between);
    let distinct = |bytes: usize| {
        let names: Vec<_> = (0..bytes / 9).map(|index| format!("\"{index:05x}\":0")).collect();
        names.join(",")
    };
    let json = "application/json";
    vec![
        ("the same name", json, format!("{{{}}}", many("\"\":0", ",")).into()),
        ("the same name, escaped", json, format!("{{{}}}", many("\"\\n\":0", ",")).into()),
        ("distinct names", json, format!("{{{}}}", distinct(bytes)).into()),
        ("distinct names below", json, format!("{{\"a\":{{{}}}}}", distinct(bytes)).into()),
        ("numbers", json, format!("{{\"a\":[{}]}}", many("0", ",")).into()),
        ("large numbers", json, format!("{{\"a\":[{}]}}", many("1e999", ",")).into()),
        ("empty objects", json, format!("{{\"a\":[{}]}}", many("{}", ",")).into()),
        ("lone surrogates", json, format!("{{\"a\":\"{}\"}}", many("\\ud800", "")).into()),
        ("control characters", "text/plain", many("\u{1}", "").into()),
        ("letters", "text/plain", many("a", "").into()),
        ("e-mail addresses", "text/plain", many("a@b.co", " ").into()),
        ("bad lines", "application/x-ndjson", many("{\n[", "\n").into()),
        ("a batch of events", "application/x-ndjson", many(&log_line(), "\n").into()),
        ("OTLP records", json, otlp(&many(r#"{"body":{"stringValue":"a"}}"#, ","))),
        (
            "OTLP attributes",
            json,
            otlp(&format!(r#"{{"attributes":[{}]}}"#, many(r#"{"key":"a","value":{"intValue":"1"}}"#, ","))),
        ),
    ]
}

fn otlp(records: &str) -> Vec<u8> {
    format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#).into()
}

/// At most 10,000 of it make a body.
fn log_line() -> String {
    format!(r#"{{"text":"{}","level":"info"}}"#, "call 555-0199 ".repeat(80))
}

/// Takes a body through ingest and the consumer, each by `measure`. Returns what the two measured, and the body's size.
fn taken(media_type: &str, body: Vec<u8>, measure: &dyn Fn(&mut dyn FnMut()) -> usize) -> (usize, usize) {
    let bytes = body.len();
    let pipeline = Pipeline::new(false);
    let path = if body.starts_with(OTLP) { "/v1/logs" } else { "/events" };
    let request = Request::post(path)
        .header("content-type", media_type)
        .header("x-tenant-id", "acme")
        .body(Body::from(body))
        .unwrap();
    let mut sent = Some(Sent::Request { request: Box::new(request), wire: bytes, inflated: bytes });
    let mut records = Vec::new();
    let ingest = measure(&mut || records = pipeline.ingest(sent.take().unwrap()).1);
    let batches = Pipeline::batches(&records);
    let consumer = batches.into_iter().map(|batch| {
        let mut batch = Some(batch);
        measure(&mut || assert!(pipeline.consume(batch.take().unwrap())))
    });
    (ingest, consumer.max().unwrap_or_default())
}

/// The size of the bodies.
fn bytes() -> usize {
    std::env::var("TIDEGATE_FUZZ_BYTES").map_or(1 << 19, |bytes| bytes.parse().unwrap())
}

fn tenths(sum: usize, bytes: usize) -> String {
    format!("{}.{}", sum / bytes, sum * 10 / bytes % 10)
}

#[test]
fn a_body_takes_at_most_its_bound_of_memory() {
    let peak = |work: &mut dyn FnMut()| {
        MEMORY.reset_peak_memory();
        work();
        MEMORY.get_peak_memory()
    };
    for (what, media_type, body) in bodies(bytes()) {
        let bytes = body.len();
        let (ingest, consumer) = taken(media_type, body, &peak);
        let (of_ingest, of_consumer) = (tenths(ingest, bytes), tenths(consumer, bytes));
        println!(
            "{what}: {of_ingest} bytes of memory for each byte in ingest, {of_consumer} in the consumer"
        );
        assert!(ingest.max(consumer) <= limits::MEMORY_RATIO * bytes, "{what}");
    }
}

/// How much memory of the machine this process had at most, in bytes.
fn most_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
}

/// One of the largest bodies, in a process of its own. Prints how much memory ingest and the consumer had at most.
#[test]
#[ignore = "is run for each kind by the next test"]
fn one_of_the_largest_bodies() {
    let [Ok(body), Ok(media_type)] = ["TIDEGATE_FUZZ_BODY", "TIDEGATE_FUZZ_TYPE"].map(std::env::var) else {
        return;
    };
    let body = std::fs::read(body).unwrap();
    let peak = |work: &mut dyn FnMut()| {
        work();
        most_resident()
    };
    let (ingest, consumer) = taken(&media_type, body, &peak);
    println!("peaks {} {}", ingest >> 20, consumer >> 20);
}

/// A function that needs more than its memory is killed.
#[test]
#[ignore = "takes a minute"]
fn the_largest_bodies_fit_the_memory_of_ingest() {
    let file = std::env::temp_dir().join(format!("tidegate-body-{}", std::process::id()));
    for (what, media_type, body) in bodies(limits::BODY_BYTES - 1_024) {
        std::fs::write(&file, body).unwrap();
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_the_largest_bodies", "--ignored", "--nocapture"])
            .env("TIDEGATE_FUZZ_BODY", &file)
            .env("TIDEGATE_FUZZ_TYPE", media_type)
            .output();
        let printed = String::from_utf8(run.unwrap().stdout).unwrap();
        let peaks = printed.lines().find_map(|line| line.strip_prefix("peaks ")).expect(&printed);
        println!("{what}: {peaks} MiB, in ingest and in the consumer");
        let ingest: usize = peaks.split(' ').next().unwrap().parse().unwrap();
        assert!(ingest <= limits::ingest_mb(limits::BODY_BYTES), "{what}");
    }
    std::fs::remove_file(file).unwrap();
}

/// Processor time depends on the machine, so this runs where someone reads it: `make amplification`.
#[test]
#[ignore = "measures processor time"]
fn the_work_grows_no_faster_than_the_body() {
    let nanoseconds = |work: &mut dyn FnMut()| {
        let now = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            usize::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
        };
        let start = now();
        work();
        now() - start
    };
    let small = bodies(bytes());
    for ((what, media_type, small), (_, _, large)) in small.into_iter().zip(bodies(4 * bytes())) {
        let [of_small, of_large] = [small, large].map(|body| {
            let bytes = body.len();
            let times = (0..3).map(|_| taken(media_type, body.clone(), &nanoseconds));
            let (ingest, consumer) = times.min().unwrap();
            println!(
                "{what}: {} ns a byte in ingest, {} in the consumer",
                tenths(ingest, bytes),
                tenths(consumer, bytes)
            );
            (ingest + consumer) / (bytes / 1_024)
        });
        assert!(of_large <= 2 * of_small, "{what}: four times the body takes more than eight times as long");
    }
}
