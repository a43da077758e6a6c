//! Reads the facts of quarantine and of the failure destination.

use consumer_fn::read_again;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::objects::ObjectStore;
use shared::time::Timestamp;

use super::balance::{AuditFinding, FindingKind};
use super::facts::{Fact, KnownEvent, KnownLine};
use super::gather::{FactReader, known_line, of_event};
use crate::deployment::Deployment;
use crate::failed_batch::failed_batch;
use crate::redrive::{ID_REUSED, new_id};

/// The claim check with which it can be redriven.
const FAILED: &str = "the claim check of an event that failed";

impl<D: Deployment> FactReader<'_, D> {
    /// Reads quarantine, of objects written at `from` or later.
    pub(super) async fn quarantine(&mut self, from: Timestamp) -> anyhow::Result<()> {
        self.written_since(key::QUARANTINE, from, |reader, object| {
            let mut bad = None;
            for line in QuarantineLine::read_each(object) {
                match line {
                    Ok(line) => reader.quarantined(line)?,
                    Err(why) => bad = Some(why),
                }
            }
            Ok(bad.map(|why| format!("a line of it cannot be read: {why}")))
        })
        .await
    }

    fn quarantined(&mut self, quarantined: QuarantineLine) -> anyhow::Result<()> {
        let QuarantineLine { reason, tenant, origin, arrival, bytes, .. } = quarantined;
        // If the whole record is in quarantine, its first line is what the consumer would have read at that origin.
        let read = read_again(&bytes, &origin, arrival, self.config).into_iter().next();
        let event = read.and_then(|(_, event)| event.ok());
        // A missing claim check may be why it is there.
        if let Some(event) = event.as_ref().filter(|_| !reason.starts_with("claim")) {
            self.need(event, Some(&origin), FAILED);
        }
        let received_at = event.as_ref().map_or(arrival, |event| event.facts.received_at);
        if !self.facts.span.has(received_at) {
            return Ok(());
        }
        let line = |event| KnownLine { origin: origin.clone(), event, received_at, redrive_of: Vec::new() };
        let Some(event) = event else { return self.add(Fact::Quarantined(line(None))) };
        let known = of_event(&event);
        if tenant.is_none() {
            self.add(Fact::Quarantined(line(None)))?;
            return self.add(Fact::ReadableNow(line(Some(known))));
        }
        if reason != ID_REUSED {
            return self.add(Fact::Quarantined(line(Some(known))));
        }
        let as_new = KnownEvent { id: new_id(&event), ..known.clone() };
        self.add(Fact::IdReused(line(Some(known))))?;
        self.add(Fact::AsNew(line(Some(as_new))))
    }

    /// Reads the failure destination, of objects written at `from` or later.
    pub(super) async fn failures(&mut self, from: Timestamp) -> anyhow::Result<()> {
        self.written_since(key::FAILURE_DESTINATION, from, |reader, object| {
            let batch = match failed_batch(object) {
                Ok((_, batch)) => batch,
                Err(why) => return Ok(Some(format!("it cannot be read: {why:#}"))),
            };
            for line in batch.lines(reader.config) {
                if let Ok(event) = &line.event {
                    reader.need(event, Some(&line.origin), FAILED);
                }
                let line = known_line(&line);
                if reader.facts.span.has(line.received_at) {
                    reader.add(Fact::Failed(line))?;
                }
            }
            Ok(None)
        })
        .await
    }

    /// Reads the objects of `prefix` that may hold records that arrived at `from` or later: those that were written since
    /// then. Their names do not show that: they have the time of the batch's oldest record, which may have waited for days.
    /// `read` adds the facts of an object, and returns what of it cannot be read.
    async fn written_since(
        &mut self,
        prefix: &str,
        from: Timestamp,
        read: impl Fn(&mut Self, &[u8]) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.list(prefix, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for object in page.into_iter().filter(|object| object.written >= from) {
                seen += 1;
                (self.progress)("quarantined and failed objects", seen, None);
                let Some(bytes) = self.deployment.objects().get(&object.key).await? else { continue };
                let unreadable = read(self, &bytes)?;
                self.find_needed().await?;
                if let Some(detail) = unreadable {
                    let finding = AuditFinding::event(FindingKind::Unreadable, None, None, detail);
                    self.facts.faults.push(finding.within(&object.key));
                }
            }
        }
    }
}
