//! Reads the facts from a deployment, against the direction of the data ([`AuditFacts`] says why). Facts about events go to
//! [`Partitions`], and come back in groups to be judged.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use consumer_fn::ledger::{LedgerFailure, Progress};
use consumer_fn::{Ledger, StreamLine};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::spill_message::SpillMessage;
use shared::id::{EventId, TenantId};
use shared::origin::{Origin, ShardPosition, is_sequence_number};
use shared::time::Timestamp;

use super::account::account;
use super::balance::{AuditFinding, Balance, FindingKind};
use super::facts::{AuditFacts, Fact, KnownEvent, KnownItem, KnownLine, ShardFacts};
use super::needed::Needed;
use super::partitions::{Groups, Partitions};
use crate::OnProgress;
use crate::archive::{SKEW, Span, earlier};
use crate::deployment::{Deployment, NamedItem, QueueName, ShardTail, Start};
use crate::erase::Erasures;

/// Items that are read in one call.
const NAMES: usize = 1_000;

/// Every stream retains records at least so long, whatever its settings were.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html>
const LEAST_RETENTION: Duration = Duration::from_hours(24);

/// Reads everything about events received in `span`, and judges it. Returns what is known of the whole deployment, and the
/// balance.
pub(crate) async fn gather(
    deployment: &impl Deployment,
    config: &Config,
    span: Span,
    now: Timestamp,
    progress: OnProgress<'_>,
) -> anyhow::Result<(AuditFacts, Balance)> {
    let retention = deployment.retention().await?;
    // Older records are on the stream too, unless its retention was raised since.
    let sure_from = earlier(now, retention.min(LEAST_RETENTION)).max(earlier(span.from, SKEW));
    let facts = AuditFacts { span, stream_from: sure_from, now, ..AuditFacts::default() };
    let mut reader = FactReader::new(deployment, config, facts, progress);
    reader.partitions = Some(Partitions::default());
    reader.read(earlier(now, retention)).await?;
    reader.judge().await
}

/// Adds what it reads to the facts, one store after the other.
pub(super) struct FactReader<'a, D> {
    pub(super) deployment: &'a D,
    pub(super) config: &'a Config,
    pub(super) facts: AuditFacts,
    /// Where facts about events are until they are judged. Without it they are in `facts`.
    partitions: Option<Partitions<Fact>>,
    /// The objects that the ledger announces.
    pub(super) intents: BTreeSet<String>,
    /// The last position on each shard that a store names.
    named: BTreeMap<Arc<str>, ShardPosition>,
    /// What the facts need that is stored apart, until it was looked for.
    pub(super) needed: Vec<Needed>,
    pub(super) progress: OnProgress<'a>,
}

impl<'a, D: Deployment> FactReader<'a, D> {
    pub(super) fn new(
        deployment: &'a D,
        config: &'a Config,
        facts: AuditFacts,
        progress: OnProgress<'a>,
    ) -> Self {
        Self {
            deployment,
            config,
            facts,
            partitions: None,
            intents: BTreeSet::new(),
            named: BTreeMap::new(),
            needed: Vec::new(),
            progress,
        }
    }

    async fn read(&mut self, retained: Timestamp) -> anyhow::Result<()> {
        let shards: BTreeSet<Arc<str>> = self.deployment.shards().await?.into_iter().map(Arc::from).collect();
        for shard in &shards {
            self.shard(shard).await?;
        }
        self.archive(shards).await?;
        let from = earlier(self.facts.span.from, SKEW);
        self.quarantine(from).await?;
        self.failures(from).await?;
        self.items().await?;
        self.queues().await?;
        // All that was found so far has arrived by now, in these shards. Some of them may be new.
        let mut seen = 0;
        let until = self.deployment.clock().now().plus(SKEW);
        for shard in self.deployment.shards().await? {
            self.stream(&shard.into(), retained, until, &mut seen).await?;
        }
        // The note of an erasure is written before anything is deleted, so each deletion that was seen has one.
        self.facts.erased = Erasures::read(self.deployment).await?;
        Ok(())
    }

    /// What became of all events that were read: group after group, so that memory does not grow with them.
    pub(super) async fn judge(mut self) -> anyhow::Result<(AuditFacts, Balance)> {
        let mut balance = Balance { findings: std::mem::take(&mut self.facts.faults), ..Balance::default() };
        let mut groups = Groups::from(self.partitions.take().unwrap_or_default());
        while groups.next(|fact| self.facts.add(fact))? {
            self.other_items().await?;
            balance.add(account(&self.facts));
            self.facts.clear();
            (self.progress)("events judged", balance.total.admissions(), None);
        }
        balance.sort();
        Ok((self.facts, balance))
    }

    /// Adds a fact about an event of the span.
    pub(super) fn add(&mut self, fact: Fact) -> anyhow::Result<()> {
        match &mut self.partitions {
            None => self.facts.add(fact),
            Some(partitions) => {
                partitions.add(&fact)?;
                self.name(&fact);
            }
        }
        Ok(())
    }

    /// Notes the claim check of an event that was not archived. `what` describes it.
    pub(super) fn need(&mut self, event: &Event, origin: Option<&Origin>, what: &'static str) {
        if self.partitions.is_some() && self.facts.span.has(event.facts.received_at) {
            self.needed.extend(Needed::by_event(event, origin, what, self.config));
        }
    }

    /// Looks for what was noted.
    pub(super) async fn find_needed(&mut self) -> anyhow::Result<()> {
        for needed in std::mem::take(&mut self.needed) {
            self.facts.faults.extend(needed.find(self.deployment).await?);
        }
        Ok(())
    }

