//! The result for people, and as JSON for scripts. Scripts rely on the names in the JSON: add, never rename.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use shared::time::Timestamp;

use super::balance::{AuditFinding, Balance, Counts, Tally};
use super::facts::AuditFacts;

/// Most rows and findings in the text. JSON has all.
const SHOWN: usize = 50;

#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    deployment: String,
    from: Timestamp,
    to: Timestamp,
    /// All records that arrived at this time or later were read.
    stream_complete_from: Timestamp,
    balanced: bool,
    total: Tally,
    shards: BTreeMap<String, Tally>,
    tenants: BTreeMap<String, Tally>,
    /// About how many messages of both queues could not be read.
    hidden_messages: u64,
    /// Messages of both queues that do not hold events.
    unreadable_messages: u64,
    findings: Vec<AuditFinding>,
}

impl AuditReport {
    pub(crate) fn new(deployment: &str, facts: &AuditFacts, balance: Balance) -> Self {
        Self {
            deployment: deployment.to_owned(),
            from: facts.span.from,
            to: facts.span.to,
            stream_complete_from: facts.stream_from,
            balanced: balance.findings.is_empty(),
            total: balance.total,
            shards: balance.shards,
            tenants: balance.tenants,
            hidden_messages: facts.hidden_messages,
            unreadable_messages: facts.unreadable_messages,
            findings: balance.findings,
        }
    }

    pub fn is_balanced(&self) -> bool {
        self.balanced
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: events received from {} to {}", self.deployment, self.from, self.to)?;
        if self.stream_complete_from > self.from {
            writeln!(
                f,
                "The stream has all records since {}. Older events that are not on it are judged by archive, items and manifest alone.",
                self.stream_complete_from
            )?;
        }
        let names = self.shards.keys().chain(self.tenants.keys()).take(2 * SHOWN);
        let width =
            names.map(|name| name.chars().count() + 2).max().unwrap_or(0).max("foreign producers".len());
        write!(f, "\n{:width$}", "")?;
        COLUMNS.iter().try_for_each(|name| write!(f, "  {name}"))?;
        writeln!(f)?;
        row(f, width, "all", &self.total.ingest)?;
        writeln!(f, "by shard")?;
        rows(f, width, &self.shards, |tally| tally.ingest)?;
        writeln!(f, "by tenant")?;
        rows(f, width, &self.tenants, |tally| tally.ingest)?;
        if self.total.foreign_producers.admissions > 0 {
            writeln!(f, "from foreign producers, not counted above")?;
            row(f, width, "all", &self.total.foreign_producers)?;
            rows(f, width, &self.tenants, |tally| tally.foreign_producers)?;
        }
        writeln!(f)?;
        if self.hidden_messages > 0 {
            writeln!(
                f,
                "About {} messages of the spill queue and its dead letters could not be read, and are not counted above.",
                self.hidden_messages
            )?;
        }
        if self.unreadable_messages > 0 {
            writeln!(f, "{} queued messages do not hold events.", self.unreadable_messages)?;
        }
        let erased = self.total.ingest.erased + self.total.foreign_producers.erased;
        if erased > 0 {
            writeln!(f, "{erased} of the admissions were erased, and nothing of them is stored.")?;
        }
        self.conclusion(f)
    }
}

impl AuditReport {
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

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<9}", self.kind)?;
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

fn row(f: &mut fmt::Formatter<'_>, width: usize, name: &str, counts: &Counts) -> fmt::Result {
    let Counts {
        admissions, stored, deduplicated, quarantined, failed, in_flight, missing, redelivered, ..
    } = counts;
    let counts = [admissions, stored, deduplicated, quarantined, failed, in_flight, missing, redelivered];
    write!(f, "{name:width$}")?;
    for (name, count) in COLUMNS.iter().zip(counts) {
        write!(f, "  {count:>column$}", column = name.len())?;
    }
    writeln!(f)
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
