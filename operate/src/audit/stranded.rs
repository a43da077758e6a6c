//! What lies on the stream and in no place behind it: the audit's judgement over lines of the stream, for who brings
//! back what the event source mapping dropped.
//!
//! Where the audit reads the archive, here the manifest has to do: an event is archived if an object covers the place that
//! its item names. So only lines are judged that no object covers, and memory is needed for these alone.

use std::collections::HashSet;
use std::sync::Arc;

use consumer_fn::StreamLine;
use shared::config::Config;
use shared::origin::{Origin, ShardPosition};
use shared::time::{Clock, Timestamp};

use super::account;
use super::facts::{Event, Facts, Item, Kept, Line, Object};
use super::gather::{Reader, arrival};
use crate::archive::Span;
use crate::deployment::Deployment;
use crate::progress::Progress;

/// The places that a line of the stream may have gone to, but for archive and items: these are asked when it is judged.
pub(crate) struct Elsewhere<'a, D> {
    deployment: &'a D,
    config: &'a Config,
    facts: Facts,
    progress: Progress<'a>,
}

impl<'a, D: Deployment> Elsewhere<'a, D> {
    /// Reads them for lines that arrived at `from` or later. How far each shard is done comes first, so that whatever of a
    /// line that is done is anywhere is found.
    pub(crate) async fn read(
        deployment: &'a D,
        config: &'a Config,
        from: Timestamp,
        progress: Progress<'a>,
    ) -> anyhow::Result<Self> {
        // Of no place is it known that the stream has nothing there: only a part of it is looked at.
        let never = Timestamp::from_unix_ms(i64::MAX);
        let facts = Facts::none(Span::default(), never, Clock::system().now());
        let mut reader = Reader::new(deployment, config, facts, progress);
        for shard in deployment.shards().await? {
            reader.shard(&shard.into()).await?;
        }
        reader.quarantine(from).await?;
        reader.failures(from).await?;
        reader.queues().await?;
        Ok(Self { deployment, config, facts: reader.facts, progress })
    }

    /// The shards of which anything is done, and the first place that is not.
    pub(crate) fn done_before(&self) -> impl Iterator<Item = (Arc<str>, ShardPosition)> {
        let known = self.facts.shards.iter();
        known.filter_map(|(shard, known)| Some((shard.clone(), known.done_before.clone()?)))
    }

    /// Where those of `lines` lie that are in no place, and are to be brought back. The lines are done, and no archive
    /// object covers them.
    pub(crate) async fn stranded(&self, lines: &[StreamLine]) -> anyhow::Result<HashSet<Origin>> {
        let arrivals: Vec<_> = lines.iter().map(arrival).collect();
        let origins: HashSet<_> = arrivals.iter().map(|arrival| arrival.origin.clone()).collect();
        let events = arrivals.iter().filter_map(|arrival| arrival.event.as_ref());
        let admissions: HashSet<_> = events.map(|event| event.admission_id).collect();
        let is_theirs = |event: &&Event| admissions.contains(&event.admission_id);
        let is_of_them = |kept: &&Kept| {
            origins.contains(&kept.origin) || kept.event.as_ref().is_some_and(|event| is_theirs(&event))
        };
        let facts = Facts {
            shards: self.facts.shards.clone(),
            arrivals,
            quarantined: self.facts.quarantined.iter().filter(is_of_them).cloned().collect(),
            failed: self.facts.failed.iter().filter(is_of_them).cloned().collect(),
            spilled: self.facts.spilled.iter().filter(is_theirs).cloned().collect(),
            dead: self.facts.dead.iter().filter(is_theirs).cloned().collect(),
            ..Facts::none(self.facts.span, self.facts.stream_from, self.facts.now)
        };
        let mut reader = Reader::new(self.deployment, self.config, facts, self.progress);
        reader.other_items().await?;
        let elsewhere =
            |item: &&Item| admissions.contains(&item.admission_id) && !origins.contains(&item.origin);
        for item in reader.facts.items.clone().iter().filter(elsewhere) {
            let (shard, place) = (&item.origin.shard, ShardPosition::from(&item.origin));
            if !reader.facts.shards.contains_key(shard) {
                reader.shard(shard).await?;
            }
            let row = self.deployment.manifest_at(shard, &place).await?;
            if let Some(row) = row.filter(|row| place < row.end) {
                let line = Line {
                    tenant: item.tenant.clone(),
                    id: item.id.clone(),
                    admission_id: item.admission_id,
                    origin: item.origin.clone(),
                    received_at: row.received_at[0],
                    item_until: None,
                };
                reader.facts.objects.push(Object { key: row.key, lines: vec![line] });
            }
        }
        Ok(account::stranded(&reader.facts))
    }
}
