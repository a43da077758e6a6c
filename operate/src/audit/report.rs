//! The verdict for people, and as JSON for scripts. The names in the JSON are read by others: add, never rename.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::time::Timestamp;

use super::facts::Facts;
use super::verdict::{Counts, Finding, Tally, Verdict};

/// Rows and findings that people are shown; JSON has all.
const SHOWN: usize = 50;
/// What is in no tenant's table since nobody can read it.
const UNREADABLE: &str = "(unreadable)";
/// What waits in a queue.
const QUEUED: &str = "(not on the stream)";

/// An audit's outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    deployment: String,
    from: Timestamp,
    to: Timestamp,
    /// From then on, whatever arrived was read from the stream.
    stream_complete_from: Timestamp,
    balanced: bool,
    total: Tally,
    shards: BTreeMap<String, Tally>,
    tenants: BTreeMap<String, Tally>,
    /// Messages of the queues that were not looked at, about: somebody works on them, or they are too many.
    hidden_messages: u64,
    /// Messages of the queues that hold something else than events.
    unreadable_messages: u64,
    findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(deployment: &str, facts: &Facts, verdict: Verdict) -> Self {
        let tenants = verdict.tenants.into_iter();
        let shards = verdict.shards.into_iter();
        Self {
            deployment: deployment.to_owned(),
            from: facts.span.from,
            to: facts.span.to,
            stream_complete_from: facts.stream_from,
            balanced: verdict.findings.is_empty(),
            total: verdict.total,
            shards: shards
                .map(|(shard, tally)| (shard.as_deref().unwrap_or(QUEUED).to_owned(), tally))
                .collect(),
            tenants: tenants
                .map(|(tenant, tally)| {
                    (tenant.as_ref().map_or(UNREADABLE, |tenant| tenant.as_str()).to_owned(), tally)
                })
                .collect(),
            hidden_messages: facts.hidden_messages,
            unreadable_messages: facts.unreadable_messages,
            findings: verdict.findings,
        }
    }

    pub fn is_balanced(&self) -> bool {
        self.balanced
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: events received from {} to {}", self.deployment, self.from, self.to)?;
        if self.stream_complete_from > self.from {
            writeln!(
                f,
                "The stream surely has all since {}; what came before, and is not on it, is judged by archive, items and manifest alone.",
                self.stream_complete_from
            )?;
        }
        let names = self.shards.keys().chain(self.tenants.keys()).take(2 * SHOWN);
        let width =
            names.map(|name| name.chars().count() + 2).max().unwrap_or(0).max("other producers".len());
        writeln!(f)?;
        header(f, width)?;
        row(f, width, "all", &self.total.door)?;
        table(f, width, "by shard", &self.shards)?;
        table(f, width, "by tenant", &self.tenants)?;
        if self.total.other_producers.admissions > 0 {
            writeln!(f, "put on the stream by other producers, and not counted above")?;
            row(f, width, "all", &self.total.other_producers)?;
            let of_others = |tally: &Tally| tally.other_producers;
            rows(f, width, &self.tenants, of_others)?;
        }
        writeln!(f)?;
        if self.hidden_messages > 0 {
            writeln!(
                f,
                "About {} messages of the spill queue and its dead letters were not looked at, and are not counted above.",
                self.hidden_messages
            )?;
        }
        if self.unreadable_messages > 0 {
            writeln!(f, "{} queued messages hold something else than events.", self.unreadable_messages)?;
        }
        self.conclusion(f)
    }
}

impl Report {
    fn conclusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.balanced {
            return writeln!(f, "Balanced: nothing is missing, doubled or foreign.");
        }
        writeln!(f, "NOT balanced: {} findings.", self.findings.len())?;
        for finding in self.findings.iter().take(SHOWN) {
            writeln!(f, "{finding}")?;
        }
        let rest = self.findings.len().saturating_sub(SHOWN);
        if rest > 0 {
            writeln!(f, "… and {rest} more: --json has them all")?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<9}", self.kind.name())?;
        if let (Some(tenant), Some(id)) = (&self.tenant, &self.id) {
            write!(f, " {tenant} {id}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " at {origin}")?;
        }
        if let Some(object) = &self.object {
            write!(f, " in {object}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

const COLUMNS: [&str; 8] = [
    "admissions",
    "stored",
    "deduplicated",
    "quarantined",
    "failed",
    "in flight",
    "missing",
    "| redelivered",
];

fn header(f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
    write!(f, "{:width$}", "")?;
    COLUMNS.iter().try_for_each(|name| write!(f, "  {name}"))?;
    writeln!(f)
}

fn row(f: &mut fmt::Formatter<'_>, width: usize, name: &str, counts: &Counts) -> fmt::Result {
    let Counts { admissions, stored, deduplicated, quarantined, failed, in_flight, missing, redelivered } =
        counts;
    let counts = [admissions, stored, deduplicated, quarantined, failed, in_flight, missing, redelivered];
    write!(f, "{name:width$}")?;
    for (name, count) in COLUMNS.iter().zip(counts) {
        write!(f, "  {count:>column$}", column = name.len())?;
    }
    writeln!(f)
}

/// The rows of those who came by the door.
fn table(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    title: &str,
    tallies: &BTreeMap<String, Tally>,
) -> fmt::Result {
    writeln!(f, "{title}")?;
    rows(f, width, tallies, |tally| tally.door)
}

fn rows(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    tallies: &BTreeMap<String, Tally>,
    of: impl Fn(&Tally) -> Counts,
) -> fmt::Result {
    let counted: Vec<_> = tallies.iter().filter(|(_, tally)| of(tally).admissions > 0).collect();
    for (name, tally) in counted.iter().take(SHOWN) {
        row(f, width, &format!("  {name}"), &of(tally))?;
    }
    let rest = counted.len().saturating_sub(SHOWN);
    if rest > 0 { writeln!(f, "  … and {rest} more: --json has them all") } else { Ok(()) }
}
