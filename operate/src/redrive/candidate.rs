//! A failed line, the operator's selection, and what to do with the line. Pure.

use std::fmt;

use consumer_fn::StreamLine;
use serde::Serialize;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::key;
use shared::id::TenantId;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

/// Where failed events are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureSource {
    /// Under `errors/`.
    Quarantine,
    /// Batches that failed permanently, under `aws/lambda/`.
    FailureDestination,
    /// Spilled messages that never reached the stream.
    DeadLetters,
    /// Stored events that could not be dispatched.
    Dispatch,
    /// Events that are still on the stream and stored nowhere: the event source mapping dropped them, since it could not
    /// write to the failure destination. It reads the whole stream, so it must be named.
    Stream,
}

/// By serde's names.
impl fmt::Display for FailureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) source: FailureSource,
    /// The quarantine's reason, the mapping's condition, `dead_letter` or `dropped`.
    pub(crate) reason: String,
    /// When it arrived on the stream; of a dead letter, when it was sent.
    pub(crate) at: Timestamp,
    pub(crate) partition_key: Option<String>,
    /// `None` for a dead letter, which was never on the stream.
    pub(crate) origin: Option<Origin>,
    /// Or why it cannot be read.
    pub(crate) event: Result<Box<Event>, String>,
}

impl Candidate {
    /// A line that was on the stream.
    pub(crate) fn of_line(source: FailureSource, reason: String, line: StreamLine) -> Self {
        Self {
            source,
            reason,
            at: line.arrival,
            partition_key: line.partition_key,
            origin: Some(line.origin),
            event: line.event.map(Box::new).map_err(str::to_owned),
        }
    }

    /// `None` if it cannot be read.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.event.as_ref().ok().map(|event| &event.facts.tenant)
    }

    /// Its claim check, if that may be followed. With any other, nothing is read or written: the consumer refuses it again.
    pub(crate) fn claim_check(&self, most_bytes: usize) -> Option<&ClaimCheck> {
        let Event { facts, claim_check, .. } = &**self.event.as_ref().ok()?;
        let own_key = |sha256: &str| key::claim(&facts.tenant, &facts.id, sha256);
        claim_check.as_ref().filter(|claim_check| claim_check.check(own_key, most_bytes as u64).is_ok())
    }

    /// The event for the stream, with all its earlier origins, and its partition key.
    pub(crate) fn into_redriven(self) -> Option<(String, Event)> {
        let mut event = *self.event.ok()?;
        event.redrive_of.extend(self.origin);
        let key = self.partition_key.unwrap_or_else(|| event.facts.tenant.to_string());
        Some((key, event))
    }
}

/// The exclusive end of these lines, which are all of one shard.
pub(crate) fn end_of(candidates: &[Candidate]) -> Option<ShardPosition> {
    candidates.iter().filter_map(|candidate| candidate.origin.as_ref()).map(ShardPosition::after).max()
}

/// What the operator selects. Empty lists select all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub sources: Vec<FailureSource>,
    pub reasons: Vec<String>,
    pub tenant: Option<TenantId>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Events that have the id of another event are stored under an id of their own.
    pub as_new: bool,
}

/// An event with this reason goes to quarantine again, unless the item with its id is gone, or it gets a new id.
pub const ID_REUSED: &str = "id_reused";
/// An event with this reason goes to quarantine again, unless the configuration was changed.
pub(crate) const WORK_TOO_LONG: &str = "work_too_long";

impl Selection {
    pub(crate) fn reads(&self, source: FailureSource) -> bool {
        self.sources.contains(&source) || self.sources.is_empty() && source != FailureSource::Stream
    }

    pub(crate) fn picks(&self, candidate: &Candidate) -> bool {
        self.reads(candidate.source)
            && (self.reasons.is_empty() || self.reasons.contains(&candidate.reason))
            && self.tenant.as_ref().is_none_or(|tenant| candidate.tenant() == Some(tenant))
            && self.from.is_none_or(|from| candidate.at >= from)
            && self.to.is_none_or(|to| candidate.at < to)
    }

    /// It gets a new id.
    pub(crate) fn renames(&self, candidate: &Candidate) -> bool {
        self.as_new && candidate.reason == ID_REUSED
    }

    /// If it would be quarantined again: it is left, since its reason is not named.
    pub(crate) fn holds_back(&self, candidate: &Candidate) -> bool {
        !self.reasons.contains(&candidate.reason)
    }
}

/// What is known of a line's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not archived and never will be from this origin; or the line was never on the stream.
    Free,
    /// It is archived, or done for another reason.
    Done,
    /// An attempt at its batch may be in progress.
    Open,
    /// As `Free`, but the consumer would quarantine it again.
    FailsAgain,
}

/// What a run with `--apply` does with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RedriveFate {
    /// It goes to the stream.
    ToStream,
    /// It goes to the dispatch queue.
    ToDispatch,
    /// The stream did not accept it.
    Refused,
    /// Nothing to do.
    Archived,
    /// Left for now: its batch is not done.
    Open,
    /// Left: it was erased.
    Erased,
    /// Left: its reason is not named.
    HeldBack,
    /// Its claim check does not exist any more.
    ClaimGone,
    /// Left: it cannot be read.
    Unreadable,
    /// It cannot be read and is saved nowhere: it goes to quarantine.
    ToQuarantine,
}

