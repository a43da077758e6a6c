//! Stored lines that are still needed: claim checks of events that are not done or failed, and large archive lines under
//! `texts/`. It asks only whether they are there and have their size. `deep.rs` reads them.

use shared::config::Config;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::ClaimCheck;
use shared::format::event_line::Event;
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::origin::Origin;

use super::balance::{AuditFinding, FindingKind};
use crate::deployment::Deployment;

#[derive(Debug)]
pub(super) struct Needed {
    claim_check: ClaimCheck,
    name: (TenantId, EventId),
    origin: Option<Origin>,
    /// What is stored there.
    what: &'static str,
}

impl Needed {
    pub(super) fn by_event(
        event: &Event,
        origin: Option<&Origin>,
        what: &'static str,
        config: &Config,
    ) -> Option<Self> {
        let claim_check = own_claim(event, config)?.clone();
        let name = (event.facts.tenant.clone(), event.facts.id.clone());
        Some(Self { claim_check, name, origin: origin.cloned(), what })
    }

    pub(super) fn by_line(line: ArchiveLine<'_>) -> Option<Self> {
        let ArchiveLine { facts, origin, claim_check, .. } = line;
        let name = (facts.tenant.clone(), facts.id.clone());
        Some(Self {
            claim_check: claim_check?,
            name,
            origin: Some(origin.into_owned()),
            what: "its archive line",
        })
    }

    /// A finding if it is not there as it should be.
    pub(super) async fn find(&self, deployment: &impl Deployment) -> anyhow::Result<Option<AuditFinding>> {
        let Self { claim_check, name: (tenant, id), origin, what } = self;
        let found = deployment.list(&claim_check.key, None).await?;
        let sizes = claim_check.part_keys().into_iter().map(|key| {
            let part = found.iter().find(|object| object.key == key);
            part.map(|object| object.bytes).ok_or(key)
        });
        let detail = match sizes.sum::<Result<u64, String>>() {
            Err(key) => format!("{what} should be in `{key}`, which does not exist"),
            Ok(bytes) if bytes != claim_check.bytes => {
                format!("{what} should have {} bytes here, and has {bytes}", claim_check.bytes)
            }
            Ok(_) => return Ok(None),
        };
        let finding = AuditFinding::event(FindingKind::Missing, Some((tenant, id)), origin.as_ref(), detail);
        Ok(Some(finding.within(&claim_check.key)))
    }
}

/// The claim check of a head, if it may be followed. Anyone who can write to the stream can make up another.
pub(super) fn own_claim<'a>(event: &'a Event, config: &Config) -> Option<&'a ClaimCheck> {
    let own_key = |sha256: &str| key::claim(&event.facts.tenant, &event.facts.id, sha256);
    let claim_check = event.claim_check.as_ref()?;
    claim_check.check(own_key, config.limits.claim_check_bytes as u64).is_ok().then_some(claim_check)
}
