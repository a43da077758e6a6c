//! What may be brought back: one line of what failed, and what is to become of it. Pure.

use clap::ValueEnum;
use consumer_fn::{Origin, StreamLine};
use shared::format::event_line::Event;
use shared::id::TenantId;
use shared::time::Timestamp;

/// Where something failed lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Place {
    /// Lines that could not be read or stored, under `errors/`.
    Quarantine,
    /// Batches that failed for good, under `aws/lambda/`.
    OnFailure,
    /// Spilled messages that never reached the stream.
    DeadLetters,
    /// What is done, lies on the stream still, and in no place behind it: the event source mapping gave it up and could
    /// not keep it. Reads the stream, so only where it is named.
    Stream,
}

/// One line of what failed.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) place: Place,
    /// The quarantine's reason, the mapping's condition, or `dead_letter`.
    pub(crate) reason: String,
    /// When the stream had it; of a dead letter, when it was sent.
    pub(crate) at: Timestamp,
    /// Its partition key, where it had one.
    pub(crate) partition_key: Option<String>,
    /// Where it lay on the stream; a dead letter lay nowhere.
    pub(crate) origin: Option<Origin>,
    /// What it holds, or why that cannot be read.
    pub(crate) event: Result<Box<Event>, String>,
}

impl Candidate {
    /// A line that was on the stream.
    pub(crate) fn of_line(place: Place, reason: String, line: StreamLine) -> Self {
        Self {
            place,
            reason,
            at: line.arrival,
            partition_key: line.partition_key,
            origin: Some(line.origin),
            event: line.event.map(Box::new).map_err(str::to_owned),
        }
    }

    /// Whose it is, if it can be read.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.event.as_ref().ok().map(|event| &event.facts.tenant)
    }

    /// The event as it goes back, and the partition key it goes by: it names every place where it lay.
    pub(crate) fn into_redriven(self) -> Option<(String, Event)> {
        let mut event = *self.event.ok()?;
        event.redrive_of.extend(self.origin);
        let key = self.partition_key.unwrap_or_else(|| event.facts.tenant.to_string());
        Some((key, event))
    }
}

/// What the operator asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) places: Vec<Place>,
    pub(crate) reasons: Vec<String>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

/// The reason of what would go to quarantine again, unless the item that has the id is gone.
const ID_REUSED: &str = "id_reused";

impl Selection {
    /// Whether anything that lies there is asked for.
    pub(crate) fn looks_at(&self, place: Place) -> bool {
        self.places.contains(&place) || self.places.is_empty() && place != Place::Stream
    }

    /// Whether it is asked for.
    pub(crate) fn picks(&self, candidate: &Candidate) -> bool {
        self.looks_at(candidate.place)
            && (self.reasons.is_empty() || self.reasons.contains(&candidate.reason))
            && self.tenant.as_ref().is_none_or(|tenant| candidate.tenant() == Some(tenant))
            && self.from.is_none_or(|from| candidate.at >= from)
            && self.to.is_none_or(|to| candidate.at < to)
    }

    /// Whether it is left although it could be brought back: nobody named its reason.
    pub(crate) fn holds_back(&self, candidate: &Candidate) -> bool {
        candidate.reason == ID_REUSED && !self.reasons.contains(&candidate.reason)
    }
}

/// What is known of the place on the stream where a line lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It never lay on the stream, or nobody will archive it from there any more, and nobody has.
    Free,
    /// It is archived, or for another reason done.
    Done,
    /// An attempt at its batch may still be under way.
    Open,
}

/// What is to become of a line, or became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It goes back.
    Due,
    /// It went back.
    Redriven,
    /// The stream did not take it.
    Refused,
    /// There is nothing to do.
    Archived,
    /// Not yet.
    Unsettled,
    /// Only if its reason is named.
    HeldBack,
    /// Its claim check does not exist any more.
    ClaimGone,
    /// It cannot go back as it is.
    Unreadable,
    /// Nor this, which is kept nowhere: it goes to quarantine.
    ToQuarantine,
    /// It went there.
    Quarantined,
}

