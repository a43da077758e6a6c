//! The rules as expressions over the whole text. The search within stretches must find the same, and be faster.

use std::borrow::Cow;
use std::hint::black_box;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;
use shared::config;

use crate::transform::redact::phone::Phones;
use crate::transform::redact::stretch::stretches;
use crate::transform::redact::{FEWEST_DIGITS, Redactor, built_in, card};

/// Texts of the pieces that numbers have, and of their neighbours.
pub(super) const NUMBERS: &str = r"([0-9]{1,4}|[ ().+@/-]|[ -]|\x1f|a|_|:|é|555-0199|555 555 |[+]49|4111|4111 1111 1111 1111|5500005555555559){0,24}";

/// Texts of the pieces that addresses have.
pub(super) const ADDRESSES: &str = r"([a-c]{1,2}|[0-9]|[.@ -]|@[a-z]{1,2}[.]|[.][a-z]{2}|[+_:<%/]){0,24}";

/// Texts of both, in several spellings, and of what is between them.
pub(super) const NEIGHBOURS: &str = r"([0-9]{1,4}|[ ().+@/-]|a|[a-z]\.[a-z]{2}|é|語|555-0199|[+]49 30 1234567|4111 1111 1111 1111|a@b\.co|[,:;<>]|\x22|\[|\]|\n|%40|%2C|\\n|\\u00a0|\u{a0}|\u{200b}){0,24}";

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    built_in(
        r"(?-u)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])",
    )
});

/// A run of digits, with at most one separator between two of them.
static RUN: LazyLock<Regex> = LazyLock::new(|| built_in(r"(?-u)\b[0-9](?:[ .\x1f-]?[0-9]){12,}\b"));
static PHONES: LazyLock<Phones> = LazyLock::new(Phones::new);

/// Cards and phone numbers, searched as the redactor does.
pub(super) fn in_stretches(text: &str) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (mut cards, mut phones) = (Vec::new(), Vec::new());
    for (stretch, _) in stretches(text.as_bytes(), FEWEST_DIGITS) {
        card::find(text.as_bytes(), stretch.clone(), &mut cards);
        PHONES.find(text, stretch, &mut phones);
    }
    (cards, phones)
}

/// Searches the whole text again after each replacement.
pub(super) fn redacted(redactor: &Redactor, text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    for _ in 0..redactor.passes {
        let found = redactor.found(&text);
        redactor.replace(&mut text, found);
    }
    text.into_owned()
}

pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    PHONES.find_within(text, 0..text.len(), &mut found);
    found
}

pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    EMAIL.find_iter(text).map(|found| found.range()).collect()
}

/// `text` with other characters that mean the same.
pub(super) fn spelled(text: &str, seed: u64) -> String {
    let other = |(index, char): (usize, char)| {
        let choices: &[&str] = match char {
            ' ' => &["\u{a0}", "\u{202f}", "\u{3000}", "%20", r"\u00a0"],
            '-' => &["\u{2010}", "\u{2011}", "\u{2012}", "－", r"\u2011"],
            '+' => &["＋", "%2B", r"\u002b"],
            '(' => &["（", "%28"],
            ')' => &["）", "%29"],
            '5' => &["５", "٥", "۵", "5\u{200b}", "5\u{fe0f}\u{20e3}"],
            _ => return char.to_string(),
        };
        let choice = seed.rotate_left(u32::try_from(index * 7).unwrap()) % 8;
        usize::try_from(choice)
            .ok()
            .and_then(|choice| choices.get(choice))
            .map_or_else(|| char.to_string(), |&other| other.to_owned())
    };
    text.chars().enumerate().map(other).collect()
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
        (
            "addresses",
            "jo.doe@example.com asked ops@example.org about user@host, and jo@example.com answered at once, thanks.\n",
        ),
        (
            "german",
            "Grüße aus Köln: die Lieferung für Frau Müller über 12,50 € wurde heute früh um 9:42 Uhr zugestellt.\n",
        ),
        (
            "japanese",
            "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で。\n",
        ),
        (
            "no-break spaces",
            "Rechnung 12\u{a0}345,67\u{a0}€ vom 11.\u{a0}Januar 2024, bezahlt am 12.\u{a0}Januar, Kunde Nr.\u{a0}4711, danke\u{a0}sehr.\n",
        ),
        (
            "urls",
            "GET /search?q=caf%C3%A9%20au%20lait&from=%2Fhome%2Findex&t=1704937370 HTTP/1.1 200 5316 Mozilla%2F5.0\n",
        ),
        (
            "json in text",
            r#"{"level":"info","msg":"order \"81234567\" stored\nin 12 ms","path":"C:\\data\\new","at":"2024-01-11T01:42:50Z"}"#,
        ),
    ] {
        let text = line.repeat(1_000_000 / line.len());
        let redactor = Redactor::new(&config::Redact::default()).unwrap();
        let fast = rate(&text, || black_box(in_stretches(&text)).0.len());
        let slow = rate(&text, || black_box((cards(&text), phones(&text))).0.len());
        let whole = rate(&text, || black_box(redactor.redact(&text).len()));
        println!("{name:20} {fast:5} MB/s, everywhere {slow:5} MB/s; a whole redaction {whole:5} MB/s");
    }
}

/// Twice the text may take at most three times as long.
#[test]
#[ignore = "a measurement"]
fn the_time_is_linear_for_what_an_attacker_sends() {
    let redactors = ["[REDACTED]", "***", ""].map(|replacement| {
        let replacement = replacement.to_owned();
        Redactor::new(&config::Redact { replacement, ..config::Redact::default() }).unwrap()
    });
    let pieces = [
        "@",
        "a@",
        "@a",
        "a@b.",
        "a@b.c",
        ".a",
        "a.b-",
        "é@é.",
        "語@語.",
        "%",
        "%25",
        "%40",
        "\\",
        "\\\\n",
        "\\u00",
        "\\u0040",
        "\u{200b}",
        "5\u{200b}",
        "+1",
        "+",
        "(5",
        "(555)",
        "1 ",
        "555-",
        "555-0199-",
        "555.555.",
        "4111",
        "4111 ",
        "4111.",
        "4111 1111-",
        "9",
        "555-0199 ",
        "a@b.co ",
    ];
    for (piece, redactor) in
        pieces.iter().flat_map(|piece| redactors.iter().map(move |redactor| (piece, redactor)))
    {
        let text = piece.repeat(400_000 / piece.len());
        let half = &text[..text.floor_char_boundary(text.len() / 2)];
        let time = |text: &str| {
            (0..5).map(|_| elapsed(|| black_box(redactor.redact(text).len()))).min().unwrap_or(Duration::MAX)
        };
        let (once, twice) = (time(half), time(&text));
        println!("{piece:10} {once:?} {twice:?}");
        assert!(
            twice < once * 3 + Duration::from_millis(1),
            "`{piece}`: {once:?}, of twice the length {twice:?}"
        );
    }
}

fn elapsed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The best of several rounds, in megabytes a second.
fn rate(text: &str, work: impl Fn() -> usize) -> u128 {
    let best = (0..20).map(|_| elapsed(&work)).min().unwrap_or(Duration::MAX);
    text.len() as u128 * 1_000 / best.as_nanos().max(1)
}
