//! Looks through all that is stored from a time on, where the keys of what is looked for are not known.

use consumer_fn::read_again;
use serde::Deserialize;
use shared::archive::{each_line, members_of};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::facts::Facts;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::Origin;
use shared::time::Timestamp;
use shared::traces::is_same_trace;

use super::Wanted;
use super::way::{Quarantined, Record, Request, Saved, Waiting};
use crate::OnProgress;
use crate::archive::{RowsBackwards, SKEW, earlier, shards};
use crate::deployment::{Deployment, QueueName, ShardTail, Start};
use crate::failed_batch::failed_batch;

/// Shorter parts of a trace header are in too many of them.
const TRACE_CHARACTERS: usize = 16;

/// One place where an event was seen.
#[derive(Clone, Debug)]
pub(super) enum Sighting {
    Quarantined(Quarantined, Option<Request>),
    Failed(Saved, Request),
    Queued(Waiting, Request),
    OnStream(Record, Request),
    Archived(Origin),
}

pub(super) type Found = Vec<((TenantId, EventId), Sighting)>;

/// The members of an archive line by which an event is found.
#[derive(Deserialize)]
struct ArchivedLine {
    tenant: TenantId,
    id: EventId,
    admission_id: AdmissionId,
    trace: Option<String>,
    #[serde(flatten)]
    origin: Origin,
}

impl Wanted {
    fn is(
        &self,
        tenant: &TenantId,
        id: &EventId,
        admission_id: Option<AdmissionId>,
        trace: Option<&str>,
    ) -> bool {
        let is_id = |id: &str| {
            // The events of a request with a key in its header.
            id == self.id || id.strip_prefix(&*self.id).is_some_and(|rest| rest.starts_with('#'))
        };
        let is_traced = || {
            self.id.len() >= TRACE_CHARACTERS
                && trace
                    .is_some_and(|trace| trace.contains(self.id.as_str()) || is_same_trace(trace, &self.id))
        };
        self.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
            && (is_id(id.as_str()) || admission_id.is_some_and(|id| id.to_string() == self.id) || is_traced())
    }

    fn is_event(&self, facts: &Facts) -> bool {
        self.is(&facts.tenant, &facts.id, Some(facts.admission_id), facts.trace.as_deref())
    }
}

fn name(event: &Event) -> (TenantId, EventId) {
    (event.facts.tenant.clone(), event.facts.id.clone())
}

/// With the direction of the data, so that an event that moves on meanwhile is seen at least once.
pub(super) async fn search(
    deployment: &impl Deployment,
    config: &Config,
    wanted: &Wanted,
    from: Timestamp,
    progress: OnProgress<'_>,
) -> anyhow::Result<Found> {
    let mut search = Search { deployment, config, wanted, from, progress, found: Vec::new() };
    search.queues().await?;
    search.stream().await?;
    search.saved(key::QUARANTINE).await?;
    search.saved(key::FAILURE_DESTINATION).await?;
    search.archive().await?;
    Ok(search.found)
}

struct Search<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    wanted: &'a Wanted,
    from: Timestamp,
    progress: OnProgress<'a>,
    found: Found,
}