/// What is to become of a line.
pub(crate) fn fate(candidate: &Candidate, standing: Standing, selection: &Selection) -> Fate {
    match standing {
        _ if candidate.event.is_err() && candidate.place == Place::Stream => Fate::ToQuarantine,
        _ if candidate.event.is_err() => Fate::Unreadable,
        Standing::Done => Fate::Archived,
        Standing::Open => Fate::Unsettled,
        Standing::Free if selection.holds_back(candidate) => Fate::HeldBack,
        Standing::Free => Fate::Due,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","text":"hello","redrive_of":[{"shard":"s","sequence_number":"7","position":0}]}"#;

    fn candidate(reason: &str) -> Candidate {
        Candidate {
            place: Place::Quarantine,
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
    fn a_redriven_event_keeps_its_key_and_names_every_place_where_it_lay() {
        let (key, event) = candidate("claim_missing").into_redriven().unwrap();
        assert_eq!((key.as_str(), event.redrive_of), ("acme#3", vec![origin("7"), origin("9")]));
        let keyless = Candidate { partition_key: None, ..candidate("claim_missing") };
        assert_eq!(keyless.into_redriven().unwrap().0, "acme");
        let dead = Candidate { origin: None, ..candidate("dead_letter") };
        assert_eq!(dead.into_redriven().unwrap().1.redrive_of, [origin("7")]);
    }

    #[test]
    fn a_selection_goes_by_place_reason_tenant_and_time() {
        let check = |selection: Selection, expected| {
            assert_eq!(selection.picks(&candidate("claim_missing")), expected, "{selection:?}");
        };
        let (at, tenant) = (Timestamp::from_unix_ms, |tenant| TenantId::parse(tenant).ok());
        check(Selection::default(), true);
        check(Selection { places: vec![Place::Quarantine, Place::OnFailure], ..Selection::default() }, true);
        check(Selection { places: vec![Place::DeadLetters], ..Selection::default() }, false);
        check(Selection { places: vec![Place::Stream], ..Selection::default() }, false);
        check(Selection { reasons: vec!["item_refused".to_owned()], ..Selection::default() }, false);
        check(Selection { tenant: tenant("acme"), ..Selection::default() }, true);
        check(Selection { tenant: tenant("beta"), ..Selection::default() }, false);
        check(Selection { from: Some(at(1_000)), to: Some(at(1_001)), ..Selection::default() }, true);
        check(Selection { from: Some(at(1_001)), ..Selection::default() }, false);
        check(Selection { to: Some(at(1_000)), ..Selection::default() }, false);
    }

    #[test]
    fn the_stream_is_read_only_where_it_is_named() {
        let dropped = Candidate { place: Place::Stream, ..candidate("dropped") };
        assert!(!Selection::default().picks(&dropped));
        let named = Selection { places: vec![Place::OnFailure, Place::Stream], ..Selection::default() };
        assert!(named.picks(&dropped));
    }

    #[test]
    fn what_is_done_stays_and_what_is_open_waits() {
        let check = |candidate: &Candidate, standing, reasons: &[&str], expected| {
            let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
            let selection = Selection { reasons, ..Selection::default() };
            assert_eq!(fate(candidate, standing, &selection), expected);
        };
        check(&candidate("claim_missing"), Standing::Free, &[], Fate::Due);
        check(&candidate("claim_missing"), Standing::Done, &[], Fate::Archived);
        check(&candidate("claim_missing"), Standing::Open, &[], Fate::Unsettled);
        check(&candidate("id_reused"), Standing::Free, &[], Fate::HeldBack);
        check(&candidate("id_reused"), Standing::Free, &["id_reused"], Fate::Due);
        let bad = Candidate { event: Err("unrecognised".to_owned()), ..candidate("unrecognised") };
        check(&bad, Standing::Free, &[], Fate::Unreadable);
        check(&Candidate { place: Place::Stream, ..bad }, Standing::Free, &[], Fate::ToQuarantine);
    }
}
