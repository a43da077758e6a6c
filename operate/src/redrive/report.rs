//! What a redrive does or would do, as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use shared::config::WorkTooLong;

use super::candidate::{Candidate, FailureSource, RedriveFate};

/// Most unreadable objects that are named.
const NAMED: usize = 20;

#[derive(Debug, Default)]
pub struct RedriveReport {
    pub(super) counts: BTreeMap<(FailureSource, String, Option<String>, RedriveFate), usize>,
    /// Objects and messages that cannot be read, and why.
    pub(super) unreadable: BTreeSet<String>,
    /// Why the stream refused lines.
    pub(super) refusal: Option<String>,
    /// What would be quarantined again, and why.
    pub(super) work_too_long: Vec<WorkTooLong>,
    /// About how many dead letters could not be read.
    pub(super) hidden: u64,
    pub(super) applied: bool,
}

impl RedriveReport {
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

    /// What was read of an object or message. If nothing could be read, it is named in the report.
    pub(crate) fn readable<T>(&mut self, read: anyhow::Result<T>, source: &str) -> Option<T> {
        read.inspect_err(|why| self.unreadable.extend([format!("{source}: {why:#}")])).ok()
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
        let counted = self.counts.iter().map(|((source, reason, tenant, fate), count)| {
            let tenant = tenant.as_deref().unwrap_or("-").to_owned();
            [
                source.to_string(),
                reason.clone(),
                tenant,
                count.to_string(),
                what(*fate, self.applied).to_owned(),
            ]
        });
        let rows: Vec<[String; 5]> = [head].into_iter().chain(counted).collect();
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
        if let Some(longest) = self.work_too_long.iter().max_by_key(|too_long| too_long.characters) {
            let count = self.work_too_long.len();
            writeln!(
                f,
                "\nBy this configuration (--config), {count} events with the reason work_too_long would be quarantined again. \
                 The longest: {longest}."
            )?;
        }
        let [redriven, again, quarantined] =
            [RedriveFate::ToStream, RedriveFate::ToDispatch, RedriveFate::ToQuarantine]
                .map(|fate| self.sum(fate));
        match (self.applied, redriven + again + quarantined) {
            (true, _) => write!(f, "\n{redriven} events are back on the stream.")?,
            (false, 0) => write!(f, "\nNothing was changed, and --apply would redrive nothing.")?,
            (false, _) => {
                write!(f, "\nNothing was changed. With --apply, {redriven} events go to the stream again.")?;
            }
        }
        match (self.applied, again) {
            (_, 0) => {}
            (true, _) => write!(f, " {again} events are in the dispatch queue again.")?,
            (false, _) => write!(f, " {again} events go to the dispatch queue again.")?,
        }
        match (self.applied, quarantined) {
            (_, 0) => writeln!(f),
            (true, _) => writeln!(f, " {quarantined} lines that cannot be read are in quarantine."),
            (false, _) => writeln!(f, " {quarantined} lines that cannot be read go to quarantine."),
        }
    }
}

fn what(fate: RedriveFate, applied: bool) -> &'static str {
    match fate {
        RedriveFate::ToStream if applied => "redriven",
        RedriveFate::ToStream => "to be redriven",
        RedriveFate::ToDispatch if applied => "queued to be dispatched",
        RedriveFate::ToDispatch => "to be dispatched",
        RedriveFate::Refused => "left: the stream did not accept it",
        RedriveFate::Archived => "already in the archive",
        RedriveFate::Open => "left: its batch is not done yet",
        RedriveFate::Erased => "left: it was erased",
        RedriveFate::HeldBack => "left: it would be quarantined again; name its reason to try",
        RedriveFate::ClaimGone => "left: its claim check does not exist",
        RedriveFate::Unreadable => "left: it cannot be read",
        RedriveFate::ToQuarantine if applied => "quarantined: it cannot be read",
        RedriveFate::ToQuarantine => "to be quarantined: it cannot be read",
    }
}
