//! Stored lines that are still needed: claim checks of events that are not done or failed, and large archive lines under
//! `texts/`. It asks only whether they are there and have their size. `deep.rs` reads them.

use consumer_fn::{Batch, StreamLine};
use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::archive::each_line;
use shared::config::Config;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::key;
use shared::format::quarantine_line::QuarantineLine;
use shared::format::spill_message::SpillMessage;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};

use super::balance::{AuditFinding, FindingKind};
use crate::archive::{SKEW, Span, each_page, earlier};
use crate::deployment::{Deployment, QueueName, RetainedRecord};
use crate::failed_batch::failed_batch;

/// An archive line that is stored apart has a claim check.
#[derive(Deserialize)]
struct MaybeHead {
    claim_check: Option<IgnoredAny>,
}

/// Finds claim checks that are gone although an event needs them that is in the spill queue, or failed and can be redriven.
pub(super) async fn claims(
    deployment: &impl Deployment,
    config: &Config,
    span: Span,
) -> anyhow::Result<Vec<AuditFinding>> {
    let mut needed = Needed { deployment, config, span, findings: Vec::new() };
    needed.by_what_failed().await?;
    needed.by_queues().await?;
    Ok(needed.findings)
}

/// The same for the events of a record that are not done: those from `done_end` on.
pub(super) async fn by_record(
    deployment: &impl Deployment,
    config: &Config,
    span: Span,
    done_end: Option<&ShardPosition>,
    record: &RetainedRecord,
    shard: &str,
) -> anyhow::Result<Vec<AuditFinding>> {
    let mut needed = Needed { deployment, config, span, findings: Vec::new() };
    let is_open = |position: ShardPosition| done_end.is_none_or(|end| position >= *end);
    if is_open(ShardPosition::new(record.sequence_number.as_str(), u32::MAX)) {
        for StreamLine { origin, event, .. } in record.batch(shard).lines(config) {
            if let (Ok(event), true) = (event, is_open(ShardPosition::from(&origin))) {
                needed.by_event(&event, Some(&origin), "an event that is not done").await?;
            }
        }
    }
    Ok(needed.findings)
}

/// Finds the lines of an archive object that are stored apart and are gone.
pub(super) async fn texts(deployment: &impl Deployment, object: &[u8]) -> anyhow::Result<Vec<AuditFinding>> {
    let mut heads: Vec<ArchiveLine<'static>> = Vec::new();
    // An object that cannot be read is a finding already.
    let _unreadable = each_line(object, |MaybeHead { claim_check }, line| {
        heads.extend(claim_check.and_then(|_| shared::archive::line(line).ok()));
    });
    let mut findings = Vec::new();
    for head in heads {
        let Some(claim_check) = &head.claim_check else { continue };
        let name = Some((&head.facts.tenant, &head.facts.id));
        let gone = gone(deployment, claim_check, "its archive line").await?;
        findings.extend(gone.map(|detail| {
            let finding = AuditFinding::event(FindingKind::Missing, name, Some(&head.origin), detail);
            finding.within(&claim_check.key)
        }));
    }
    Ok(findings)
}

struct Needed<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    span: Span,
    findings: Vec<AuditFinding>,
}

impl<D: Deployment> Needed<'_, D> {
    async fn by_what_failed(&mut self) -> anyhow::Result<()> {
        let from = earlier(self.span.from, SKEW);
        let mut keys = Vec::new();
        for prefix in [key::QUARANTINE, key::FAILURE_DESTINATION] {
            each_page(self.deployment, prefix, None, |page| {
                let within = page.into_iter().filter(|object| object.written >= from);
                keys.extend(within.map(|object| object.key));
            })
            .await?;
        }
        for key in keys {
            let Some(object) = self.deployment.objects().get(&key).await? else { continue };
            for (origin, event) in failed(&key, &object, self.config) {
                self.by_event(&event, Some(&origin), "an event that failed").await?;
            }
        }
        Ok(())
    }

    async fn by_queues(&mut self) -> anyhow::Result<()> {
        for queue in [QueueName::Spill, QueueName::SpillDead] {
            for message in self.deployment.messages(queue).await?.seen {
                for line in SpillMessage::read(&message.body).unwrap_or_default() {
                    let Ok(event) = serde_json::from_slice::<Event>(&line.line) else { continue };
                    self.by_event(&event, None, "a spilled event").await?;
                }
            }
        }
        Ok(())
    }

    async fn by_event(&mut self, event: &Event, origin: Option<&Origin>, whose: &str) -> anyhow::Result<()> {
        let Some(claim_check) = own_claim(event, self.config) else { return Ok(()) };
        if !self.span.has(event.facts.received_at) {
            return Ok(());
        }
        let name = Some((&event.facts.tenant, &event.facts.id));
        let gone = gone(self.deployment, claim_check, &format!("the claim check of {whose}")).await?;
        self.findings.extend(gone.map(|detail| {
            AuditFinding::event(FindingKind::Missing, name, origin, detail).within(&claim_check.key)
        }));
        Ok(())
    }
}

/// The claim check of a head, if it may be followed. Anyone who can write to the stream can make up another.
pub(super) fn own_claim<'a>(event: &'a Event, config: &Config) -> Option<&'a ClaimCheck> {
    let own_key = |sha256: &str| key::claim(&event.facts.tenant, &event.facts.id, sha256);
    let claim_check = event.claim_check.as_ref()?;
    claim_check.check(own_key, config.limits.claim_check_bytes as u64).is_ok().then_some(claim_check)
}

/// The events of an object in quarantine or at the failure destination, but not those that are there because their claim
/// check is gone.
fn failed(key: &str, object: &[u8], config: &Config) -> Vec<(Origin, Event)> {
    if key.starts_with(key::FAILURE_DESTINATION) {
        let Ok((_, batch)) = failed_batch(object) else { return Vec::new() };
        return batch.lines(config).filter_map(|line| Some((line.origin, line.event.ok()?))).collect();
    }
    let lines = QuarantineLine::read_all(object).unwrap_or_default().into_iter();
    let waiting = lines.filter(|line| !line.reason.starts_with("claim"));
    waiting.filter_map(|line| Some((line.origin.clone(), event_of(&line, config)?))).collect()
}

fn event_of(line: &QuarantineLine, config: &Config) -> Option<Event> {
    let Origin { shard, sequence_number, .. } = &line.origin;
    let batch = Batch::of_record(shard, sequence_number, None, line.arrival, line.bytes.clone());
    batch.lines(config).next()?.event.ok()
}

/// What of a stored line is not there.
async fn gone(
    deployment: &impl Deployment,
    claim_check: &ClaimCheck,
    whose: &str,
) -> anyhow::Result<Option<String>> {
    let found = deployment.list(&claim_check.key, None).await?;
    let sizes = claim_check.part_keys().into_iter().map(|key| {
        let part = found.iter().find(|object| object.key == key);
        part.map(|object| object.bytes).ok_or(key)
    });
    Ok(match sizes.sum::<Result<u64, String>>() {
        Err(key) => Some(format!("{whose} should be in `{key}`, which does not exist")),
        Ok(bytes) if bytes != claim_check.bytes => {
            Some(format!("{whose} should have {} bytes here, and has {bytes}", claim_check.bytes))
        }
        Ok(_) => None,
    })
}
