//! Reads the facts from a deployment, against the direction of the data ([`AuditFacts`] says why).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use consumer_fn::{Batch, Ledger, StreamLine};
use futures::{StreamExt, TryStreamExt};
use shared::archive::{NotRead, ranges_of};
use shared::config::Config;
use shared::format::event_line;
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;
use shared::time::Timestamp;

use super::balance::AuditFinding;
use super::facts::{ArchivedObject, AuditFacts, KnownEvent, KnownItem, KnownLine, ShardFacts};
use super::objects;
use crate::OnProgress;
use crate::archive::{self, SKEW, Span, each_page, earlier, gone, key_start, manifest};
use crate::deployment::{Deployment, NamedItem, QueueName, ShardTail, Start};
use crate::failed_batch::failed_batch;

/// Objects that are fetched at the same time.
const FETCHES: usize = 8;
/// Items that are read in one call.
const NAMES: usize = 1_000;

/// Every stream retains records at least so long, whatever its settings were.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const LEAST_RETENTION: Duration = Duration::from_hours(24);

/// Reads everything about events received in `span`.
pub(crate) async fn gather(
    deployment: &impl Deployment,
    config: &Config,
    span: Span,
    now: Timestamp,
    progress: OnProgress<'_>,
) -> anyhow::Result<AuditFacts> {
    let retention = deployment.retention().await?;
    // Older records are on the stream too, unless its retention was raised since.
    let sure_from = earlier(now, retention.min(LEAST_RETENTION)).max(earlier(span.from, SKEW));
    let facts = AuditFacts { span, stream_from: sure_from, now, ..AuditFacts::default() };
    let mut reader = FactReader::new(deployment, config, facts, progress);
    reader.read(earlier(now, retention)).await?;
    Ok(reader.facts)
}

/// Adds what it reads to the facts, one store after the other.
pub(super) struct FactReader<'a, D> {
    pub(super) deployment: &'a D,
    pub(super) config: &'a Config,
    pub(super) facts: AuditFacts,
    /// The objects that the ledger announces.
    intents: Vec<String>,
    pub(super) progress: OnProgress<'a>,
}

/// The manifest by object key.
type Rows = BTreeMap<String, ManifestRow>;

impl<'a, D: Deployment> FactReader<'a, D> {
    pub(super) fn new(
        deployment: &'a D,
        config: &'a Config,
        facts: AuditFacts,
        progress: OnProgress<'a>,
    ) -> Self {
        Self { deployment, config, facts, intents: Vec::new(), progress }
    }

    async fn read(&mut self, retained: Timestamp) -> anyhow::Result<()> {
        let shards: BTreeSet<Arc<str>> = self.deployment.shards().await?.into_iter().map(Arc::from).collect();
        let mut rows = Rows::new();
        for shard in &shards {
            self.shard(shard).await?;
        }
        for shard in &shards {
            self.manifest(shard, &mut rows).await?;
        }
        self.archive(&mut rows).await?;
        let from = earlier(self.facts.span.from, SKEW);
        self.quarantine(from).await?;
        self.failures(from).await?;
        self.items().await?;
        self.queues().await?;
        // All that was found so far has arrived by now, in these shards. Some of them may be new.
        let until = self.deployment.clock().now().plus(SKEW);
        for shard in self.deployment.shards().await? {
            self.stream(&shard.into(), retained, until).await?;
        }
        self.other_items().await
    }

    /// Reads how far the ledger and the event source mapping are with a shard, if that is not known yet.
    pub(super) async fn shard(&mut self, shard: &Arc<str>) -> anyhow::Result<()> {
        if self.facts.shards.contains_key(shard) {
            return Ok(());
        }
        let progress = self.deployment.ledger().read(shard).await?;
        let checkpoint = self.deployment.checkpoint(shard).await?;
        self.intents.extend(progress.intent.as_ref().map(|intent| intent.key.clone()));
        let ends = [
            progress.committed_end,
            progress.intent.map(|intent| intent.from),
            checkpoint.map(|sequence_number| ShardPosition::new(sequence_number, u32::MAX)),
        ];
        let done_end = ends.into_iter().flatten().max();
        self.facts.shards.insert(shard.clone(), ShardFacts { done_end, read_from: None });
        Ok(())
    }

