//! Reads the facts from a deployment, against the stream of the data ([`Facts`] says why in this order).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use consumer_fn::{Batch, Ledger, ObjectStore, ShardPosition, StreamLine};
use futures::{StreamExt, TryStreamExt};
use shared::config::Config;
use shared::format::event_line;
use shared::format::manifest_row::{ManifestRow, TenantRange};
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::id::{EventId, TenantId};
use shared::time::{Clock, Timestamp};

use super::facts::{Arrival, Event, Facts, Item, Kept, Object, Shard};
use super::objects::{self, Noted};
use super::verdict::Finding;
use crate::archive::{self, SKEW_MS, Span, each_page, earlier, manifest, place, ranges_of};
use crate::deployment::{Deployment, QueueName, Start, Tail};
use crate::kept::{self, FailedBatch};
use crate::progress::Progress;

/// Objects that are fetched side by side.
const FETCHES: usize = 8;
/// Items that are asked for in one call.
const NAMES: usize = 1_000;

/// Every stream keeps a record for so long, whatever was set or changed.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const LEAST_RETENTION: Duration = Duration::from_hours(24);

/// Reads everything that concerns events received within `span`, at `now`.
pub(crate) async fn gather(
    deployment: &impl Deployment,
    config: &Config,
    span: Span,
    now: Timestamp,
    clock: &Clock,
) -> anyhow::Result<Facts> {
    let retention = deployment.retention().await?;
    let ago = |duration: Duration| earlier(now, i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
    // What lies further back than the least is on the stream as well, unless the retention was raised since.
    let sure_from = ago(retention.min(LEAST_RETENTION)).max(earlier(span.from, SKEW_MS));
    let mut reader = Reader::new(deployment, config, Facts::none(span, sure_from, now));
    reader.read(ago(retention), clock).await?;
    Ok(reader.facts)
}

/// Adds to the facts what it reads, a place at a time.
pub(super) struct Reader<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    pub(super) facts: Facts,
    /// The objects that may be written next, by the ledger.
    intents: Vec<String>,
    progress: Progress,
}

/// The manifest, by the keys of objects.
type Rows = BTreeMap<String, ManifestRow>;

impl<'a, D: Deployment> Reader<'a, D> {
    pub(super) fn new(deployment: &'a D, config: &'a Config, facts: Facts) -> Self {
        Self { deployment, config, facts, intents: Vec::new(), progress: Progress::on_terminal() }
    }

    async fn read(&mut self, retained: Timestamp, clock: &Clock) -> anyhow::Result<()> {
        let shards: BTreeSet<Arc<str>> =
            self.deployment.shards().await?.into_iter().map(|shard| shard.id.into()).collect();
        let mut rows = Rows::new();
        for shard in &shards {
            self.shard(shard).await?;
        }
        for shard in &shards {
            self.manifest(shard, &mut rows).await?;
        }
        self.archive(&mut rows).await?;
        let from = earlier(self.facts.span.from, SKEW_MS);
        self.quarantine(from).await?;
        self.failures(from).await?;
        self.items().await?;
        self.queues().await?;
        // Whatever was found so far arrived by now; and in these shards, of which some may be new.
        let until = clock.now().unix_ms().saturating_add(SKEW_MS);
        for shard in self.deployment.shards().await? {
            self.stream(&shard.id.into(), retained, Timestamp::from_unix_ms(until)).await?;
        }
        self.other_items().await
    }

    /// How far the ledger and the event source mapping are with a shard.
    pub(super) async fn shard(&mut self, shard: &Arc<str>) -> anyhow::Result<()> {
        let progress = self.deployment.ledger().read(shard).await?;
        let checkpoint = self.deployment.checkpoint(shard).await?;
        self.intents.extend(progress.intent.as_ref().map(|intent| intent.key.clone()));
        let marks = [
            progress.settled_before,
            progress.intent.map(|intent| intent.from),
            checkpoint.map(|sequence_number| ShardPosition::new(sequence_number, u32::MAX)),
        ];
        let done_before = marks.into_iter().flatten().max();
        self.facts.shards.insert(shard.clone(), Shard { done_before, read_from: None });
        Ok(())
    }

    async fn manifest(&mut self, shard: &str, rows: &mut Rows) -> anyhow::Result<()> {
        let of_shard = manifest(self.deployment, shard, self.facts.span.from).await?;
        self.facts.faults.extend(objects::overlaps(&of_shard));
        rows.extend(of_shard.into_iter().map(|row| (row.key.clone(), row)));
        self.progress.tell("manifest rows", rows.len() as u64, None);
        Ok(())
    }

