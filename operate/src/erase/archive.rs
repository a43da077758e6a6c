//! The archive: each object that the manifest lists, and that has the tenant's lines.

use shared::archive::{NotRead, each_line, line as parsed, members_of, ranges_of};
use shared::format::archive_line::Identity;
use shared::format::manifest_row::{ManifestRow, TenantIndex, TenantRange};
use shared::objects::ObjectStore;

use super::member::{cut, row as row_of};
use super::{Erasable, Eraser};
use crate::archive::gone;
use crate::deployment::{ManifestPart, first};

/// What the tenant's members of an object hold.
#[derive(Default)]
struct Found {
    /// All lines of the tenant.
    lines: usize,
    /// Those that are erased.
    due: u64,
    /// Where their whole lines are, if they are heads.
    large: Vec<String>,
}

impl<D: Erasable> Eraser<'_, D> {
    pub(super) async fn archive(&mut self) -> anyhow::Result<()> {
        for shard in self.erasure.shards().map(str::to_owned).collect::<Vec<_>>() {
            let (mut after, mut seen) = (None, 0);
            loop {
                let page = self.deployment.manifest_rows(&shard, ManifestPart::After(after.as_ref())).await?;
                let Some(last) = page.iter().rev().find_map(first).cloned() else { break };
                after = Some(last);
                for row in page {
                    seen += 1;
                    (self.progress)("manifest rows", seen, None);
                    match row {
                        Ok(row) => self.row(&shard, row).await?,
                        Err(unreadable) => self.report.unreadable(unreadable.to_string()),
                    }
                }
            }
        }
        Ok(())
    }

    async fn row(&mut self, shard: &str, row: ManifestRow) -> anyhow::Result<()> {
        let objects = self.deployment.objects();
        let tenant = self.erasure.tenant();
        let ranges = match ranges_of(objects, &row).await {
            Ok((ranges, _)) => ranges,
            Err(NotRead::Store(failure)) => return Err(failure.into()),
            Err(NotRead::Unreadable(why)) => {
                // A sidecar expires with its object.
                if objects.get(&row.key).await?.is_some() {
                    self.report.unreadable(format!("{}: {why}", row.key));
                }
                return Ok(());
            }
        };
        let of_tenant: Vec<_> = ranges.iter().filter(|range| range.tenant == *tenant).collect();
        if of_tenant.is_empty() {
            return Ok(());
        }
        let found = match self.read(&row).await {
            Ok(Some(found)) => found,
            // It has expired, or is lost: the audit tells the two apart.
            Ok(None) => return Ok(()),
            Err(NotRead::Store(failure)) => return Err(failure.into()),
            Err(NotRead::Unreadable(why)) => {
                self.report.unreadable(format!("{}: {why}", row.key));
                return Ok(());
            }
        };
        if self.erasure.end(shard).is_none_or(|end| row.end > *end) {
            self.report.later.archive_lines += found.due;
            return Ok(());
        }
        self.found(|counts| &mut counts.archive_lines, found.due);
        self.found(|counts| &mut counts.archive_objects, u64::from(found.due > 0));
        // A run that died between an object and its row has left the row of before.
        let is_noted = found.lines == of_tenant.iter().map(|range: &&TenantRange| range.lines).sum::<usize>();
        if self.apply && (found.due > 0 || !is_noted) {
            self.cut(shard, row, found).await?;
        }
        Ok(())
    }

    /// The tenant's members, and no other byte.
    async fn read(&self, row: &ManifestRow) -> Result<Option<Found>, NotRead> {
        let read = members_of(self.deployment.objects(), row, self.erasure.tenant()).await?;
        let Some(members) = read.members else { return Ok(None) };
        let mut found = Found::default();
        for member in members {
            each_line(&member, |line: Identity, bytes| {
                found.lines += 1;
                if self.erasure.is_of(&line.tenant, &line.id) {
                    found.due += 1;
                    let head = line.is_head().then(|| parsed(bytes).ok()).flatten();
                    let keys = head.and_then(|head| head.claim_check).map(|it| it.part_keys());
                    found.large.extend(keys.into_iter().flatten());
                }
            })?;
        }
        Ok(Some(found))
    }

    /// Large lines first, while their heads name them; then the object; then its row, which names the tenant until then; then the
    /// sidecar. A run that dies in between is repeated from what is named.
    async fn cut(&mut self, shard: &str, row: ManifestRow, found: Found) -> anyhow::Result<()> {
        for key in &found.large {
            self.deployment.delete_object(key).await?;
        }
        self.found(|counts| &mut counts.large_lines, found.large.len() as u64);
        self.removed(|counts| &mut counts.large_lines, found.large.len() as u64);
        let erasure = self.erasure;
        let mut without = |found: &shared::objects::FoundObject| {
            Ok(cut(&found.bytes, erasure)?.map(|cut| cut.bytes.into()))
        };
        self.deployment.rewrite(&row.key, &mut without).await?;
        let Some(object) = self.deployment.objects().get(&row.key).await? else {
            self.report.unreadable(format!("{}: {}", row.key, gone(&row)));
            return Ok(());
        };
        let (row, sidecar) = row_of(&row, &object)?;
        self.deployment.note_row(shard, &row).await?;
        if let (Some(sidecar), TenantIndex::Sidecar(key)) = (sidecar, &row.tenants) {
            self.deployment.put_object(key, sidecar.into()).await?;
        }
        self.removed(|counts| &mut counts.archive_lines, found.due);
        self.removed(|counts| &mut counts.archive_objects, u64::from(found.due > 0));
        Ok(())
    }
}