    async fn manifest(&mut self, shard: &str, rows: &mut Rows) -> anyhow::Result<()> {
        let of_shard = manifest(self.deployment, shard, self.facts.span.from).await?;
        self.facts.faults.extend(objects::overlaps(&of_shard));
        rows.extend(of_shard.into_iter().map(|row| (row.key.clone(), row)));
        (self.progress)("manifest rows", rows.len() as u64, None);
        Ok(())
    }

    /// Reads the objects that may hold events of the span, and all objects that the manifest does not have.
    async fn archive(&mut self, rows: &mut Rows) -> anyhow::Result<()> {
        let span = self.facts.span;
        let mut listed = BTreeSet::new();
        let shards = archive::shards(self.deployment, span.from, |page| {
            listed.extend(page.into_iter().map(|object| object.key));
            (self.progress)("listed objects", listed.len() as u64, None);
        });
        // Shards that the stream no longer has. They do not change any more.
        for shard in shards.await?.into_keys().map(Arc::from) {
            if !self.facts.shards.contains_key(&shard) {
                self.shard(&shard).await?;
                self.manifest(&shard, rows).await?;
            }
        }
        // The manifest names the objects that are there or should be. An object that it does not have yet may be named
        // after an earlier time; then the ledger announces it.
        let noted = rows.values().filter(|row| span.overlaps(row.received_at)).map(|row| &row.key);
        let unknown = listed.iter().chain(&self.intents).filter(|key| !rows.contains_key(*key));
        let wanted: BTreeSet<_> = noted.chain(unknown).cloned().collect();
        let total = wanted.len() as u64;
        let (deployment, config) = (self.deployment, self.config);
        let fetched = wanted.into_iter().map(|key| {
            let (row, is_listed) = (rows.get(&key), listed.contains(&key));
            async move { fetch(deployment, config, key, row, is_listed).await }
        });
        let mut fetched = futures::stream::iter(fetched).buffered(FETCHES);
        let mut done = 0;
        while let Some((mut object, faults)) = fetched.try_next().await? {
            object.lines.retain(|line| span.has(line.event.received_at));
            self.facts.faults.extend(faults);
            if !rows.contains_key(&object.key) && !object.lines.is_empty() && self.is_committed(&object.key) {
                let detail = "the ledger has committed beyond it, and the manifest does not have it";
                self.facts.faults.push(AuditFinding::object(&object.key, detail));
            }
            self.facts.objects.push(object);
            done += 1;
            (self.progress)("archive objects", done, Some(total));
        }
        Ok(())
    }

    /// An object of that name must be in the manifest by now.
    fn is_committed(&self, key: &str) -> bool {
        let Some((shard, first)) = key_start(key) else { return true };
        let shard = self.facts.shards.get(shard);
        shard.and_then(|shard| shard.done_end.as_ref()).is_some_and(|done_end| first < *done_end)
    }

    /// The objects of `prefix` that may hold records that arrived at `from` or later: those that were written since then.
    /// Their names do not show that: they have the time of the batch's oldest record, which may have waited for days. `read`
    /// returns the lines of an object.
    async fn written_since(
        &mut self,
        prefix: &str,
        from: Timestamp,
        read: impl Fn(&[u8]) -> anyhow::Result<Vec<KnownLine>>,
    ) -> anyhow::Result<Vec<KnownLine>> {
        let mut keys = Vec::new();
        each_page(self.deployment, prefix, None, |page| {
            keys.extend(page.into_iter().filter(|object| object.written >= from).map(|object| object.key));
            (self.progress)("listed objects", keys.len() as u64, None);
        })
        .await?;
        let mut lines = Vec::new();
        for key in keys {
            let Some(bytes) = self.deployment.objects().get(&key).await? else { continue };
            match read(&bytes) {
                Ok(read) => {
                    lines.extend(read.into_iter().filter(|line| self.facts.span.has(line.received_at)));
                }
                Err(why) => {
                    self.facts.faults.push(AuditFinding::object(&key, format!("it cannot be read: {why}")));
                }
            }
        }
        Ok(lines)
    }