impl<D: Deployment> Search<'_, D> {
    async fn queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Spill, QueueName::SpillDead] {
            for message in self.deployment.messages(queue).await?.seen {
                for line in SpillMessage::read(&message.body).unwrap_or_default() {
                    let Ok(event) = serde_json::from_slice::<Event>(&line.line) else { continue };
                    if self.wanted.is_event(&event.facts) {
                        let waiting = Waiting { is_dead: queue == QueueName::SpillDead, sent: message.sent };
                        self.found.push((name(&event), Sighting::Queued(waiting, (&event).into())));
                    }
                }
            }
        }
        Ok(())
    }

    async fn stream(&mut self) -> anyhow::Result<()> {
        let until = self.deployment.clock().now().plus(SKEW);
        let mut seen = 0;
        for shard in self.deployment.shards().await? {
            let mut start = Start::At(earlier(self.from, SKEW));
            loop {
                let read = self.deployment.records(&shard, start.clone()).await?;
                let is_past = read.records.last().is_some_and(|record| record.arrival > until);
                seen += read.records.len() as u64;
                (self.progress)("records searched", seen, None);
                for record in read.records {
                    for line in record.batch(&shard).lines(self.config) {
                        let Ok(event) = &line.event else { continue };
                        if self.wanted.is_event(&event.facts) {
                            let sighting = Sighting::OnStream(Record::new(&line, event), event.into());
                            self.found.push((name(event), sighting));
                        }
                    }
                    start = Start::After(record.sequence_number);
                }
                if read.tail != ShardTail::More || is_past {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Quarantine, or the failure destination. Names of objects do not show when they were written.
    async fn saved(&mut self, prefix: &str) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.list(prefix, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let from = self.from;
            for object in page.into_iter().filter(|object| object.written >= from) {
                seen += 1;
                (self.progress)("quarantined and failed objects searched", seen, None);
                let Some(bytes) = self.deployment.objects().get(&object.key).await? else { continue };
                if prefix == key::QUARANTINE {
                    self.quarantine(&object.key, &bytes);
                } else {
                    self.failed(&object.key, &bytes);
                }
            }
        }
    }

    fn quarantine(&mut self, object: &str, bytes: &[u8]) {
        for line in QuarantineLine::read_each(bytes).flatten() {
            let event = read_again(&line.bytes, &line.origin, line.arrival, self.config).into_iter().next();
            let event = event.and_then(|(_, event)| event.ok());
            let name = match (&event, &line.tenant, &line.id) {
                (Some(event), ..) if self.wanted.is_event(&event.facts) => name(event),
                // What the consumer knew of it is in the line.
                (None, Some(tenant), Some(id)) if self.wanted.is(tenant, id, None, line.trace.as_deref()) => {
                    (tenant.clone(), id.clone())
                }
                _ => continue,
            };
            let QuarantineLine { reason, detail, origin, arrival, .. } = line;
            let object = object.to_owned();
            let quarantined =
                Quarantined { reason, detail, at: Saved { object, origin, arrival, why: None } };
            let request = event.as_ref().map(Request::from);
            self.found.push((name, Sighting::Quarantined(quarantined, request)));
        }
    }

    fn failed(&mut self, object: &str, bytes: &[u8]) {
        let Ok((why, batch)) = failed_batch(bytes) else { return };
        for line in batch.lines(self.config) {
            let Ok(event) = &line.event else { continue };
            if self.wanted.is_event(&event.facts) {
                let (object, origin, arrival) = (object.to_owned(), line.origin.clone(), line.arrival);
                let saved = Saved { object, origin, arrival, why: why.clone() };
                self.found.push((name(event), Sighting::Failed(saved, event.into())));
            }
        }
    }

    /// The tenant's members of each object; without a tenant, all.
    async fn archive(&mut self) -> anyhow::Result<()> {
        let mut seen = 0;
        for shard in shards(self.deployment, self.from, |_| ()).await?.into_keys() {
            let mut pages = RowsBackwards::new(self.from);
            while let Some(page) = pages.next(self.deployment, &shard).await? {
                for row in page.into_iter().flatten().filter(|row| row.received_at[1] >= self.from) {
                    seen += 1;
                    (self.progress)("archive objects searched", seen, None);
                    let objects = self.deployment.objects();
                    let members = match &self.wanted.tenant {
                        None => objects.get(&row.key).await?.into_iter().collect(),
                        // What cannot be read, the audit names.
                        Some(tenant) => match members_of(objects, &row, tenant).await {
                            Ok(found) => found.members.unwrap_or_default(),
                            Err(_) => continue,
                        },
                    };
                    for member in members {
                        let _what_could_be_read = each_line(&member, |line: ArchivedLine, _| {
                            let ArchivedLine { tenant, id, admission_id, trace, origin } = line;
                            if self.wanted.is(&tenant, &id, Some(admission_id), trace.as_deref()) {
                                self.found.push(((tenant, id), Sighting::Archived(origin)));
                            }
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
