//! What a redrive does, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::candidate::{Candidate, Fate, Place};

/// Places with lines that cannot be read are named; so many.
const NAMED: usize = 20;

/// Counts, by what a reader asks for.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Place, String, Option<String>, Fate), usize>,
    /// What holds something that cannot be read, and why.
    unreadable: BTreeSet<String>,
    /// Why the stream did not take what it did not take.
    refusal: Option<String>,
    applied: bool,
}

impl Report {
    pub(crate) fn new(applied: bool) -> Self {
        Self { applied, ..Self::default() }
    }

    /// Counts a line of `source`.
    pub(crate) fn count(&mut self, candidate: &Candidate, fate: Fate, source: &str) {
        let tenant = candidate.tenant().map(ToString::to_string);
        *self.counts.entry((candidate.place, candidate.reason.clone(), tenant, fate)).or_default() += 1;
        if let (Err(why), Fate::Unreadable) = (&candidate.event, fate) {
            self.unreadable.insert(format!("{source}: {why}"));
        }
    }

    /// Counts lines of `source` that have one fate.
    pub(crate) fn count_all(&mut self, candidates: &[Candidate], fate: Fate, source: &str) {
        for candidate in candidates {
            self.count(candidate, fate, source);
        }
    }

    /// Names something of which nothing can be read.
    pub(crate) fn name_unreadable(&mut self, source: &str, why: &anyhow::Error) {
        self.unreadable.insert(format!("{source}: {why:#}"));
    }

    /// The stream did not take something.
    pub(crate) fn refused(&mut self, why: String) {
        self.refusal = Some(why);
    }

    /// Why the stream did not take what it did not take.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn sum(&self, fate: Fate) -> usize {
        self.counts.iter().filter(|((.., other), _)| *other == fate).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counts.is_empty() && self.unreadable.is_empty() {
            return writeln!(f, "Nothing that failed is left to bring back.");
        }
        let head = ["place", "reason", "tenant", "events", "what"].map(str::to_owned);
        let row =
            |((place, reason, tenant, fate), count): (&(Place, String, Option<String>, Fate), &usize)| {
                let tenant = tenant.clone().unwrap_or_else(|| "-".to_owned());
                [name(*place).to_owned(), reason.clone(), tenant, count.to_string(), what(*fate).to_owned()]
            };
        let rows: Vec<[String; 5]> = [head].into_iter().chain(self.counts.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let [place, reason, tenant, events] = [0, 1, 2, 3].map(width);
        for [a, b, c, d, e] in &rows {
            writeln!(f, "{a:place$}  {b:reason$}  {c:tenant$}  {d:>events$}  {e}")?;
        }
        if !self.unreadable.is_empty() {
            writeln!(f, "\nThese hold what cannot be read, and stay as they are:")?;
        }
        for named in self.unreadable.iter().take(NAMED) {
            writeln!(f, "  {named}")?;
        }
        if self.unreadable.len() > NAMED {
            writeln!(f, "  and {} more", self.unreadable.len() - NAMED)?;
        }
        let [due, redriven, unread, quarantined] =
            [Fate::Due, Fate::Redriven, Fate::ToQuarantine, Fate::Quarantined].map(|fate| self.sum(fate));
        match (self.applied, due, unread) {
            (true, ..) => write!(f, "\n{redriven} events are back on the stream.")?,
            (false, 0, 0) => write!(f, "\nNothing was changed, and --apply would bring nothing back.")?,
            (false, ..) => {
                write!(f, "\nNothing was changed. With --apply, {due} events go back to the stream.")?;
            }
        }
        match (unread, quarantined) {
            (0, 0) => writeln!(f),
            (0, _) => writeln!(f, " {quarantined} lines that cannot be read are in quarantine."),
            (_, _) => writeln!(f, " {unread} lines that cannot be read go to quarantine."),
        }
    }
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Quarantine => "quarantine",
        Place::OnFailure => "on-failure",
        Place::DeadLetters => "dead-letters",
        Place::Stream => "stream",
    }
}

fn what(fate: Fate) -> &'static str {
    match fate {
        Fate::Due => "to be redriven",
        Fate::Redriven => "redriven",
        Fate::Refused => "left: the stream did not take it",
        Fate::Archived => "in the archive already",
        Fate::Unsettled => "left: its batch is not done yet",
        Fate::HeldBack => "left: it would be quarantined again; name its reason to try",
        Fate::ClaimGone => "left: its claim check does not exist",
        Fate::Unreadable => "left: it cannot be read",
        Fate::ToQuarantine => "to be quarantined: it cannot be read",
        Fate::Quarantined => "quarantined: it cannot be read",
    }
}
