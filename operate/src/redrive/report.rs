//! What a redrive does or would do, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::candidate::{Candidate, FailureSource, RedriveFate};

/// Most unreadable objects that are named.
const NAMED: usize = 20;

#[derive(Debug, Default)]
pub struct RedriveReport {
    counts: BTreeMap<(FailureSource, String, Option<String>, RedriveFate), usize>,
    /// Objects and messages that cannot be read, and why.
    unreadable: BTreeSet<String>,
    /// Why the stream refused lines.
    refusal: Option<String>,
    /// About how many dead letters could not be read.
    hidden: u64,
    applied: bool,
}

impl RedriveReport {
    pub(crate) fn new(applied: bool) -> Self {
        Self { applied, ..Self::default() }
    }

    pub(crate) fn count(&mut self, candidate: &Candidate, fate: RedriveFate, source: &str) {
        let tenant = candidate.tenant().map(ToString::to_string);
        *self.counts.entry((candidate.source, candidate.reason.clone(), tenant, fate)).or_default() += 1;
        if let (Err(why), RedriveFate::Unreadable) = (&candidate.event, fate) {
            self.unreadable.insert(format!("{source}: {why}"));
        }
    }

    pub(crate) fn count_all(&mut self, candidates: &[Candidate], fate: RedriveFate, source: &str) {
        for candidate in candidates {
            self.count(candidate, fate, source);
        }
    }

    /// For an object or message of which nothing can be read.
    pub(crate) fn name_unreadable(&mut self, source: &str, why: &anyhow::Error) {
        self.unreadable.insert(format!("{source}: {why:#}"));
    }

    pub(crate) fn refused(&mut self, why: String) {
        self.refusal = Some(why);
    }

    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// About so many dead letters could not be read.
    pub(crate) fn hidden(&mut self, messages: u64) {
        self.hidden = messages;
    }

    fn sum(&self, fate: RedriveFate) -> usize {
        self.counts.iter().filter(|((.., other), _)| *other == fate).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for RedriveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hidden > 0 {
            writeln!(f, "About {} dead letters could not be read now: run it again.", self.hidden)?;
        }
        if self.counts.is_empty() && self.unreadable.is_empty() {
            return writeln!(f, "No failed events are left to redrive.");
        }
        let head = ["source", "reason", "tenant", "events", "what"].map(str::to_owned);
        let row = |((source, reason, tenant, fate), count): (
            &(FailureSource, String, Option<String>, RedriveFate),
            &usize,
        )| {
            let tenant = tenant.clone().unwrap_or_else(|| "-".to_owned());
            [name(*source).to_owned(), reason.clone(), tenant, count.to_string(), what(*fate).to_owned()]
        };
        let rows: Vec<[String; 5]> = [head].into_iter().chain(self.counts.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [source, reason, tenant, events] = [0, 1, 2, 3].map(width);
        for [a, b, c, d, e] in &rows {
            writeln!(f, "{a:source$}  {b:reason$}  {c:tenant$}  {d:>events$}  {e}")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(f, "\nThese cannot be read and are left unchanged:")?;
        }
        for named in self.unreadable.iter().take(NAMED) {
            writeln!(f, "  {named}")?;
        }
        if self.unreadable.len() > NAMED {
            writeln!(f, "  and {} more", self.unreadable.len() - NAMED)?;
        }
        let [due, redriven, unread, quarantined] =
            [RedriveFate::Due, RedriveFate::Redriven, RedriveFate::ToQuarantine, RedriveFate::Quarantined]
                .map(|fate| self.sum(fate));
        match (self.applied, due, unread) {
            (true, ..) => write!(f, "\n{redriven} events are back on the stream.")?,
            (false, 0, 0) => write!(f, "\nNothing was changed, and --apply would redrive nothing.")?,
            (false, ..) => {
                write!(f, "\nNothing was changed. With --apply, {due} events go to the stream again.")?;
            }
        }
        match (unread, quarantined) {
            (0, 0) => writeln!(f),
            (0, _) => writeln!(f, " {quarantined} lines that cannot be read are in quarantine."),
            (_, _) => writeln!(f, " {unread} lines that cannot be read go to quarantine."),
        }
    }
}

fn name(source: FailureSource) -> &'static str {
    match source {
        FailureSource::Quarantine => "quarantine",
        FailureSource::FailureDestination => "failure-destination",
        FailureSource::DeadLetters => "dead-letters",
        FailureSource::Stream => "stream",
    }
}

fn what(fate: RedriveFate) -> &'static str {
    match fate {
        RedriveFate::Due => "to be redriven",
        RedriveFate::Redriven => "redriven",
        RedriveFate::Refused => "left: the stream did not accept it",
        RedriveFate::Archived => "already in the archive",
        RedriveFate::Open => "left: its batch is not done yet",
        RedriveFate::HeldBack => "left: it would be quarantined again; name its reason to try",
        RedriveFate::ClaimGone => "left: its claim check does not exist",
        RedriveFate::Unreadable => "left: it cannot be read",
        RedriveFate::ToQuarantine => "to be quarantined: it cannot be read",
        RedriveFate::Quarantined => "quarantined: it cannot be read",
    }
}
