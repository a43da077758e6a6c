//! The rules as expressions over the whole text. The search within stretches must find the same, and be faster.

use std::hint::black_box;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;
use shared::config;

use crate::transform::redact::phone::Phones;
use crate::transform::redact::{Redactor, built_in, card};

/// Texts of the pieces that numbers have, and of their neighbours.
pub(super) const NUMBERS: &str = r"([0-9]{1,4}|[ ().+@/-]|[ -]|a|_|:|é|555-0199|555 555 |[+]49|4111|4111 1111 1111 1111|5500005555555559){0,24}";

/// A run of digits, with at most one space or hyphen between two of them.
static RUN: LazyLock<Regex> = LazyLock::new(|| built_in(r"(?-u)\b[0-9](?:[ -]?[0-9]){12,}\b"));
static PHONES: LazyLock<Phones> = LazyLock::new(Phones::new);

pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    PHONES.find_within(text, 0..text.len(), &mut found);
    found
}

pub(super) fn cards(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in RUN.find_iter(text) {
        card::in_run(text.as_bytes(), &card::groups(text.as_bytes(), run.range()), &mut found);
    }
    found
}

/// `cargo test --release -p consumer-fn reference -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_much_faster_it_is() {
    for (name, line) in [
        (
            "access log",
            "203.0.113.7 - - [11/Jan/2024:01:42:50 +0000] \"GET /reports?id=8123 HTTP/1.1\" 200 5316 0.042\n",
        ),
        (
            "application log",
            "2024-01-11T01:42:50.234Z INFO 019aa553-4a00-7000-8000-000000000001 order 81234567 stored in 12 ms\n",
        ),
        (
            "numbers",
            "1704937370234 12.50 1,234,567.89 2024-01-11 01:42:50 12345678901234567890 0199 555 42 4012 8888\n",
        ),
        (
            "prose",
            "It was the best of times, it was the worst of times, it was the age of wisdom, the age of it.\n",
        ),
        (
            "with a phone number",
            "User 555-0199 accessed /reports after a long conversation about nothing at all, and left again.\n",
        ),
    ] {
        let text = line.repeat(1_000_000 / line.len());
        let redactor = Redactor::new(&config::Redact::default()).unwrap();
        let fast = rate(&text, || black_box(card::find(text.as_bytes()).len() + PHONES.find(&text).len()));
        let slow = rate(&text, || black_box(cards(&text).len() + phones(&text).len()));
        let whole = rate(&text, || black_box(redactor.redact(&text).len()));
        println!("{name:20} {fast:5} MB/s, everywhere {slow:5} MB/s; a whole redaction {whole:5} MB/s");
    }
}

/// The best of several rounds, in megabytes a second.
fn rate(text: &str, work: impl Fn() -> usize) -> u128 {
    let round = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let best = (0..20).map(|_| round()).min().unwrap_or(Duration::MAX);
    text.len() as u128 * 1_000 / best.as_nanos().max(1)
}
