//! Finds events that are only on the stream although they are done, for the redrive of events that were dropped.
//!
//! It judges as the audit does, with the manifest in place of the archive: an event is archived if an object covers the
//! origin that its item names. So it needs memory only for lines that no object covers.

use std::collections::HashSet;
use std::sync::Arc;

use consumer_fn::StreamLine;
use shared::config::Config;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::account;
use super::facts::{ArchivedLine, ArchivedObject, AuditFacts, KnownEvent, KnownItem, KnownLine};
use super::gather::{FactReader, known_line};
use crate::OnProgress;
use crate::archive::covering;
use crate::deployment::Deployment;

/// What is in quarantine, at the failure destination and in the queues. Manifest and items are read for each judgement.
pub(crate) struct Elsewhere<'a, D>(FactReader<'a, D>);

impl<'a, D: Deployment> Elsewhere<'a, D> {
    /// Reads them for lines that arrived at `from` or later. It reads first how far each shard is done, so that every
    /// trace of a done line is found.
    pub(crate) async fn read(
        deployment: &'a D,
        config: &'a Config,
        from: Timestamp,
        progress: OnProgress<'a>,
    ) -> anyhow::Result<Self> {
        // Only a part of the stream is read, so of no origin is it known that the stream has nothing there.
        let stream_from = Timestamp::from_unix_ms(i64::MAX);
        let facts = AuditFacts { stream_from, now: deployment.clock().now(), ..AuditFacts::default() };
        let mut reader = FactReader::new(deployment, config, facts, progress);
        for shard in deployment.shards().await? {
            reader.shard(&shard.into()).await?;
        }
        reader.quarantine(from).await?;
        reader.failures(from).await?;
        reader.queues().await?;
        Ok(Self(reader))
    }

    /// The shards with anything done, and the exclusive end of it.
    pub(crate) fn done_end(&self) -> impl Iterator<Item = (Arc<str>, ShardPosition)> {
        let known = self.0.facts.shards.iter();
        known.filter_map(|(shard, known)| Some((shard.clone(), known.done_end.clone()?)))
    }

    /// The origins of those lines that are stored nowhere and must be redriven. All `lines` must be done and covered by no
    /// archive object.
    pub(crate) async fn stranded(&self, lines: &[StreamLine]) -> anyhow::Result<HashSet<Origin>> {
        let arrivals: Vec<_> = lines.iter().map(known_line).collect();
        let origins: HashSet<_> = arrivals.iter().map(|arrival| arrival.origin.clone()).collect();
        let events = arrivals.iter().filter_map(|arrival| arrival.event.as_ref());
        let admissions: HashSet<_> = events.map(|event| event.admission_id).collect();
        let is_theirs = |event: &&KnownEvent| admissions.contains(&event.admission_id);
        let is_of_them = |line: &&KnownLine| {
            origins.contains(&line.origin) || line.event.as_ref().is_some_and(|event| is_theirs(&event))
        };
        let FactReader { deployment, config, facts: known, progress, .. } = &self.0;
        let facts = AuditFacts {
            shards: known.shards.clone(),
            arrivals,
            quarantined: known.quarantined.iter().filter(is_of_them).cloned().collect(),
            failed: known.failed.iter().filter(is_of_them).cloned().collect(),
            spilled: known.spilled.iter().filter(is_theirs).cloned().collect(),
            dead: known.dead.iter().filter(is_theirs).cloned().collect(),
            stream_from: known.stream_from,
            now: known.now,
            ..AuditFacts::default()
        };
        let mut reader = FactReader::new(*deployment, config, facts, *progress);
        reader.other_items().await?;
        let elsewhere =
            |item: &&KnownItem| admissions.contains(&item.admission_id) && !origins.contains(&item.origin);
        for item in reader.facts.items.clone().iter().filter(elsewhere) {
            reader.shard(&item.origin.shard).await?;
            if let Some(row) = covering(*deployment, &item.origin).await? {
                let event = KnownEvent {
                    tenant: item.tenant.clone(),
                    id: item.id.clone(),
                    admission_id: item.admission_id,
                    content_hash: item.content_hash.clone(),
                    received_at: row.received_at[0],
                };
                let line = ArchivedLine { event, origin: item.origin.clone(), item_until: None };
                reader.facts.objects.push(ArchivedObject { key: row.key, lines: vec![line] });
            }
        }
        Ok(account::stranded(&reader.facts))
    }
}