    /// Notes how far the stores name a shard's positions.
    fn name(&mut self, fact: &Fact) {
        let Some(origin) = fact.stored_origin() else { return };
        let position = ShardPosition::from(origin);
        let named = self.named.entry(origin.shard.clone()).or_insert_with(|| position.clone());
        if *named < position {
            *named = position;
        }
    }

    /// Reads how far the ledger and the event source mapping are with a shard, if that is not known yet.
    pub(super) async fn shard(&mut self, shard: &Arc<str>) -> anyhow::Result<()> {
        if self.facts.shards.contains_key(shard) {
            return Ok(());
        }
        let progress = match self.deployment.ledger().read(shard).await {
            Err(LedgerFailure::Unreadable(why)) => {
                self.unreadable(why);
                Progress::default()
            }
            progress => progress?,
        };
        let checkpoint = self.deployment.checkpoint(shard).await?;
        self.intents.extend(progress.intent.as_ref().map(|intent| intent.key.clone()));
        let ends = [
            ("ledger row", progress.committed_end),
            ("ledger row", progress.intent.map(|intent| intent.from)),
            ("checkpoint", checkpoint.map(|number| ShardPosition::new(number, u32::MAX))),
        ];
        let mut done_end = None;
        for (what, end) in ends {
            let Some(end) = end else { continue };
            if is_sequence_number(&end.sequence_number) {
                done_end = done_end.max(Some(end));
            } else {
                self.unreadable(format!(
                    "the {what} of `{shard}` has `{}` for a sequence number",
                    end.sequence_number
                ));
            }
        }
        self.facts.shards.insert(shard.clone(), ShardFacts { done_end, read_from: None });
        Ok(())
    }

    /// Notes something stored that is not as Tidegate writes it.
    pub(super) fn unreadable(&mut self, detail: impl Into<String>) {
        self.facts.faults.push(AuditFinding::event(FindingKind::Unreadable, None, None, detail));
    }

    async fn items(&mut self) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        let mut shards = BTreeSet::new();
        loop {
            let page = self.deployment.list_items(after).await?;
            seen += page.items.len() as u64;
            (self.progress)("items", seen, None);
            for row in page.unreadable {
                self.unreadable(row.to_string());
            }
            for NamedItem { tenant, id, existing, received_at, .. } in page.items {
                if self.facts.span.has(received_at) {
                    shards.insert(existing.origin.shard.clone());
                    self.add(Fact::Item(KnownItem::new(tenant, id, existing, Some(received_at))))?;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
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
                let mut bad = usize::from(lines.is_empty());
                for line in &lines {
                    let Ok(event) = serde_json::from_slice::<Event>(&line.line) else {
                        bad += 1;
                        continue;
                    };
                    self.need(&event, None, "the claim check of a spilled event");
                    let event = of_event(&event);
                    if self.facts.span.has(event.received_at) {
                        self.add(match queue {
                            QueueName::Spill => Fact::Spilled(event),
                            _ => Fact::Dead(event),
                        })?;
                    }
                }
                if bad > 0 {
                    self.facts.unreadable_messages += 1;
                    let (of, sent, id) = (queue.described(), message.sent, &message.id);
                    self.unreadable(format!(
                        "a message of the {of}, sent {sent}, does not hold events: `{id}`"
                    ));
                }
                self.find_needed().await?;
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
        seen: &mut u64,
    ) -> anyhow::Result<()> {
        let from = earlier(self.facts.span.from, SKEW);
        let first = if from > retained { Start::At(from) } else { Start::Oldest };
        let done_end = self.facts.shards.get(shard).and_then(|shard| shard.done_end.clone());
        let known = self.named.get(shard).cloned().max(done_end.clone());
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
                for line in record.batch(shard).lines(self.config) {
                    if let Ok(event) = &line.event
                        && event.claim_check.is_some()
                        && done_end.as_ref().is_none_or(|end| ShardPosition::from(&line.origin) >= *end)
                    {
                        self.need(event, Some(&line.origin), "the claim check of an event that is not done");
                    }
                    let line = known_line(&line);
                    if self.facts.span.has(line.received_at) {
                        *seen += 1;
                        self.facts.replaced.add(&line);
                        self.add(Fact::Arrived(line))?;
                    }
                }
                self.find_needed().await?;
            }
            (self.progress)("events on the stream", *seen, None);
            if read.tail != ShardTail::More || is_past {
                break;
            }
        }
        self.facts.shards.entry(shard.clone()).or_default().read_from = read_from;
        Ok(())
    }

    /// Reads the items of arrivals and failed lines that were received outside the span.
    pub(super) async fn other_items(&mut self) -> anyhow::Result<()> {
        let known: HashSet<_> = self.facts.items.iter().map(|item| (&item.tenant, &item.id)).collect();
        let saved = self.facts.quarantined.iter().chain(&self.facts.id_reused).chain(&self.facts.failed);
        let failed = saved.map(|line| &line.event);
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

pub(super) fn known_line(line: &StreamLine) -> KnownLine {
    let event = line.event.as_ref().ok();
    KnownLine {
        origin: line.origin.clone(),
        event: event.map(of_event),
        received_at: event.map_or(line.arrival, |event| event.facts.received_at),
        redrive_of: event.map(|event| event.redrive_of.clone()).unwrap_or_default(),
    }
}

pub(super) fn of_event(event: &Event) -> KnownEvent {
    KnownEvent {
        tenant: event.facts.tenant.clone(),
        id: event.facts.id.clone(),
        admission_id: event.facts.admission_id,
        content_hash: event.content_hash(),
        received_at: event.facts.received_at,
    }
}
