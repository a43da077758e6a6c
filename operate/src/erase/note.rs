//! The note of an erasure. It has no personal data: the tenant, a digest of the event's name, positions on shards, and counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use shared::digest::sha256;
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::report::Counts;
use super::{Erasable, Wanted};
use crate::archive::each_page;
use crate::deployment::Deployment;

const VERSION: u32 = 1;

/// Which events are erased. The names are on disk: never rename them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erasure {
    v: u32,
    tenant: TenantId,
    /// [`digest`] of the one event. `None`: all of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// When the ends were read.
    pub(crate) begun: Timestamp,
    /// The exclusive end of what is erased, for each shard.
    ends: BTreeMap<Arc<str>, ShardPosition>,
    /// Nothing of it is stored any more, except what the report of that run names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<Timestamp>,
    #[serde(default)]
    pub(crate) removed: Counts,
}

impl Erasure {
    pub(super) fn new(wanted: &Wanted, begun: Timestamp, ends: BTreeMap<Arc<str>, ShardPosition>) -> Self {
        Self {
            v: VERSION,
            tenant: wanted.tenant.clone(),
            event: wanted.event.as_ref().map(|id| digest(&wanted.tenant, id)),
            begun,
            ends,
            finished: None,
            removed: Counts::default(),
        }
    }

    pub(super) fn key(&self) -> String {
        key::erasure_note(&self.tenant, self.event.as_deref(), self.begun)
    }

    pub(super) async fn write(&self, key: &str, deployment: &impl Erasable) -> anyhow::Result<()> {
        deployment.put_object(key, serde_json::to_vec(self)?.into()).await
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) fn is_of(&self, tenant: &TenantId, id: &EventId) -> bool {
        self.tenant == *tenant && self.event.as_ref().is_none_or(|event| *event == digest(tenant, id))
    }

    pub(super) fn is_done(&self, origin: &Origin) -> bool {
        self.ends.get(&origin.shard).is_some_and(|end| ShardPosition::from(origin) < *end)
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &str> {
        self.ends.keys().map(|shard| &**shard)
    }

    /// `None` if nothing of the shard is erased.
    pub(super) fn end(&self, shard: &str) -> Option<&ShardPosition> {
        self.ends.get(shard)
    }
}

/// An event's name, so that it cannot be read from the note.
fn digest(tenant: &TenantId, id: &EventId) -> String {
    sha256(key::idempotency(tenant, id).as_bytes())
}

/// All erasures of a deployment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Erasures(Vec<(String, Erasure)>);

impl Erasures {
    pub(crate) async fn read(deployment: &impl Deployment) -> anyhow::Result<Self> {
        let (mut keys, mut all) = (Vec::new(), Vec::new());
        each_page(deployment, key::ERASED, None, |page| {
            keys.extend(page.into_iter().map(|object| object.key));
        })
        .await?;
        for key in keys {
            let Some(note) = deployment.objects().get(&key).await? else { continue };
            let erasure: Erasure =
                serde_json::from_slice(&note).with_context(|| format!("the note of an erasure `{key}`"))?;
            ensure!(
                erasure.v <= VERSION,
                "the note `{key}` has version {}, this program knows {VERSION}",
                erasure.v
            );
            all.push((key, erasure));
        }
        Ok(Self(all))
    }

    /// The one of the same events that is not finished.
    pub(super) fn open(self, wanted: &Wanted) -> Option<(String, Erasure)> {
        let event = wanted.event.as_ref().map(|id| digest(&wanted.tenant, id));
        let mut open = self.0.into_iter().filter(|(_, erasure)| erasure.finished.is_none());
        open.find(|(_, erasure)| erasure.tenant == wanted.tenant && erasure.event == event)
    }

    /// Whether the event that was at this origin is to be stored no more.
    pub(crate) fn has(&self, tenant: &TenantId, id: &EventId, origin: &Origin) -> bool {
        self.0.iter().any(|(_, erasure)| erasure.is_of(tenant, id) && erasure.is_done(origin))
    }

