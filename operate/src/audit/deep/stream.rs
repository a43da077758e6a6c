//! The stream, record by record: with items, claim checks, and what was saved of it.

use consumer_fn::StreamLine;
use shared::archive::NotRead;
use shared::format::event_line::Event;
use shared::origin::{Origin, ShardPosition};

use super::super::balance::{AuditFinding, FindingKind};
use super::super::facts::digest;
use super::super::needed::own_claim;
use super::item::of_facts;
use super::saved::name;
use super::seen::{Seen, SeenLine};
use super::{Deep, LINES, Name, TEXT_BYTES, listed};
use crate::archive::{SKEW, earlier};
use crate::deployment::{Deployment, RetainedRecord, ShardTail, Start};

/// Events that are still to be compared with their items.
#[derive(Default)]
struct Waiting {
    events: Vec<(Origin, Event)>,
    bytes: usize,
}

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn stream(&mut self) -> anyhow::Result<()> {
        let until = self.deployment.clock().now().plus(SKEW);
        let from = earlier(self.span.from, SKEW);
        for shard in self.deployment.shards().await? {
            let ends = self.ends(&shard).await?;
            let (mut start, mut last, mut done) = (Start::At(from), None, 0);
            let mut waiting = Waiting::default();
            loop {
                let read = self.deployment.records(&shard, start.clone()).await?;
                let is_past = read.records.last().is_some_and(|record| record.arrival > until);
                for record in read.records {
                    self.record(&shard, &record, &mut waiting).await?;
                    start = Start::After(record.sequence_number.clone());
                    last = Some(record.sequence_number);
                }
                self.events(&mut waiting).await?;
                done += 1;
                (self.progress)("pages of the stream compared", done, None);
                if read.tail != ShardTail::More || is_past {
                    break;
                }
            }
            self.check_ends(&shard, &ends, last.as_deref());
        }
        Ok(())
    }

    /// Up to where ledger and event source mapping say that a shard is done.
    async fn ends(&self, shard: &str) -> anyhow::Result<[(&'static str, Option<ShardPosition>); 2]> {
        let committed_end = self.progress_of(shard).await?.and_then(|progress| progress.committed_end);
        let checkpoint = self.deployment.checkpoint(shard).await?;
        Ok([
            ("ledger", committed_end),
            ("checkpoint", checkpoint.map(|number| ShardPosition::new(number, 0))),
        ])
    }

    /// Nothing can be done that was never on the stream. They were read before it.
    fn check_ends(&mut self, shard: &str, ends: &[(&str, Option<ShardPosition>)], last: Option<&str>) {
        let Some(last) = last.map(|number| ShardPosition::new(number, u32::MAX)) else { return };
        for (what, end) in ends.iter().filter_map(|(what, end)| Some((what, end.as_ref()?))) {
            if *end > last {
                let detail = format!(
                    "the {what} of `{shard}` is at {end}, and the shard ends at {}",
                    last.sequence_number
                );
                self.findings.push(AuditFinding::event(FindingKind::Damaged, None, None, detail));
            }
        }
    }

    async fn record(
        &mut self,
        shard: &str,
        record: &RetainedRecord,
        waiting: &mut Waiting,
    ) -> anyhow::Result<()> {
        for line in record.batch(shard).lines(self.config) {
            if self.saved.contains(&digest(&line.origin)) {
                self.seen.add(&Seen::Arrived(SeenLine::from(&line)))?;
            }
            let StreamLine { origin, event: Ok(event), .. } = line else { continue };
            for former in event.redrive_of.iter().filter(|former| self.saved.contains(&digest(former))) {
                self.seen.add(&Seen::Former(former.clone()))?;
            }
            if self.span.has(event.facts.received_at) {
                waiting.bytes += event.text.len() + event.fields.as_json().len();
                waiting.events.push((origin, event));
            }
            if waiting.events.len() == LINES || waiting.bytes > TEXT_BYTES {
                self.events(waiting).await?;
            }
        }
        Ok(())
    }

    /// Compares events with their items.
    async fn events(&mut self, waiting: &mut Waiting) -> anyhow::Result<()> {
        let Waiting { events, .. } = std::mem::take(waiting);
        let names: Vec<_> = events.iter().map(|(_, event)| name(event)).collect();
        let items = self.items(&names).await?;
        for (((origin, event), item), name) in events.into_iter().zip(items).zip(names) {
            let text = match &event.claim_check {
                None => Some(event.text.clone()),
                Some(_) => self.claimed(&name, Some(&origin), &event).await?.map(|stored| stored.text),
            };
            let Some(item) = item.filter(|item| item.item.origin == origin) else { continue };
            let mut differs = item.against_event(&event, &origin, text.as_deref());
            differs.extend(item.contradictions());
            if !differs.is_empty() {
                let detail =
                    format!("its item and the stream differ, or the item in itself: {}", listed(&differs));
                self.event(&name, Some(&origin), None, detail);
            }
        }
        Ok(())
    }

    /// The event that is stored for a head. What is gone is found missing where it is needed.
    pub(super) async fn claimed(
        &mut self,
        name: &Name,
        origin: Option<&Origin>,
        head: &Event,
    ) -> anyhow::Result<Option<Event>> {
        let Some(claim_check) = own_claim(head, self.config) else { return Ok(None) };
        let line = match shared::archive::claimed(claim_check, self.deployment.objects()).await {
            Err(NotRead::Store(failure)) => return Err(failure.into()),
            Err(NotRead::Unreadable(why)) => Err(why),
            Ok(None) => return Ok(None),
            Ok(Some(line)) => Ok(line),
        };
        let stored = line.and_then(|line| {
            let stored: Event = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
            let differs = of_facts(&stored.facts, &head.facts, false);
            let is_it = differs.is_empty() && stored.content_hash() == claim_check.content_hash;
            if is_it { Ok(stored) } else { Err("it does not hold the event of its head".to_owned()) }
        });
        match stored {
            Ok(stored) => Ok(Some(stored)),
            Err(why) => {
                self.event(name, origin, Some(&claim_check.key), why);
                Ok(None)
            }
        }
    }
}