    /// Reads the objects that may hold events of the span, and all that the manifest does not know.
    async fn archive(&mut self, rows: &mut Rows) -> anyhow::Result<()> {
        let span = self.facts.span;
        let mut listed = BTreeSet::new();
        let shards = archive::shards(self.deployment, span.from, |page| {
            listed.extend(page.into_iter().map(|object| object.key));
            self.progress.tell("listed objects", listed.len() as u64, None);
        });
        // Shards that the stream has forgotten; nothing happens in them any more.
        for shard in shards.await?.into_keys().map(Arc::from) {
            if !self.facts.shards.contains_key(&shard) {
                self.shard(&shard).await?;
                self.manifest(&shard, rows).await?;
            }
        }
        // The manifest has what lies there, or what should; and an object that it does not have yet, and that is named
        // after an earlier time, is the one that the ledger announces.
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
        while let Some((mut object, faults, is_noted)) = fetched.try_next().await? {
            object.lines.retain(|line| span.has(line.received_at));
            self.facts.faults.extend(faults);
            if !is_noted && !object.lines.is_empty() && self.is_settled(&object.key) {
                let detail =
                    "it lies before what the ledger calls settled, and the manifest does not have it";
                self.facts.faults.push(Finding::object(&object.key, detail));
            }
            self.facts.objects.push(object);
            done += 1;
            self.progress.tell("archive objects", done, Some(total));
        }
        Ok(())
    }

    /// Whether an object of that name must be in the manifest by now.
    fn is_settled(&self, key: &str) -> bool {
        let Some((shard, first)) = place(key) else { return true };
        let shard = self.facts.shards.get(shard);
        shard.and_then(|shard| shard.done_before.as_ref()).is_some_and(|done_before| first < *done_before)
    }

    /// The objects of `prefix` that may hold what arrived at `from` or later: those that were written since, whatever
    /// time they are named after, which is that of the oldest record of a batch that may have waited for days.
    async fn kept(&mut self, prefix: &str, from: Timestamp) -> anyhow::Result<Vec<String>> {
        let mut kept = Vec::new();
        each_page(self.deployment, prefix, None, |page| {
            kept.extend(page.into_iter().filter(|object| object.written >= from).map(|object| object.key));
            self.progress.tell("listed objects", kept.len() as u64, None);
        })
        .await?;
        Ok(kept)
    }

    /// The lines in quarantine, of objects that were written at `from` or later.
    pub(super) async fn quarantine(&mut self, from: Timestamp) -> anyhow::Result<()> {
        for key in self.kept(kept::QUARANTINE, from).await? {
            let Some(bytes) = self.deployment.objects().get(&key).await? else { continue };
            let lines = match QuarantineLine::read_all(&bytes) {
                Ok(lines) => lines,
                Err(why) => {
                    self.facts.faults.push(Finding::object(&key, format!("it cannot be read: {why}")));
                    continue;
                }
            };
            for line in lines {
                let origin = line.origin();
                let record =
                    Batch::of_record(&origin.shard, &origin.sequence_number, None, line.arrival, line.bytes);
                // A line by itself is at position 0 of its record; where the whole record is kept, so is it.
                let event = record
                    .lines(self.config)
                    .next()
                    .and_then(|line| line.event.ok())
                    .map(|event| of_event(&event));
                let received_at = event.as_ref().map_or(line.arrival, |event| event.received_at);
                if self.facts.span.has(received_at) {
                    self.facts.quarantined.push(Kept { origin, event, received_at });
                }
            }
        }
        Ok(())
    }

    /// The lines that were given up, of objects that were written at `from` or later.
    pub(super) async fn failures(&mut self, from: Timestamp) -> anyhow::Result<()> {
        for key in self.kept(kept::FAILED, from).await? {
            let Some(bytes) = self.deployment.objects().get(&key).await? else { continue };
            match kept::failed_batch(&bytes) {
                Ok(FailedBatch { batch, .. }) => {
                    let kept = batch.lines(self.config).map(|line| {
                        let Arrival { origin, event, received_at, .. } = arrival(&line);
                        Kept { origin, event, received_at }
                    });
                    self.facts.failed.extend(kept.filter(|kept| self.facts.span.has(kept.received_at)));
                }
                Err(why) => {
                    self.facts.faults.push(Finding::object(&key, format!("it cannot be read: {why:#}")));
                }
            }
        }
        Ok(())
    }

