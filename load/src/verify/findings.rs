//! What is wrong, and how much was right.

use std::fmt;

use serde::Serialize;
use shared::id::{EventId, TenantId};

use super::judge::Seen;
use crate::answer::Outcome;

/// Findings that are told one by one. The others are only counted.
const TOLD: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    Missing,
    Doubled,
    Changed,
    /// Stored, and should not be.
    Foreign,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub tenant: TenantId,
    pub id: EventId,
    pub detail: String,
}

/// The result. Scripts rely on the names in the JSON: add, never rename.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Events that were answered as accepted; each counts once, however often it was sent.
    pub accepted: u64,
    /// Events that were only refused.
    pub refused: u64,
    /// Events of which no answer says what became of them; so many of these are stored.
    pub unknown: u64,
    pub unknown_stored: u64,
    pub findings: u64,
    /// The first of them.
    pub told: Vec<Finding>,
}

impl Verified {
    pub fn is_right(&self) -> bool {
        self.findings == 0
    }

    pub(super) fn count(&mut self, outcome: Outcome, seen: &Seen) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unsent => {}
            Outcome::Unknown => {
                self.unknown += 1;
                self.unknown_stored += u64::from(seen.lines > 0);
            }
        }
    }

    pub(super) fn find(&mut self, kind: FindingKind, tenant: &TenantId, id: &EventId, detail: String) {
        self.findings += 1;
        if self.told.len() < TOLD {
            let (tenant, id) = (tenant.clone(), id.clone());
            self.told.push(Finding { kind, tenant, id, detail });
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, unknown, unknown_stored, findings, told } = self;
        if *unknown > 0 {
            writeln!(
                f,
                "{unknown} events got no answer that says what became of them; {unknown_stored} of these are stored."
            )?;
        }
        if *findings == 0 {
            return write!(
                f,
                "Verified: each of {accepted} accepted events is stored once, with its content, and none of {refused} refused ones."
            );
        }
        writeln!(
            f,
            "NOT as it was sent: {findings} findings for {accepted} accepted and {refused} refused events."
        )?;
        for Finding { kind, tenant, id, detail } in told {
            let kind = match kind {
                FindingKind::Missing => "missing",
                FindingKind::Doubled => "doubled",
                FindingKind::Changed => "changed",
                FindingKind::Foreign => "foreign",
            };
            writeln!(f, "  {kind:<8} {tenant} {id}: {detail}")?;
        }
        let rest = *findings - told.len() as u64;
        if rest > 0 {
            writeln!(f, "… and {rest} more")?;
        }
        write!(f, "`tidegate trace ID --tenant TENANT` says where one of them is.")
    }
}
