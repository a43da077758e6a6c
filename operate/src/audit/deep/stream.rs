//! The stream, record by record: with items, claim checks, and what was saved of it.

use std::collections::BTreeSet;

use consumer_fn::{Ledger, StreamLine};
use shared::archive::NotRead;
use shared::format::event_line::Event;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::super::balance::{AuditFinding, FindingKind};
use super::super::needed::own_claim;
use super::item::of_facts;
use super::saved::{fingerprint, name};
use super::{Deep, Name, listed};
use crate::archive::{SKEW, covering, earlier};
use crate::deployment::{Deployment, RetainedRecord, ShardTail, Start};

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn stream(&mut self) -> anyhow::Result<()> {
        let until = self.deployment.clock().now().plus(SKEW);
        let from = earlier(self.span.from, SKEW);
        for shard in self.deployment.shards().await? {
            let ends = self.ends(&shard).await?;
            let (mut start, mut last, mut done) = (Start::At(from), None, 0);
            loop {
                let read = self.deployment.records(&shard, start.clone()).await?;
                let is_past = read.records.last().is_some_and(|record| record.arrival > until);
                for record in read.records {
                    self.record(&shard, &record).await?;
                    start = Start::After(record.sequence_number.clone());
                    last = Some(record.sequence_number);
                }
                done += 1;
                (self.progress)("pages of the stream compared", done, None);
                if read.tail != ShardTail::More || is_past {
                    break;
                }
            }
            self.check_ends(&shard, &ends, last.as_deref());
        }
        self.left_over(from).await?;
        Ok(())
    }

    /// Up to where ledger and event source mapping say that a shard is done.
    async fn ends(&self, shard: &str) -> anyhow::Result<[(&'static str, Option<ShardPosition>); 2]> {
        let committed_end = self.deployment.ledger().read(shard).await?.committed_end;
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

    async fn record(&mut self, shard: &str, record: &RetainedRecord) -> anyhow::Result<()> {
        let lines: Vec<_> = record.batch(shard).lines(self.config).collect();
        let mut events = Vec::new();
        for line in lines {
            self.against_saved(&line);
            if let StreamLine { origin, event: Ok(event), .. } = line {
                for former in &event.redrive_of {
                    self.saved.redriven.remove(former);
                }
                if self.span.has(event.facts.received_at) {
                    events.push((origin, event));
                }
            }
        }
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

    fn against_saved(&mut self, line: &StreamLine) {
        let Some(saved) = self.saved.lines.get_mut(&line.origin) else { return };
        let print = fingerprint(line);
        let mut damaged = Vec::new();
        for saved in saved {
            saved.is_on_stream = true;
            let is_same = saved.fingerprint == print
                && saved.arrival == line.arrival
                && saved.partition_key == line.partition_key;
            if !is_same {
                damaged.push((saved.object.clone(), saved.name.clone()));
            }
        }
        for (object, name) in damaged {
            let name = name.as_ref().map(|(tenant, id)| (tenant, id));
            let detail = "the stream has another line at its origin";
            let finding = AuditFinding::event(FindingKind::Damaged, name, Some(&line.origin), detail);
            self.findings.push(finding.within(&object));
        }
    }

    /// Saved lines and redriven events that the stream should have, and does not.
    async fn left_over(&mut self, from: Timestamp) -> anyhow::Result<()> {
        // Some records have expired since the audit began.
        let elapsed = self.deployment.clock().now().since(self.began);
        let sure_from = self.stream_from.plus(elapsed).max(from).plus(SKEW);
        let mut absent = Vec::new();
        for (origin, lines) in &self.saved.lines {
            let lines = lines.iter().filter(|line| !line.is_on_stream && line.arrival >= sure_from);
            absent.extend(lines.map(|line| (origin.clone(), line.object.clone(), line.name.clone())));
        }
        for (origin, object, name) in absent {
            let name = name.as_ref().map(|(tenant, id)| (tenant, id));
            let detail = "a saved line whose origin holds nothing on the stream";
            let finding = AuditFinding::event(FindingKind::Foreign, name, Some(&origin), detail);
            self.findings.push(finding.within(&object));
        }
        let mut notes = BTreeSet::new();
        for (origin, (note, written)) in std::mem::take(&mut self.saved.redriven) {
            // What was archived after all is noted too, and is not redriven.
            if written >= sure_from && covering(self.deployment, &origin).await?.is_none() {
                notes.insert(note);
            }
        }
        for note in notes {
            self.foreign(&note, "it notes redriven events that are not on the stream");
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
