//! What was saved because it failed: quarantine, failed batches, and notes of what was redriven. Their lines are compared
//! with the stream, as long as it has them.

use std::sync::Arc;

use anyhow::ensure;
use consumer_fn::{StreamLine, read_again};
use shared::digest::sha256;
use shared::format::event_line::Event;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::objects::ObjectStore;
use shared::tier::Tier;
use shared::time::Timestamp;

use super::super::facts::digest;
use super::item::is_of_foreign_producer;
use super::seen::{Redriven, Seen, SeenLine};
use super::{Deep, Name};
use crate::deployment::{Deployment, ListedObject};
use crate::failed_batch::{failed_batch, failed_range};
use crate::redrive::{DEAD_LETTERS, Marker};

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn saved(&mut self) -> anyhow::Result<()> {
        for prefix in [key::QUARANTINE, key::FAILURE_DESTINATION, key::REDRIVEN] {
            let mut after = None;
            while let Some((page, last)) = self.page(prefix, after.as_deref()).await? {
                for ListedObject { key, written, .. } in page {
                    // Expired since it was listed.
                    let Some(bytes) = self.deployment.objects().get(&key).await? else { continue };
                    let read = match prefix {
                        key::QUARANTINE => self.quarantine(&key, &bytes),
                        key::FAILURE_DESTINATION => self.failed(&key, &bytes),
                        _ => self.note(&key, &bytes, written).await,
                    };
                    if let Err(why) = read {
                        self.object(&key, format!("{why:#}"));
                    }
                }
                after = Some(last);
            }
        }
        Ok(())
    }

    fn quarantine(&mut self, key: &str, object: &[u8]) -> anyhow::Result<()> {
        let digest = &sha256(object)[..16];
        let is_named = key.strip_suffix(".ndjson").is_some_and(|key| key.ends_with(&format!("-{digest}")));
        ensure!(is_named, "its bytes do not have the checksum in its key");
        let within: Arc<str> = key.into();
        for line in QuarantineLine::read_all(object)? {
            let event = first_event(&line, self.config);
            let QuarantineLine { origin, arrival, partition_key, bytes, .. } = line;
            self.save(&within, &StreamLine { origin, arrival, partition_key, event, unreadable: bytes })?;
        }
        Ok(())
    }

    fn failed(&mut self, key: &str, object: &[u8]) -> anyhow::Result<()> {
        let (_, batch) = failed_batch(object)?;
        let shard = batch.shard().to_owned();
        let within: Arc<str> = key.into();
        let mut numbers: Vec<Arc<str>> = Vec::new();
        for line in batch.lines(self.config) {
            let number = &line.origin.sequence_number;
            if numbers.last() != Some(number) {
                numbers.push(number.clone());
            }
            self.save(&within, &line)?;
        }
        let range = failed_range(object)?;
        let ends = [numbers.first(), numbers.last()].map(|number| number.map(ToString::to_string));
        let is_same = range.shard_id == shard
            && [Some(range.start_sequence_number), Some(range.end_sequence_number)] == ends
            && range.batch_size == numbers.len();
        ensure!(is_same, "its description names other records than its payload has");
        Ok(())
    }

    async fn note(&mut self, key: &str, object: &[u8], written: Timestamp) -> anyhow::Result<()> {
        let source = Marker::source(key).unwrap_or_default();
        let is_named = key::redriven_marker(source, &sha256(object)) == key;
        ensure!(is_named, "its bytes do not have the checksum in its key");
        if source == DEAD_LETTERS {
            // The note of a dead letter is its message.
            return Ok(());
        }
        let note: Arc<str> = key.into();
        // Its source is an object, or the stream. An object expires too, but not as early as that.
        let is_object =
            [key::QUARANTINE, key::FAILURE_DESTINATION].iter().any(|prefix| source.starts_with(prefix));
        if is_object && written >= self.stream_from {
            ensure!(self.deployment.objects().get(source).await?.is_some(), "there is no `{source}`");
        }
        for origin in Marker::read(object)? {
            if is_object {
                self.saved.insert(digest(&origin));
                self.seen.add(&Seen::Redriven(Redriven { origin, note: note.clone(), written }))?;
            }
        }
        Ok(())
    }

    fn save(&mut self, object: &Arc<str>, line: &StreamLine) -> anyhow::Result<()> {
        let line = SeenLine::from(line);
        self.saved.insert(digest(&line.origin));
        if let Some(name) = line.name.clone() {
            self.seen.add(&Seen::SavedName(name))?;
        }
        self.seen.add(&Seen::Saved(line, object.clone()))
    }
}

/// What is equal for two copies of a line. The tier of a foreign producer's event follows from the configuration.
pub(super) fn fingerprint(line: &StreamLine) -> String {
    let Ok(event) = &line.event else { return sha256(&line.unreadable) };
    let mut event = event.clone();
    if is_of_foreign_producer(&event, &line.origin) {
        event.facts.tier = Tier::parse("foreign").expect("it is a tier's name");
    }
    sha256(&event.line())
}

pub(super) fn name(event: &Event) -> Name {
    (event.facts.tenant.clone(), event.facts.id.clone())
}

fn first_event(line: &QuarantineLine, config: &shared::config::Config) -> Result<Event, &'static str> {
    let events = read_again(&line.bytes, &line.origin, line.arrival, config);
    events.into_iter().next().map_or(Err("empty"), |(_, event)| event)
}
