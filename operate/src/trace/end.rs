//! Where the way of an event ends, and what that means. Pure.

use std::time::Duration;

use serde::Serialize;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::TracedEvent;
use crate::redrive::ID_REUSED;

/// Where the way of an event ends, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// It has an archive line.
    Stored,
    /// It has an item, and no archive line yet.
    NotArchived,
    /// On the stream, and not processed yet.
    Accepted,
    Spilled,
    DeadLetter,
    Quarantined,
    Failed,
    /// By `tidegate erase`. The stream still has its record.
    Erased,
    /// It is done, and found nowhere where it should be.
    Missing,
}

impl TracedEvent {
    /// Says where the way ends and what that means.
    pub(super) fn judge(&mut self, now: Timestamp) {
        let redrive = |rest: &str| Some(format!("tidegate redrive {rest} --tenant {} --apply", self.tenant));
        let is_done =
            |origin: &Origin| self.done_end.as_ref().is_some_and(|end| ShardPosition::from(origin) < *end);
        let since = |at: Timestamp| ago(now.since(at));
        let (end, meaning, command) = if let Some(line) = &self.line {
            let item = match &self.item {
                Some(_) => "an item and an archive line",
                None => "an archive line; its item has expired or is missing",
            };
            (End::Stored, format!("stored: it has {item}"), line.command.clone())
        } else if let Some(item) = &self.item {
            let audit = Some("tidegate audit".to_owned());
            match &self.object {
                Some(object) if object.written.is_none() => {
                    let what = "stored, and its archive object does not exist any more";
                    (End::Missing, format!("{what}: it has expired, or it is lost"), audit)
                }
                Some(_) => {
                    let what = "it has an item, and the archive object that should have its line has none";
                    (End::Missing, what.to_owned(), audit)
                }
                None if is_done(&item.origin) => {
                    let what = "it has an item, and no archive object covers its record, which is done";
                    (End::Missing, what.to_owned(), audit)
                }
                None => {
                    let since = since(item.processed_at);
                    (End::NotArchived, format!("it has an item since {since}, and is not archived yet"), None)
                }
            }
        } else if let Some(line) = self.quarantined.last() {
            let as_new = if line.reason == ID_REUSED { " --as-new" } else { "" };
            let command = redrive(&format!("--source quarantine --reason {}{as_new}", line.reason));
            let after = if as_new.is_empty() { ", after the cause is fixed" } else { "" };
            (
                End::Quarantined,
                format!("in quarantine: {}; the command brings it back{after}", line.detail),
                command,
            )
        } else if let Some(saved) = self.failed.last() {
            let why = saved.why.as_deref().unwrap_or("no reason is stored");
            let what = format!("its batch failed for good ({why}) and is saved; the command brings it back");
            (End::Failed, what, redrive("--source failure-destination"))
        } else if let Some(letter) = self.queued.iter().find(|waiting| waiting.is_dead) {
            let what = format!(
                "a dead letter since {}: the drain could not put it on the stream",
                since(letter.sent)
            );
            (End::DeadLetter, what, redrive("--source dead-letters"))
        } else if let Some(record) = self.records.last() {
            if self.is_erased {
                let what = "it was erased; the stream has its record until that expires";
                (End::Erased, what.to_owned(), None)
            } else if is_done(&record.origin) {
                let what = "it is on the stream, its record is done, and it is stored nowhere; perhaps a batch was dropped";
                (End::Missing, what.to_owned(), redrive("--source stream"))
            } else {
                let since = since(record.arrival);
                (End::Accepted, format!("accepted, on the stream since {since}, and not stored yet"), None)
            }
        } else if let Some(waiting) = self.queued.last() {
            let since = since(waiting.sent);
            let what = format!("accepted, in the spill queue since {since}: the drain puts it on the stream");
            (End::Spilled, what, None)
        } else {
            let what = "its archive line was seen, and is not where its row says";
            (End::Missing, what.to_owned(), Some("tidegate audit".to_owned()))
        };
        (self.end, self.meaning, self.command) = (end, meaning, command);
    }
}
/// For people.
fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use shared::id::{EventId, TenantId};

    use super::super::search::Sighting;
    use super::super::way::{ArchiveObject, Quarantined, Record, Request, Saved, StoredItem, Waiting};
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn origin() -> Origin {
        Origin { shard: "s".into(), sequence_number: "7".into(), position: 0 }
    }

    fn request() -> Request {
        let text = String::new;
        Request { received_at: at(0), source: text(), tier: text(), admission_id: text(), trace: None }
    }

    fn on_stream() -> Sighting {
        let record =
            Record { origin: origin(), arrival: at(601_000), partition_key: None, claim_check: None };
        Sighting::OnStream(record, request())
    }

    fn item() -> StoredItem {
        StoredItem { processed_at: at(603_000), origin: origin(), expires_at: None, is_truncated: false }
    }

    fn event(sightings: Vec<Sighting>) -> TracedEvent {
        TracedEvent::new(TenantId::parse("acme").unwrap(), EventId::parse("1").unwrap(), sightings)
    }

    #[track_caller]
    fn check(mut event: TracedEvent, end: End, meaning: &str, command: Option<&str>) {
        event.judge(at(605_500));
        assert_eq!((event.end, event.command.as_deref()), (end, command));
        assert!(event.meaning.contains(meaning), "{}", event.meaning);
    }

    fn done(mut event: TracedEvent) -> TracedEvent {
        event.done_end = Some(ShardPosition::new("7", 1));
        event
    }

    #[test]
    fn an_event_on_the_stream_waits_until_its_record_is_done() {
        check(event(vec![on_stream()]), End::Accepted, "on the stream since 4.5 s", None);
        let redrive = Some("tidegate redrive --source stream --tenant acme --apply");
        check(done(event(vec![on_stream()])), End::Missing, "stored nowhere", redrive);
        let erased = TracedEvent { is_erased: true, ..done(event(vec![on_stream()])) };
        check(erased, End::Erased, "it was erased", None);
    }

    #[test]
    fn an_event_with_an_item_waits_for_its_object_until_its_record_is_done() {
        let with_item = || TracedEvent { item: Some(item()), ..event(vec![on_stream()]) };
        check(with_item(), End::NotArchived, "an item since 2.5 s", None);
        let audit = Some("tidegate audit");
        check(done(with_item()), End::Missing, "no archive object covers its record", audit);
        let object = |written| ArchiveObject {
            key: "events/x".to_owned(),
            bytes: 1,
            lines: 1,
            first: String::new(),
            end: String::new(),
            written,
        };
        let with = |written| TracedEvent { object: Some(object(written)), ..with_item() };
        check(with(None), End::Missing, "does not exist any more", audit);
        check(with(Some(at(604_000))), End::Missing, "should have its line", audit);
    }

    #[test]
    fn what_was_saved_comes_with_the_command_that_brings_it_back() {
        let saved = |why: Option<&str>| Saved {
            object: "errors/x".to_owned(),
            origin: origin(),
            arrival: at(1_000),
            why: why.map(str::to_owned),
        };
        let quarantined = Quarantined {
            reason: "claim_missing".to_owned(),
            detail: "the claim check is gone".to_owned(),
            at: saved(None),
        };
        let event_in = |sighting| done(event(vec![sighting, on_stream()]));
        check(
            event_in(Sighting::Quarantined(quarantined, None)),
            End::Quarantined,
            "the claim check is gone",
            Some("tidegate redrive --source quarantine --reason claim_missing --tenant acme --apply"),
        );
        check(
            event_in(Sighting::Failed(saved(Some("RecordAgeExceeded")), request())),
            End::Failed,
            "RecordAgeExceeded",
            Some("tidegate redrive --source failure-destination --tenant acme --apply"),
        );
        let queued = |is_dead| Sighting::Queued(Waiting { is_dead, sent: at(5_000) }, request());
        let redrive = Some("tidegate redrive --source dead-letters --tenant acme --apply");
        check(event(vec![queued(true)]), End::DeadLetter, "since 10 min", redrive);
        check(event(vec![queued(false)]), End::Spilled, "in the spill queue since 10 min", None);
        // The drain has put it on the stream, and has not deleted its message yet.
        check(event(vec![queued(false), on_stream()]), End::Accepted, "on the stream", None);
    }
}
