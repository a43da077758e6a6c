//! The text of a state: one screen of at most 80 columns.

use std::fmt::Write;
use std::time::Duration;

use super::parts::{Number, Part, parts};
use super::{Health, Reason, Shard, State};
use crate::amount;

const COLUMNS: usize = 80;
/// Of the names of the parts.
const NAMES: usize = 12;
/// The most shards that are shown, as on the page.
const SHARDS: usize = 8;
/// Of a chart in text: two minutes.
const SAMPLES: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How a text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// The first number of a part, and what is well.
    Good,
    /// What someone should look at.
    Bad,
    Faint,
}

impl State {
    /// One screen. `paint` makes a text stand out; `name` is what people call the run.
    pub fn screen(&self, name: &str, paint: &dyn Fn(Style, &str) -> String) -> String {
        let mut screen = self.head(name, paint);
        for part in parts(self) {
            self.part(&part, &mut screen, paint);
        }
        screen
    }

    /// The same, with a chart of the last two minutes for each part.
    pub fn charts(&self, name: &str, paint: &dyn Fn(Style, &str) -> String) -> String {
        let mut screen = self.head(name, paint);
        for part in parts(self) {
            let chart = chart(&part.line);
            if !part.numbers.is_empty() {
                let chart = paint(Style::Faint, &chart);
                writeln!(screen, "{:<NAMES$}{chart}", part.name).expect("a string takes all");
            }
            let name = if part.numbers.is_empty() { part.name } else { "" };
            self.part(&Part { name, ..part }, &mut screen, paint);
        }
        screen
    }

    fn head(&self, name: &str, paint: &dyn Fn(Style, &str) -> String) -> String {
        let up = self.started.and_then(|started| u64::try_from(self.now - started).ok());
        let up = up.map(|ms| format!(", up {}", amount::time(Duration::from_millis(ms)))).unwrap_or_default();
        let (style, status) = match self.status {
            Health::Ok => (Style::Good, "ok"),
            Health::Degraded => (Style::Bad, "degraded"),
            Health::Failing => (Style::Bad, "failing"),
        };
        let status = paint(style, status);
        let product = if self.is_of_stack() { "" } else { "Tidegate " };
        let mut head = format!("{name}  {product}{}{up}: {status}\n", self.version);
        for Reason { code, message, runbook, .. } in &self.reasons {
            let runbook = if runbook.is_empty() { String::new() } else { format!(" ({runbook})") };
            let words = format!("{code}: {message}{runbook}");
            for line in wrapped(&words, COLUMNS - 2) {
                writeln!(head, "  {}", paint(Style::Bad, &line)).expect("a string takes all");
            }
        }
        head.push('\n');
        head
    }

    fn part(&self, part: &Part, screen: &mut String, paint: &dyn Fn(Style, &str) -> String) {
        let mut name = part.name;
        let mut line = |text: &str| {
            writeln!(screen, "{name:<NAMES$}{text}").expect("a string takes all");
            name = "";
        };
        if part.numbers.is_empty() {
            return line(&paint(Style::Faint, "off"));
        }
        for row in rows(&part.numbers, COLUMNS - NAMES) {
            let numbers: Vec<_> =
                row.iter().map(|number| paint(style(number, &part.numbers), &number.shown)).collect();
            line(&numbers.join(", "));
        }
        if part.numbers.iter().any(|number| number.key == "records_waiting") {
            for Shard { id, waiting, oldest_age_seconds } in self.shards.iter().take(SHARDS) {
                let age = oldest_age_seconds.map(|age| amount::time(Duration::from_secs_f64(age.max(0.0))));
                let waits = match age {
                    Some(age) => format!("{}, oldest {age}", amount::count(*waiting)),
                    None => "nothing waits".to_owned(),
                };
                line(&format!("{}: {waits}", shard(id)));
            }
            if let Some(more @ 1..) = self.shards.len().checked_sub(SHARDS) {
                line(&format!("{more} more shards"));
            }
        }
    }
}

fn style(number: &Number, all: &[Number]) -> Style {
    match number.is_bad {
        true => Style::Bad,
        false if all.first().is_some_and(|first| first.key == number.key) => Style::Good,
        false => Style::Plain,
    }
}