    /// Reads quarantine, of objects written at `from` or later.
    pub(super) async fn quarantine(&mut self, from: Timestamp) -> anyhow::Result<()> {
        let config = self.config;
        let read = |object: &[u8]| {
            let lines = QuarantineLine::read_all(object)?.into_iter().map(|line| {
                let origin = line.origin;
                let record =
                    Batch::of_record(&origin.shard, &origin.sequence_number, None, line.arrival, line.bytes);
                // A single line is at position 0. If the whole record is in quarantine, its first line is too.
                let event = record.lines(config).next().and_then(|line| line.event.ok());
                let event = event.map(|event| of_event(&event));
                let received_at = event.as_ref().map_or(line.arrival, |event| event.received_at);
                KnownLine { origin, event, received_at, redrive_of: Vec::new() }
            });
            Ok(lines.collect())
        };
        self.facts.quarantined = self.written_since(key::QUARANTINE, from, read).await?;
        Ok(())
    }

    /// Reads the failure destination, of objects written at `from` or later.
    pub(super) async fn failures(&mut self, from: Timestamp) -> anyhow::Result<()> {
        let config = self.config;
        let read = |object: &[u8]| {
            let (_, batch) = failed_batch(object)?;
            Ok(batch.lines(config).map(|line| known_line(&line)).collect())
        };
        self.facts.failed = self.written_since(key::FAILURE_DESTINATION, from, read).await?;
        Ok(())
    }

    async fn items(&mut self) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.list_items(after).await?;
            seen += page.items.len() as u64;
            (self.progress)("items", seen, None);
            let within = page.items.into_iter().filter(|item| self.facts.span.has(item.received_at));
            self.facts.items.extend(within.map(|NamedItem { tenant, id, existing, received_at, .. }| {
                KnownItem::new(tenant, id, existing, Some(received_at))
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let shards: BTreeSet<_> = self.facts.items.iter().map(|item| item.origin.shard.clone()).collect();
        for shard in shards {
            self.shard(&shard).await?;
        }
        Ok(())
    }

    pub(super) async fn queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Spill, QueueName::SpillDead] {
            let messages = self.deployment.messages(queue).await?;
            self.facts.hidden_messages += messages.hidden;
            for message in messages.seen {
                let lines = SpillMessage::read(&message.body).unwrap_or_default();
                let events = lines
                    .iter()
                    .filter_map(|line| serde_json::from_slice::<event_line::Event>(&line.line).ok());
                let events: Vec<_> = events.map(|event| of_event(&event)).collect();
                if events.len() < lines.len().max(1) {
                    self.facts.unreadable_messages += 1;
                }
                let events = events.into_iter().filter(|event| self.facts.span.has(event.received_at));
                match queue {
                    QueueName::Spill => self.facts.spilled.extend(events),
                    _ => self.facts.dead.extend(events),
                }
            }
        }
        Ok(())
    }

