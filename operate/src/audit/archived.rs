//! Reads the facts of manifest and archive: shard after shard, page after page.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use shared::archive::{NotRead, ranges_of};
use shared::format::manifest_row::{ManifestRow, TenantRange};
use shared::objects::{FoundObject, ObjectStore};

use super::balance::AuditFinding;
use super::facts::Fact;
use super::gather::FactReader;
use super::needed::Needed;
use super::objects;
use crate::archive::{self, RowsBackwards, gone, key_start};
use crate::deployment::Deployment;

/// Objects that are fetched at the same time. Each is at most 5,000,000 bytes.
const FETCHES: usize = 4;

/// How many objects were read, of how many that were listed.
struct Done(u64, u64);

impl<D: Deployment> FactReader<'_, D> {
    /// Reads the objects that may hold events of the span, and all objects that the manifest does not have. `shards` are
    /// those of the stream.
    pub(super) async fn archive(&mut self, mut shards: BTreeSet<Arc<str>>) -> anyhow::Result<()> {
        let from = self.facts.span.from;
        let mut listed = BTreeSet::new();
        let archived = archive::shards(self.deployment, from, |page| {
            listed.extend(page.into_iter().map(|object| object.key));
            (self.progress)("listed objects", listed.len() as u64, None);
        });
        // Shards that the stream no longer has do not change any more.
        shards.extend(archived.await?.into_keys().map(Arc::from));
        let mut done = Done(0, listed.len() as u64);
        for shard in shards {
            self.shard(&shard).await?;
            self.of_manifest(&shard, &mut listed, &mut done).await?;
        }
        // The manifest names the objects that are there or should be. An object that it does not have yet may be named after
        // an earlier time; then the ledger announces it.
        let unknown: Vec<_> =
            listed.union(&self.intents).map(|key| (key.clone(), None, listed.contains(key))).collect();
        self.objects(unknown, &mut done).await
    }

    /// Reads the objects of a shard that the manifest has, and takes them from `listed`.
    async fn of_manifest(
        &mut self,
        shard: &str,
        listed: &mut BTreeSet<String>,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let mut pages = RowsBackwards::new(self.facts.span.from);
        let mut later: Option<ManifestRow> = None;
        while let Some(page) = pages.next(self.deployment, shard).await? {
            let mut wanted = Vec::new();
            for row in page {
                let row = match row {
                    Ok(row) => row,
                    Err(unreadable) => {
                        self.unreadable(unreadable.to_string());
                        // What it covers is unknown.
                        later = None;
                        continue;
                    }
                };
                self.facts.faults.extend(later.as_ref().and_then(|later| objects::overlap(&row, later)));
                let is_listed = listed.remove(&row.key);
                self.intents.remove(&row.key);
                if self.facts.span.overlaps(row.received_at) {
                    wanted.push((row.key.clone(), Some(row.clone()), is_listed));
                }
                later = Some(row);
            }
            self.objects(wanted, done).await?;
        }
        Ok(())
    }

    /// Fetches objects, and reads one after the other. Each is given with its row, and whether it was listed.
    async fn objects(
        &mut self,
        wanted: Vec<(String, Option<ManifestRow>, bool)>,
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let deployment = self.deployment;
        let fetched = wanted.into_iter().map(|(key, row, is_listed)| async move {
            let found = fetch(deployment, &key, row.as_ref()).await;
            found.map(|found| (key, row, is_listed, found))
        });
        let mut fetched = futures::stream::iter(fetched).buffered(FETCHES);
        while let Some(next) = fetched.next().await {
            let (key, row, is_listed, found) = next?;
            self.object(&key, row.as_ref(), is_listed, found)?;
            self.find_needed().await?;
            done.0 += 1;
            // More objects may have been written since they were listed.
            (self.progress)("archive objects", done.0, Some(done.1.max(done.0)));
        }
        Ok(())
    }

    /// Reads an object's lines, and compares it with its row.
    fn object(
        &mut self,
        key: &str,
        row: Option<&ManifestRow>,
        is_listed: bool,
        fetched: Fetched,
    ) -> anyhow::Result<()> {
        let Some((found, ranges)) = fetched else {
            let unrecorded = || is_listed.then(|| "it was listed, and does not exist".to_owned());
            let why = row.map(gone).or_else(unrecorded);
            self.facts.faults.extend(why.map(|why| AuditFinding::object(key, why)));
            return Ok(());
        };
        let ranges = ranges.unwrap_or_else(|why| {
            self.facts.faults.push(AuditFinding::object(key, why));
            None
        });
        let end = row.map(|row| row.end.clone()).or(found.covers_end);
        let (noted, span) = (row.zip(ranges.as_deref()), self.facts.span);
        let (mut added, mut has_lines, mut needed) = (Ok(()), false, Vec::new());
        let faults =
            objects::read(key, &found.bytes, noted, end.as_ref(), &self.config.items, |line, head| {
                needed.extend(head.and_then(Needed::by_line));
                if span.has(line.event.received_at) && added.is_ok() {
                    has_lines = true;
                    added = self.add(Fact::Archived(line));
                }
            });
        added?;
        self.needed.extend(needed);
        self.facts.faults.extend(faults);
        // Of an object that the ledger announces, the next attempt writes the row. There may be none for long, if the batch failed for good
        // after it wrote the object: then the shard is done beyond it.
        if row.is_none() && has_lines && !self.intents.contains(key) && self.is_committed(key) {
            let detail = "the ledger has committed beyond it, and the manifest does not have it";
            self.facts.faults.push(AuditFinding::object(key, detail));
        }
        Ok(())
    }

    /// An object of that name must be in the manifest by now.
    fn is_committed(&self, key: &str) -> bool {
        let Some((shard, first)) = key_start(key) else { return true };
        let shard = self.facts.shards.get(shard);
        shard.and_then(|shard| shard.done_end.as_ref()).is_some_and(|done_end| first < *done_end)
    }
}

/// An object, and the ranges of its row, or why they cannot be read. `None` if the object does not exist.
type Fetched = Option<(FoundObject, Result<Option<Vec<TenantRange>>, String>)>;

async fn fetch(
    deployment: &impl Deployment,
    key: &str,
    row: Option<&ManifestRow>,
) -> anyhow::Result<Fetched> {
    let Some(found) = deployment.objects().find(key).await? else { return Ok(None) };
    let ranges = match row {
        None => Ok(None),
        Some(row) => match ranges_of(deployment.objects(), row).await {
            Ok((ranges, _)) => Ok(Some(ranges)),
            Err(NotRead::Unreadable(why)) => Err(why),
            Err(failure) => return Err(failure.into()),
        },
    };
    Ok(Some((found, ranges)))
}