    /// The same for an event that was never on the stream.
    pub(crate) fn has_queued(&self, tenant: &TenantId, id: &EventId, received_at: Timestamp) -> bool {
        self.0.iter().any(|(_, erasure)| erasure.is_of(tenant, id) && received_at <= erasure.begun)
    }

    /// When it was erased, if nothing of it should be stored.
    pub(crate) fn finished(&self, tenant: &TenantId, id: &EventId, origin: &Origin) -> Option<Timestamp> {
        let of_event = self.0.iter().filter(|(_, it)| it.is_of(tenant, id) && it.is_done(origin));
        of_event.filter_map(|(_, erasure)| erasure.finished).max()
    }

    /// Whether an erasure of the event is not finished: some of its copies may be gone, and others not.
    pub(crate) fn is_open(&self, tenant: &TenantId, id: &EventId, origin: Option<&Origin>) -> bool {
        let mut open = self.0.iter().filter(|(_, erasure)| erasure.finished.is_none());
        open.any(|(_, it)| it.is_of(tenant, id) && origin.is_none_or(|origin| it.is_done(origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This note was in a bucket on 28 November 2026.
    const GOLDEN: &str = r#"{"v":1,"tenant":"acme","event":"fd2655db8449008b2ee530736a8547ce1ddcb2791117572724eb62c166e79ef1","begun":"2026-11-28T09:30:00.000Z","ends":{"shardId-000000000000":{"sequence_number":"4951","position":1}},"removed":{"dispatch_messages":0,"spilled":0,"dead_letters":0,"quarantine_lines":0,"failed_records":0,"redrive_notes":0,"archive_lines":1,"archive_objects":0,"items":1,"claim_checks":0,"large_lines":0}}"#;

    fn origin(number: &str) -> Origin {
        Origin { shard: "shardId-000000000000".into(), sequence_number: number.into(), position: 0 }
    }

    fn wanted(event: Option<&str>) -> Wanted {
        let event = event.map(|id| EventId::parse(id).unwrap());
        Wanted { tenant: TenantId::parse("acme").unwrap(), event }
    }

    fn erasure(event: Option<&str>) -> Erasure {
        let ends = [("shardId-000000000000".into(), ShardPosition::new("4951", 1))].into();
        let begun = serde_json::from_str("\"2026-11-28T09:30:00.000Z\"").unwrap();
        Erasure::new(&wanted(event), begun, ends)
    }

    #[test]
    fn a_golden_note_is_read_and_written_to_the_same_bytes_and_does_not_name_the_event() {
        let mut written = erasure(Some("jo@example.com"));
        written.removed = Counts { archive_lines: 1, items: 1, ..Counts::default() };
        assert_eq!(serde_json::to_string(&written).unwrap(), GOLDEN);
        assert_eq!(serde_json::from_str::<Erasure>(GOLDEN).unwrap(), written);
        assert!(!written.key().contains("jo"));
    }

    #[test]
    fn an_erasure_is_of_its_events_up_to_its_ends() {
        let [acme, beta] = ["acme", "beta"].map(|tenant| TenantId::parse(tenant).unwrap());
        let [one, other] = ["1", "2"].map(|id| EventId::parse(id).unwrap());
        let all = Erasures(vec![("k".to_owned(), erasure(None))]);
        assert!(all.has(&acme, &one, &origin("4951")) && all.has(&acme, &other, &origin("95")));
        assert!(!all.has(&beta, &one, &origin("95")) && !all.has(&acme, &one, &origin("4952")));
        let single = Erasures(vec![("k".to_owned(), erasure(Some("1")))]);
        assert!(single.has(&acme, &one, &origin("95")) && !single.has(&acme, &other, &origin("95")));
        assert!(single.is_open(&acme, &one, None) && single.finished(&acme, &one, &origin("95")).is_none());
        assert!(single.clone().open(&wanted(Some("1"))).is_some() && single.open(&wanted(None)).is_none());
    }
}