pub(crate) fn fate(candidate: &Candidate, standing: Standing, selection: &Selection) -> RedriveFate {
    match standing {
        _ if candidate.event.is_err() && candidate.source == FailureSource::Stream => {
            RedriveFate::ToQuarantine
        }
        _ if candidate.event.is_err() => RedriveFate::Unreadable,
        Standing::Done => RedriveFate::Archived,
        Standing::Open => RedriveFate::Open,
        Standing::FailsAgain if selection.holds_back(candidate) => RedriveFate::HeldBack,
        Standing::Free if candidate.reason == ID_REUSED && selection.holds_back(candidate) => {
            RedriveFate::HeldBack
        }
        Standing::Free | Standing::FailsAgain => RedriveFate::ToStream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"hello","redrive_of":[{"shard":"s","sequence_number":"7","position":0}]}"#;

    fn candidate(reason: &str) -> Candidate {
        Candidate {
            source: FailureSource::Quarantine,
            reason: reason.to_owned(),
            at: Timestamp::from_unix_ms(1_000),
            partition_key: Some("acme#3".to_owned()),
            origin: Some(origin("9")),
            event: Ok(serde_json::from_str(LINE).unwrap()),
        }
    }

    fn origin(number: &str) -> Origin {
        Origin { shard: "s".into(), sequence_number: number.into(), position: 0 }
    }

    #[test]
    fn a_redriven_event_keeps_its_key_and_names_every_origin() {
        let (key, event) = candidate("claim_missing").into_redriven().unwrap();
        assert_eq!((key.as_str(), event.redrive_of), ("acme#3", vec![origin("7"), origin("9")]));
        let keyless = Candidate { partition_key: None, ..candidate("claim_missing") };
        assert_eq!(keyless.into_redriven().unwrap().0, "acme");
        let dead = Candidate { origin: None, ..candidate("dead_letter") };
        assert_eq!(dead.into_redriven().unwrap().1.redrive_of, [origin("7")]);
    }

    #[test]
    fn only_a_claim_check_at_the_events_own_key_is_followed() {
        let mut head = candidate("claim_mismatch");
        let event = head.event.as_mut().unwrap();
        event.check_in(&event.line());
        let own = head.claim_check(1_000).unwrap().key.clone();
        assert!(own.starts_with("claims/acme/1/"), "{own}");
        assert!(head.claim_check(10).is_none(), "a line larger than the limit is not fetched");
        for other in ["events/dt=2026-11-21/hr=09/s-7-0.ndjson.gz", &own.replace("acme", "beta")] {
            other.clone_into(&mut head.event.as_mut().unwrap().claim_check.as_mut().unwrap().key);
            assert!(head.claim_check(1_000).is_none(), "{other}");
        }
    }

    #[test]
    fn a_selection_is_by_source_reason_tenant_and_time() {
        let check = |selection: Selection, expected| {
            assert_eq!(selection.picks(&candidate("claim_missing")), expected, "{selection:?}");
        };
        let (at, tenant) = (Timestamp::from_unix_ms, |tenant| TenantId::parse(tenant).ok());
        check(Selection::default(), true);
        check(
            Selection {
                sources: vec![FailureSource::Quarantine, FailureSource::FailureDestination],
                ..Selection::default()
            },
            true,
        );
        check(Selection { sources: vec![FailureSource::DeadLetters], ..Selection::default() }, false);
        check(Selection { sources: vec![FailureSource::Stream], ..Selection::default() }, false);
        check(Selection { reasons: vec!["item_refused".to_owned()], ..Selection::default() }, false);
        check(Selection { tenant: tenant("acme"), ..Selection::default() }, true);
        check(Selection { tenant: tenant("beta"), ..Selection::default() }, false);
        check(Selection { from: Some(at(1_000)), to: Some(at(1_001)), ..Selection::default() }, true);
        check(Selection { from: Some(at(1_001)), ..Selection::default() }, false);
        check(Selection { to: Some(at(1_000)), ..Selection::default() }, false);
    }

    #[test]
    fn the_stream_is_read_only_if_named() {
        let dropped = Candidate { source: FailureSource::Stream, ..candidate("dropped") };
        assert!(!Selection::default().picks(&dropped));
        let named = Selection {
            sources: vec![FailureSource::FailureDestination, FailureSource::Stream],
            ..Selection::default()
        };
        assert!(named.picks(&dropped));
    }

    #[test]
    fn done_lines_stay_and_open_lines_wait() {
        let check = |candidate: &Candidate, standing, reasons: &[&str], expected| {
            let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
            let selection = Selection { reasons, ..Selection::default() };
            assert_eq!(fate(candidate, standing, &selection), expected);
        };
        check(&candidate("claim_missing"), Standing::Free, &[], RedriveFate::ToStream);
        check(&candidate("claim_missing"), Standing::Done, &[], RedriveFate::Archived);
        check(&candidate("claim_missing"), Standing::Open, &[], RedriveFate::Open);
        check(&candidate("id_reused"), Standing::Free, &[], RedriveFate::HeldBack);
        check(&candidate("id_reused"), Standing::Free, &["id_reused"], RedriveFate::ToStream);
        check(&candidate("work_too_long"), Standing::Free, &[], RedriveFate::ToStream);
        check(&candidate("work_too_long"), Standing::FailsAgain, &[], RedriveFate::HeldBack);
        check(&candidate("work_too_long"), Standing::FailsAgain, &["work_too_long"], RedriveFate::ToStream);
        let bad = Candidate { event: Err("unrecognised".to_owned()), ..candidate("unrecognised") };
        check(&bad, Standing::Free, &[], RedriveFate::Unreadable);
        check(
            &Candidate { source: FailureSource::Stream, ..bad },
            Standing::Free,
            &[],
            RedriveFate::ToQuarantine,
        );
    }
}
