//! The result for people.

use std::fmt;

use super::way::{ArchiveObject, Dispatch, Quarantined, Record, Request, Saved, StoredItem, Waiting};
use super::{Traced, TracedEvent};

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.searched_from {
            writeln!(
                f,
                "Searched quarantine, failures and the spill queue, and stream and archive from {from} on (--from)."
            )?;
        }
        if self.events.is_empty() {
            return writeln!(
                f,
                "`{}` was not found in {}. It was not accepted, or is older, or has expired, or is another tenant's.",
                self.id, self.deployment
            );
        }
        self.events.iter().try_for_each(|event| event.fmt(f))
    }
}

impl fmt::Display for TracedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.tenant, self.id)?;
        if let Some(Request { received_at, source, tier, admission_id, trace }) = &self.request {
            write!(f, "  request     {received_at}, {source}, tier {tier}, admission {admission_id}")?;
            if let Some(trace) = trace {
                write!(f, ", trace {trace}")?;
            }
            writeln!(f)?;
        }
        for Waiting { is_dead, sent } in &self.queued {
            writeln!(f, "  {}  {sent}", if *is_dead { "dead letter" } else { "spill queue" })?;
        }
        for Record { origin, arrival, claim_check, .. } in &self.records {
            writeln!(f, "  record      {arrival}, {origin}")?;
            if let Some(key) = claim_check {
                writeln!(f, "  claim check {key}")?;
            }
        }
        for Quarantined { reason, detail, at: Saved { object, origin, .. } } in &self.quarantined {
            writeln!(f, "  quarantine  {reason}: {detail}; {origin} in {object}")?;
        }
        for Saved { object, origin, .. } in &self.failed {
            writeln!(f, "  failed      {origin} in {object}")?;
        }
        if let Some(StoredItem { processed_at, origin, is_truncated, .. }) = &self.item {
            let part = if *is_truncated { ", with the beginning of a text" } else { "" };
            writeln!(f, "  item        {processed_at}, of {origin}{part}")?;
        }
        if let Some(ArchiveObject { key, bytes, lines, first, end, written }) = &self.object {
            writeln!(f, "  batch       from {first} up to {end}, {lines} lines")?;
            match written {
                Some(written) => writeln!(f, "  object      {written}, {key}, {bytes} bytes")?,
                None => writeln!(f, "  object      does not exist: {key}")?,
            }
        }
        if let Some(line) = &self.line {
            writeln!(f, "  member      at byte {}, {} bytes", line.member_offset, line.member_length)?;
            writeln!(f, "  line        {}", line.number)?;
            if let Some(key) = &line.large {
                writeln!(f, "  large line  {key}")?;
            }
        }
        if let Some(Dispatch { status, attempts, reason }) = &self.dispatch {
            let status = status.as_deref().unwrap_or("not dispatched yet");
            write!(f, "  dispatch    {status}, {attempts} attempts")?;
            match reason {
                Some(reason) => writeln!(f, ", {reason}")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "  => {}", self.meaning)?;
        if let Some(command) = &self.command {
            writeln!(f, "     {command}")?;
        }
        Ok(())
    }
}
