//! One line for each stored batch, and one at times for what was refused.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use local::activity::{Activity, StoredObject};
use operate::amount::{bytes, of, time};
use tokio::time::Instant;

use crate::terminal::Bar;

/// A look with more objects is one line.
const OBJECTS: usize = 5;
/// After a line about refusals, the next comes this much later at the earliest.
const PAUSE: Duration = Duration::from_secs(10);
/// Of a key, its end is enough to find it.
const END_OF_KEY: usize = 24;

type Print<'a> = Option<&'a dyn Fn(String)>;

pub(super) struct Lines {
    activity: Option<Activity>,
    events: u64,
    objects: u64,
    refusals: Refusals,
}

#[derive(Default)]
struct Refusals {
    /// That no line has.
    waiting: BTreeMap<&'static str, u64>,
    printed: Option<Instant>,
}

impl Lines {
    pub(super) fn new(activity: Option<Activity>) -> Self {
        Self { activity, events: 0, objects: 0, refusals: Refusals::default() }
    }

    /// Never ends.
    pub(super) async fn print(&mut self, print: Print<'_>) {
        while let Some(activity) = &mut self.activity {
            activity.changed().await;
            self.print_new(print).await;
        }
        pending::<()>().await;
    }

    /// The same, with a bar of what is left. Never ends.
    pub(super) async fn print_drain(&mut self, print: Print<'_>) {
        let bar = Bar::on_stderr();
        while let Some(activity) = &mut self.activity {
            bar.show("records to store", activity.progress().pending, None);
            activity.changed().await;
            bar.wipe();
            self.print_new(print).await;
        }
        pending::<()>().await;
    }

    /// What is new now.
    pub(super) async fn print_new(&mut self, print: Print<'_>) {
        let Some(activity) = &mut self.activity else { return };
        // What cannot be read now is read the next time; health says why.
        let stored = activity.stored().await.unwrap_or_default();
        let refused = self.refusals.line(activity.refused(), Instant::now());
        self.objects += stored.len() as u64;
        self.events += stored.iter().map(|object| object.events).sum::<u64>();
        let Some(print) = print else { return };
        if stored.len() > OBJECTS {
            print(line(&stored));
        } else {
            stored.chunks(1).for_each(|object| print(line(object)));
        }
        refused.into_iter().for_each(print);
    }

    /// What was stored since the start.
    pub(super) fn totals(&self) -> String {
        format!("This run stored {} in {}", of(self.events, "event"), of(self.objects, "object"))
    }
}

impl Refusals {
    /// A line, if there was something and the last line is old enough.
    fn line(&mut self, new: BTreeMap<&'static str, u64>, now: Instant) -> Option<String> {
        for (code, count) in new {
            *self.waiting.entry(code).or_default() += count;
        }
        if self.waiting.is_empty() || self.printed.is_some_and(|printed| now < printed + PAUSE) {
            return None;
        }
        self.printed = Some(now);
        let waiting = std::mem::take(&mut self.waiting);
        let codes: Vec<_> = waiting.iter().map(|(code, count)| format!("{count} × {code}")).collect();
        Some(format!("refused {} (docs/http-api.md#problems)", codes.join(", ")))
    }
}

/// At least one object.
fn line(stored: &[StoredObject]) -> String {
    let sum = |of: fn(&StoredObject) -> u64| stored.iter().map(of).sum::<u64>();
    let oldest = stored.iter().map(|object| object.oldest).max().unwrap_or_default();
    let (tenants, place) = match stored {
        [StoredObject { tenants: Some(tenants), key, .. }] => {
            (format!(" of {}", of(*tenants, "tenant")), short(key))
        }
        [StoredObject { tenants: None, key, .. }] => (" of many tenants".to_owned(), short(key)),
        several => (String::new(), of(several.len() as u64, "object")),
    };
    format!(
        "stored {}{tenants} → {place}, {}, oldest {}",
        of(sum(|object| object.events), "event"),
        bytes(sum(|object| object.bytes)),
        time(oldest)
    )
}

/// `events/…` and the end of the key.
fn short(key: &str) -> String {
    let prefix = key.split_inclusive('/').next().unwrap_or_default();
    match key.len().checked_sub(END_OF_KEY) {
        Some(end) if end > prefix.len() => format!("{prefix}…{}", &key[end..]),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(events: u64, tenants: Option<u64>) -> StoredObject {
        let key = "events/dt=2026-11-28/hr=18/shardId-000000000000-49000000000000000000000000000000000000000000000000000017-0.ndjson.gz";
        StoredObject {
            key: key.to_owned(),
            bytes: 3_400,
            events,
            tenants,
            oldest: Duration::from_millis(3_200),
        }
    }

    #[test]
    fn a_batch_is_one_short_line_and_so_are_many() {
        insta::assert_snapshot!(line(&[object(17, Some(2))]), @"stored 17 events of 2 tenants → events/…000000000017-0.ndjson.gz, 3.4 KB, oldest 3.2 s");
        insta::assert_snapshot!(line(&[object(1, Some(1))]), @"stored 1 event of 1 tenant → events/…000000000017-0.ndjson.gz, 3.4 KB, oldest 3.2 s");
        insta::assert_snapshot!(line(&[object(123_456, None)]), @"stored 123.5k events of many tenants → events/…000000000017-0.ndjson.gz, 3.4 KB, oldest 3.2 s");
        insta::assert_snapshot!(line(&vec![object(5_000, Some(3)); 7]), @"stored 35.0k events → 7 objects, 23.8 KB, oldest 3.2 s");
    }

    #[test]
    fn refusals_are_a_line_at_once_and_then_one_in_ten_seconds() {
        let mut refusals = Refusals::default();
        let start = Instant::now();
        let mut at = |seconds, new: &[(&'static str, u64)]| {
            refusals.line(new.iter().copied().collect(), start + Duration::from_secs(seconds))
        };
        assert_eq!(at(0, &[]), None);
        let first = at(1, &[("tier_not_allowed", 1)]).unwrap();
        assert_eq!(first, "refused 1 × tier_not_allowed (docs/http-api.md#problems)");
        assert_eq!(at(2, &[("tier_not_allowed", 2)]), None);
        assert_eq!(at(10, &[("malformed_json", 1), ("tier_not_allowed", 2)]), None);
        let second = at(11, &[]).unwrap();
        assert_eq!(second, "refused 1 × malformed_json, 4 × tier_not_allowed (docs/http-api.md#problems)");
        assert_eq!(at(40, &[]), None);
    }
}
