//! What the bucket has besides: lines under `claims/` and `texts/`, whose keys have their checksums, sidecars of manifest
//! rows, and objects that nothing refers to.

use std::collections::{BTreeMap, HashSet};

use shared::digest::sha256;
use shared::format::archive_line::ArchiveLine;
use shared::format::event_line::Event;
use shared::format::key::{self, StoredLineKey};
use shared::format::manifest_row::TenantIndex;
use shared::gzip::{self, Cap};
use shared::limits;
use shared::objects::ObjectStore;
use shared::origin::ShardPosition;

use super::seen::{LargeLine, Seen};
use super::{Deep, Name};
use crate::archive::{SKEW, earlier, key_start};
use crate::deployment::{Deployment, ListedObject, ManifestPart};

/// The prefixes that Tidegate and the stack write to: the last has results of SQL queries.
const PREFIXES: [&str; 9] = [
    "aws/lambda/",
    "claims/",
    "erased/",
    "errors/",
    "events/dt=",
    "manifests/dt=",
    "queries/",
    "redriven/",
    "texts/",
];

/// One stored line: the key without a part, and its parts by their numbers.
type Parts = (String, BTreeMap<u32, String>);

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn bucket(&mut self) -> anyhow::Result<()> {
        self.stored_lines(key::CLAIMS).await?;
        self.stored_lines(key::TEXTS).await?;
        self.sidecars().await?;
        self.strangers().await
    }

    /// The next page of objects under `prefix` that were written in the span, and where it ends.
    pub(super) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> anyhow::Result<Option<(Vec<ListedObject>, String)>> {
        let mut page = self.deployment.list(prefix, after).await?;
        let Some(last) = page.last().map(|object| object.key.clone()) else { return Ok(None) };
        let from = earlier(self.span.from, SKEW);
        page.retain(|object| object.written >= from);
        Ok(Some((page, last)))
    }

    async fn stored_lines(&mut self, prefix: &str) -> anyhow::Result<()> {
        let mut after = None;
        let mut parts: Parts = (String::new(), BTreeMap::new());
        while let Some((page, last)) = self.page(prefix, after.as_deref()).await? {
            for ListedObject { key, .. } in page {
                let Some(StoredLineKey { part, whole, .. }) = StoredLineKey::parse(&key) else {
                    self.foreign(&key, "its key is not that of a stored line");
                    continue;
                };
                if parts.0 != whole {
                    let before = std::mem::replace(&mut parts, (whole.to_owned(), BTreeMap::new()));
                    self.stored_line(before).await?;
                }
                parts.1.insert(part, key);
            }
            after = Some(last);
        }
        self.stored_line(parts).await
    }

    async fn stored_line(&mut self, (whole, parts): Parts) -> anyhow::Result<()> {
        let Some(StoredLineKey { tenant, id, sha256: digest, .. }) = StoredLineKey::parse(&whole) else {
            return Ok(());
        };
        // A writer that is still writing, or died, leaves the first parts. That those are whole which are needed is a fact.
        let is_single = parts.values().eq([&whole]);
        let numbers = parts.keys().copied();
        if !is_single && !numbers.eq(0..u32::try_from(parts.len()).unwrap_or(u32::MAX)) {
            return Ok(());
        }
        let mut stored = Vec::new();
        for key in parts.values() {
            // Expired since it was listed.
            let Some(part) = self.deployment.objects().get(key).await? else { return Ok(()) };
            stored.extend_from_slice(&part);
        }
        if !is_single && stored.len() == parts.len() * limits::OBJECT_BYTES {
            return Ok(());
        }
        let name = (tenant, id);
        if sha256(&stored) != digest {
            self.event(&name, None, Some(&whole), "its bytes do not have the checksum in its key");
            return Ok(());
        }
        let cap =
            Cap { bytes: limits::RECORD_INFLATED_BYTES.max(16 * limits::OBJECT_BYTES), ratio: u32::MAX };
        let line = gzip::inflate(&stored, cap).unwrap_or_default();
        let (event, archived) = (
            serde_json::from_slice::<Event>(&line).ok(),
            serde_json::from_slice::<ArchiveLine<'_>>(&line).ok(),
        );
        let facts = event.as_ref().map(|event| &event.facts).or_else(|| Some(&*archived.as_ref()?.facts));
        let is_it = facts.is_some_and(|facts| (&facts.tenant, &facts.id) == (&name.0, &name.1));
        match archived {
            _ if !is_it => self.event(&name, None, Some(&whole), "it is not a line of the event in its key"),
            Some(line) if whole.starts_with(key::TEXTS) => self.seen.add(&Seen::Stored(LargeLine {
                key: whole.into(),
                origin: line.origin.into_owned(),
                tier: line.facts.tier.clone(),
                received_at: line.facts.received_at,
            }))?,
            _ => {}
        }
        Ok(())
    }

    /// A large line that no archive line refers to. An attempt that did not archive its line leaves it here; then another one
    /// did, or the event is in quarantine: among the `saved` ones.
    pub(super) async fn unreferenced(
        &mut self,
        line: &LargeLine,
        saved: &HashSet<Name>,
    ) -> anyhow::Result<()> {
        let LargeLine { key, origin, tier, received_at } = line;
        let lives = self.config.items.time_to_live(tier);
        if lives.is_some_and(|lives| received_at.plus(lives) <= self.began) {
            return Ok(());
        }
        let Some(StoredLineKey { tenant, id, .. }) = StoredLineKey::parse(key) else { return Ok(()) };
        let name = (tenant, id);
        if !self.is_committed(&origin.shard, &origin.into()).await? || saved.contains(&name) {
            return Ok(());
        }
        if let [None] = &self.items(std::slice::from_ref(&name)).await?[..] {
            self.foreign(key, "no archive line refers to it, and its event has no item");
        }
        Ok(())
    }

    /// Not if the ledger's row cannot be read.
    async fn is_committed(&self, shard: &str, position: &ShardPosition) -> anyhow::Result<bool> {
        let progress = self.progress_of(shard).await?;
        Ok(progress.is_some_and(|progress| progress.committed_end.is_none_or(|end| *position < end)))
    }

    async fn sidecars(&mut self) -> anyhow::Result<()> {
        let mut after = None;
        while let Some((page, last)) = self.page("manifests/", after.as_deref()).await? {
            for ListedObject { key, .. } in page {
                let object = key::archive_object_of(&key);
                let Some((shard, first)) = object.as_deref().and_then(key_start) else {
                    self.foreign(&key, "its key is not that of a sidecar");
                    continue;
                };
                let row = self.deployment.manifest_rows(shard, ManifestPart::At(&first)).await?.pop();
                // A row that cannot be read may refer to it.
                let is_its = row.is_some_and(|row| {
                    row.map_or(true, |row| {
                        row.first == first && row.tenants == TenantIndex::Sidecar(key.clone())
                    })
                });
                if !is_its && self.is_committed(shard, &first).await? {
                    self.foreign(&key, "no manifest row refers to it");
                }
            }
            after = Some(last);
        }
        Ok(())
    }

    /// Objects under no prefix of ours. What is under one is stepped over.
    async fn strangers(&mut self) -> anyhow::Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.deployment.list("", after.as_deref()).await?;
            let Some(end) = page.last().map(|object| object.key.clone()) else { return Ok(()) };
            let known = |key: &str| PREFIXES.iter().find(|prefix| key.starts_with(**prefix)).copied();
            let mut next = end;
            for ListedObject { key, .. } in page {
                if let Some(prefix) = known(&key) {
                    // No key is after this and under the prefix.
                    next = format!("{prefix}\u{10ffff}");
                    break;
                }
                self.foreign(&key, "Tidegate writes no such object");
            }
            after = Some(next);
        }
    }
}