    /// Reads a shard to its end, or to the first record that arrived after `until` and after all that any store names: a stream
    /// in use may never end. Time alone is not enough. If the clock was set back, all records may have arrived after `until`.
    async fn stream(
        &mut self,
        shard: &Arc<str>,
        retained: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<()> {
        let from = earlier(self.facts.span.from, SKEW);
        let first = if from > retained { Start::At(from) } else { Start::Oldest };
        let known = self.last_known(shard);
        let mut last: Option<String> = None;
        let mut read_from = None;
        loop {
            // A page without records may not be the last one. Then the same start is read again.
            let start = last.clone().map_or(first.clone(), Start::After);
            let read = self.deployment.records(shard, start).await?;
            let is_past = read.records.last().is_some_and(|record| {
                let position = ShardPosition::new(record.sequence_number.as_str(), u32::MAX);
                record.arrival > until && known.as_ref().is_none_or(|known| position >= *known)
            });
            if let Some(record) = read.records.last() {
                last = Some(record.sequence_number.clone());
            }
            for record in read.records {
                read_from.get_or_insert_with(|| ShardPosition::new(record.sequence_number.as_str(), 0));
                let batch = record.batch(shard);
                let arrivals = batch.lines(self.config).map(|line| known_line(&line));
                self.facts.arrivals.extend(arrivals.filter(|line| self.facts.span.has(line.received_at)));
            }
            (self.progress)("events on the stream", self.facts.arrivals.len() as u64, None);
            if read.tail != ShardTail::More || is_past {
                break;
            }
        }
        self.facts.shards.entry(shard.clone()).or_default().read_from = read_from;
        Ok(())
    }

    /// The last position on a shard that one of the stores names.
    fn last_known(&self, shard: &str) -> Option<ShardPosition> {
        let facts = &self.facts;
        let archived = facts.objects.iter().flat_map(|object| &object.lines).map(|line| &line.origin);
        let failed = facts.quarantined.iter().chain(&facts.failed).map(|line| &line.origin);
        let items = facts.items.iter().map(|item| &item.origin);
        let named = archived.chain(failed).chain(items).filter(|origin| *origin.shard == *shard);
        let done_end = facts.shards.get(shard).and_then(|shard| shard.done_end.clone());
        named.map(ShardPosition::from).chain(done_end).max()
    }

    /// Reads the items of arrivals and failed lines that were received outside the span.
    pub(super) async fn other_items(&mut self) -> anyhow::Result<()> {
        let known: HashSet<_> = self.facts.items.iter().map(|item| (&item.tenant, &item.id)).collect();
        let failed = self.facts.quarantined.iter().chain(&self.facts.failed).map(|line| &line.event);
        let events = self.facts.arrivals.iter().map(|arrival| &arrival.event).chain(failed).flatten();
        let names: BTreeSet<(TenantId, EventId)> = events
            .filter(|event| !known.contains(&(&event.tenant, &event.id)))
            .map(|event| (event.tenant.clone(), event.id.clone()))
            .collect();
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(NAMES) {
            let found = self.deployment.items(names).await?;
            let items = names.iter().zip(found).filter_map(|((tenant, id), existing)| {
                Some(KnownItem::new(tenant.clone(), id.clone(), existing?, None))
            });
            self.facts.items.extend(items);
        }
        Ok(())
    }
}

/// Reads an object and compares it with its row.
async fn fetch(
    deployment: &impl Deployment,
    config: &Config,
    key: String,
    row: Option<&ManifestRow>,
    is_listed: bool,
) -> anyhow::Result<(ArchivedObject, Vec<AuditFinding>)> {
    let mut faults = Vec::new();
    let Some(found) = deployment.objects().find(&key).await? else {
        let unrecorded = || is_listed.then(|| "it was listed, and does not exist".to_owned());
        let why = row.map(gone).or_else(unrecorded);
        faults.extend(why.map(|why| AuditFinding::object(&key, why)));
        return Ok((ArchivedObject { key, lines: Vec::new() }, faults));
    };
    let end = row.map(|row| row.end.clone()).or(found.covers_end);
    let ranges = match row {
        None => None,
        Some(row) => match ranges_of(deployment.objects(), row).await {
            Ok((ranges, _)) => Some(ranges),
            Err(NotRead::Unreadable(why)) => {
                faults.push(AuditFinding::object(&key, why));
                None
            }
            Err(failure) => return Err(failure.into()),
        },
    };
    let noted = row.zip(ranges.as_deref());
    let (object, more) = objects::read(&key, &found.bytes, noted, end.as_ref(), &config.items);
    faults.extend(more);
    Ok((object, faults))
}

pub(super) fn known_line(line: &StreamLine) -> KnownLine {
    let event = line.event.as_ref().ok();
    KnownLine {
        origin: line.origin.clone(),
        event: event.map(of_event),
        received_at: event.map_or(line.arrival, |event| event.facts.received_at),
        redrive_of: event.map(|event| event.redrive_of.clone()).unwrap_or_default(),
    }
}

fn of_event(event: &event_line::Event) -> KnownEvent {
    KnownEvent {
        tenant: event.facts.tenant.clone(),
        id: event.facts.id.clone(),
        admission_id: event.facts.admission_id,
        content_hash: event.content_hash(),
        received_at: event.facts.received_at,
    }
}