    async fn items(&mut self) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.list_items(None, after).await?;
            seen += page.items.len() as u64;
            self.progress.tell("items", seen, None);
            let within = page.items.into_iter().filter(|item| self.facts.span.has(item.received_at));
            self.facts.items.extend(within.map(|item| Item {
                tenant: item.tenant,
                id: item.id,
                origin: item.existing.origin,
                admission_id: item.existing.admission_id,
                content_hash: item.existing.content_hash,
                received_at: Some(item.received_at),
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let shards: BTreeSet<_> = self.facts.items.iter().map(|item| item.origin.shard.clone()).collect();
        for shard in shards {
            if !self.facts.shards.contains_key(&shard) {
                self.shard(&shard).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Spill, QueueName::Dead] {
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
                    QueueName::Dead => self.facts.dead.extend(events),
                }
            }
        }
        Ok(())
    }

    /// Reads a shard up to its tip, or to what arrived behind `until`: a stream in use may never end.
    async fn stream(
        &mut self,
        shard: &Arc<str>,
        retained: Timestamp,
        until: Timestamp,
    ) -> anyhow::Result<()> {
        let from = earlier(self.facts.span.from, SKEW_MS);
        let first = if from > retained { Start::At(from) } else { Start::Oldest };
        let mut last: Option<String> = None;
        let mut read_from = None;
        loop {
            // A page without a record may have more behind it: then it is asked for again.
            let start = last.as_deref().map_or(first, Start::After);
            let read = self.deployment.records(shard, start).await?;
            let is_behind = read.records.last().is_some_and(|record| record.arrival > until);
            if let Some(record) = read.records.last() {
                last = Some(record.sequence_number.clone());
            }
            for record in read.records {
                read_from.get_or_insert_with(|| ShardPosition::new(record.sequence_number.as_str(), 0));
                let data = record.data.to_vec();
                let batch = Batch::of_record(shard, &record.sequence_number, None, record.arrival, data);
                let arrivals = batch.lines(self.config).map(|line| arrival(&line));
                self.facts.arrivals.extend(arrivals.filter(|line| self.facts.span.has(line.received_at)));
            }
            self.progress.tell("events on the stream", self.facts.arrivals.len() as u64, None);
            if read.tail != Tail::More || is_behind {
                break;
            }
        }
        self.facts.shards.entry(shard.clone()).or_default().read_from = read_from;
        Ok(())
    }

    /// The items that arrivals and kept lines are to be compared with, and that were received outside of the span.
    pub(super) async fn other_items(&mut self) -> anyhow::Result<()> {
        let known: HashSet<_> = self.facts.items.iter().map(|item| (&item.tenant, &item.id)).collect();
        let kept = self.facts.quarantined.iter().chain(&self.facts.failed).map(|kept| &kept.event);
        let events = self.facts.arrivals.iter().map(|arrival| &arrival.event).chain(kept).flatten();
        let names: BTreeSet<(TenantId, EventId)> = events
            .filter(|event| !known.contains(&(&event.tenant, &event.id)))
            .map(|event| (event.tenant.clone(), event.id.clone()))
            .collect();
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(NAMES) {
            let found = self.deployment.items(names).await?;
            let items = names.iter().zip(found).filter_map(|((tenant, id), existing)| {
                let existing = existing?;
                Some(Item {
                    tenant: tenant.clone(),
                    id: id.clone(),
                    origin: existing.origin,
                    admission_id: existing.admission_id,
                    content_hash: existing.content_hash,
                    received_at: None,
                })
            });
            self.facts.items.extend(items);
        }
        Ok(())
    }
}

/// Reads an object and compares it with its row. And whether it has one.
async fn fetch(
    deployment: &impl Deployment,
    config: &Config,
    key: String,
    row: Option<&ManifestRow>,
    is_listed: bool,
) -> anyhow::Result<(Object, Vec<Finding>, bool)> {
    let Some(found) = deployment.objects().find(&key).await? else {
        let gone = match row {
            Some(row) => Some(format!("the manifest has it, with {} lines, and it is not there", row.lines)),
            None => is_listed.then(|| "it was listed, and is not there".to_owned()),
        };
        let gone = gone.map(|why| Finding::object(&key, why));
        return Ok((Object { key, lines: Vec::new() }, gone.into_iter().collect(), row.is_some()));
    };
    let before = row.map(|row| row.end.clone()).or(found.covers_before);
    let ranges: Vec<TenantRange>;
    let mut noted = None;
    let mut faults = Vec::new();
    if let Some(row) = row {
        match ranges_of(deployment, row).await? {
            Ok((found, _)) => {
                ranges = found;
                noted = Some(Noted { row, ranges: &ranges });
            }
            Err(why) => faults.push(Finding::object(&key, why)),
        }
    }
    let (object, more) = objects::read(&key, &found.bytes, noted, before.as_ref(), &config.items);
    faults.extend(more);
    Ok((object, faults, row.is_some()))
}

pub(super) fn arrival(line: &StreamLine) -> Arrival {
    let origin = line.origin.clone();
    let Ok(event) = &line.event else {
        return Arrival { origin, event: None, received_at: line.arrival, redrive_of: Vec::new() };
    };
    let (received_at, redrive_of) = (event.facts.received_at, event.redrive_of.clone());
    Arrival { origin, event: Some(of_event(event)), received_at, redrive_of }
}

fn of_event(event: &event_line::Event) -> Event {
    Event {
        tenant: event.facts.tenant.clone(),
        id: event.facts.id.clone(),
        admission_id: event.facts.admission_id,
        content_hash: event.content_hash(),
        received_at: event.facts.received_at,
    }
}