/// Numbers in lines of at most `columns`.
fn rows(numbers: &[Number], columns: usize) -> Vec<&[Number]> {
    let (mut rows, mut start, mut used) = (Vec::new(), 0, 0);
    for (index, number) in numbers.iter().enumerate() {
        let needed = width(&number.shown) + ", ".len();
        if used + needed > columns && index > start {
            rows.push(&numbers[start..index]);
            (start, used) = (index, 0);
        }
        used += needed;
    }
    rows.push(&numbers[start..]);
    rows
}

/// Words in lines of at most `columns`, where a word is not longer.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| width(line) + 1 + width(word) <= columns) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The last samples as bars, the largest one full.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of eight bars")]
fn chart(line: &[Option<f64>]) -> String {
    let last = &line[line.len().saturating_sub(SAMPLES)..];
    let most = last.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: f64| {
        let index = if most > 0.0 { (value / most * 7.0).round() as usize } else { 0 };
        BARS[index.min(7)]
    };
    last.iter().map(|value| value.map_or(' ', bar)).collect()
}

/// `shardId-000000000012` as `shard 12`.
fn shard(id: &str) -> String {
    match id.strip_prefix("shardId-").map(|number| number.trim_start_matches('0')) {
        Some("") => "shard 0".to_owned(),
        Some(number) => format!("shard {number}"),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::state;
    use super::*;

    fn plain(_style: Style, text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn the_screen_has_the_numbers_of_the_page_in_its_order() {
        insta::assert_snapshot!(state().screen("http://127.0.0.1:8080", &plain), @r"
        http://127.0.0.1:8080  Tidegate 0.1.0, up 12 min 5 s: degraded
          spilling: the stream did not take 40 events in time
          (docs/runbooks/spilling.md)

        ingest      12 requests/s, 1235 events/s accepted, 120.0 KB/s
                    12.3k accepted in all
        refused     3 in the last minute, by tier 3, by credential 0, by quota 0
                    events rejected 0, not stored (503) 0
        stream      45 records waiting, oldest 1.3 s
                    shard 0: 45, oldest 1.3 s
                    shard 12: nothing waits
        spill       2 messages waiting, spilled lately 0, in all 40, dead letters 0
        consumer    4 batches in the last minute, 17 events in a batch (p50)
                    failures of a batch 0, failed for good 0, restarts 0
        quarantine  0 since the start, 0 in the last minute, objects written 0
        items       1230 events stored/s, 12.3k stored in all, deduplicated 0
                    redelivered 0
        dispatch    off
        archive     4 objects in the last minute, written in all 4, size 3.4 KB (p50)
                    parts of large texts 0
        freshness   p99 6.1 s, promised 5.0 s, p50 1.9 s, longest 6.4 s
        ");
    }

    #[test]
    fn what_someone_should_look_at_stands_out() {
        let bad = |style: Style, text: &str| {
            if style == Style::Bad { format!("<{text}>") } else { text.to_owned() }
        };
        let screen = state().screen("here", &bad);
        let found: Vec<_> = screen
            .match_indices('<')
            .map(|(start, _)| {
                let end = screen[start..].find('>').unwrap();
                &screen[start + 1..start + end]
            })
            .collect();
        insta::assert_debug_snapshot!(found, @r#"
        [
            "degraded",
            "spilling: the stream did not take 40 events in time",
            "(docs/runbooks/spilling.md)",
            "2 messages waiting",
            "p99 6.1 s, promised 5.0 s",
        ]
        "#);
    }

    #[test]
    fn a_chart_has_a_bar_for_each_sample_of_two_minutes() {
        assert_eq!(chart(&[]), "");
        assert_eq!(chart(&[Some(0.0), None, Some(3.5), Some(7.0)]), "▁ ▅█");
        assert_eq!(chart(&[Some(0.0); 3]), "▁▁▁");
        assert_eq!(chart(&vec![Some(1.0); 400]).chars().count(), SAMPLES);
    }

    #[test]
    fn charts_fit_the_screen_too() {
        let screen = state().charts("http://127.0.0.1:8080", &plain);
        assert!(screen.lines().all(|line| line.chars().count() <= COLUMNS), "{screen}");
        assert!(screen.lines().count() <= 40, "{screen}");
        assert!(screen.contains("ingest      "), "{screen}");
    }
}
