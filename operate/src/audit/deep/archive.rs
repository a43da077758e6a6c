//! Archive objects with their manifest rows, archive lines with items, heads with the lines under `texts/`.

use consumer_fn::Ledger;
use shared::archive::{NotRead, each_line_of_first, line as parsed, whole_line};
use shared::format::archive_line::ArchiveLine;
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::objects::{FoundObject, ObjectStore};
use shared::time::Timestamp;

use super::super::balance::AuditFinding;
use super::{Deep, Name, listed};
use crate::archive::{self, key_start, manifest};
use crate::deployment::Deployment;

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn archive(&mut self) -> anyhow::Result<()> {
        let shards = archive::shards(self.deployment, self.span.from, |_| ()).await?;
        let mut done = 0;
        for shard in shards.into_keys() {
            let rows = manifest(self.deployment, &shard, self.span.from).await?;
            let span = self.span;
            for row in rows.iter().filter(|row| span.overlaps(row.received_at)) {
                self.object_of(&shard, row).await?;
                done += 1;
                (self.progress)("archive objects compared", done, None);
            }
            self.ledger(&shard, &rows).await?;
        }
        Ok(())
    }

    /// The ledger is read again: every row was written before the ledger had its object as committed, or as the next.
    async fn ledger(&mut self, shard: &str, rows: &[ManifestRow]) -> anyhow::Result<()> {
        let progress = self.deployment.ledger().read(shard).await?;
        let (committed, intent) = (progress.committed_end, progress.intent);
        let is_known = |row: &ManifestRow| {
            committed.as_ref().is_some_and(|end| row.end <= *end)
                || intent.as_ref().is_some_and(|intent| intent.key == row.key)
        };
        if let Some(row) = rows.iter().find(|row| !is_known(row)) {
            let detail = format!("the manifest has it, and the ledger of `{shard}` has not committed it");
            self.object(&row.key, detail);
        }
        if let Some(intent) =
            intent.filter(|intent| key_start(&intent.key) != Some((shard, intent.from.clone())))
        {
            let detail = format!("the ledger of `{shard}` announces it, from {}", intent.from);
            self.object(&intent.key, detail);
        }
        Ok(())
    }

    /// What the audit of facts has found missing or unreadable is left here.
    async fn object_of(&mut self, shard: &str, row: &ManifestRow) -> anyhow::Result<()> {
        let Some(found) = self.deployment.objects().find(&row.key).await? else { return Ok(()) };
        let mut received: Vec<Timestamp> = Vec::new();
        let mut offset = 0;
        while offset < found.bytes.len() {
            let mut lines: Vec<(ArchiveLine<'static>, Option<Vec<u8>>)> = Vec::new();
            let length = each_line_of_first(&found.bytes[offset..], |read: ArchiveLine<'static>, line| {
                let head = read.claim_check.is_some().then(|| line.to_vec());
                lines.push((read, head));
            });
            let Ok(length) = length else { break };
            offset += length;
            received.extend(lines.iter().flat_map(|(line, _)| [line.facts.received_at]));
            lines.retain(|(line, _)| self.span.has(line.facts.received_at));
            self.lines(lines, &row.key).await?;
            // Only the two ends are needed.
            received = received.iter().min().into_iter().chain(received.iter().max()).copied().collect();
        }
        self.row(shard, row, &found, &received);
        Ok(())
    }

    fn row(&mut self, shard: &str, row: &ManifestRow, found: &FoundObject, received: &[Timestamp]) {
        let says =
            |what: &str| AuditFinding::object(&row.key, format!("its manifest row has another {what}"));
        let wrong = [
            ("first position than its key", key_start(&row.key) != Some((shard, row.first.clone()))),
            ("end than its metadata", found.covers_end.as_ref() != Some(&row.end)),
            ("time of its oldest event than its lines", received.first() != row.received_at.first()),
            ("time of its youngest event than its lines", received.last() != row.received_at.last()),
        ];
        self.findings.extend(wrong.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(what, _)| says(what)));
    }

    async fn lines(
        &mut self,
        lines: Vec<(ArchiveLine<'static>, Option<Vec<u8>>)>,
        object: &str,
    ) -> anyhow::Result<()> {
        let name = |line: &ArchiveLine<'_>| (line.facts.tenant.clone(), line.facts.id.clone());
        let names: Vec<_> = lines.iter().map(|(line, _)| name(line)).collect();
        let items = self.items(&names).await?;
        for (((line, head), item), name) in lines.into_iter().zip(items).zip(names) {
            let claim_check = line.claim_check.clone();
            let line = match head {
                None => line,
                Some(head) => match self.whole(&name, &line, &head).await? {
                    Some(whole) => whole,
                    None => continue,
                },
            };
            // An item of another origin is judged by the facts.
            let Some(item) = item.filter(|item| item.item.origin == *line.origin) else { continue };
            let mut differs = item.against_line(&line, &self.config.transform.enrich);
            differs.extend(item.contradictions());
            if claim_check.is_some_and(|claim_check| claim_check.content_hash != item.item.content_hash) {
                differs.push("content_hash");
            }
            if !differs.is_empty() {
                let detail = format!(
                    "its item and its archive line differ, or the item in itself: {}",
                    listed(&differs)
                );
                self.event(&name, Some(&line.origin), Some(object), detail);
            }
        }
        Ok(())
    }

    /// The line that is stored for a head, if it is that.
    async fn whole(
        &mut self,
        name: &Name,
        head: &ArchiveLine<'static>,
        bytes: &[u8],
    ) -> anyhow::Result<Option<ArchiveLine<'static>>> {
        let Some(claim_check) = &head.claim_check else { return Ok(None) };
        self.texts.extend(claim_check.part_keys());
        let (tenant, id) = name;
        let own_key = |sha256: &str| key::text(tenant, id, sha256);
        let wrong = match claim_check.check(own_key, claim_check.line_bytes) {
            Err(why) => why,
            Ok(()) => match whole_line(bytes, self.deployment.objects()).await {
                Err(NotRead::Store(failure)) => return Err(failure.into()),
                Err(NotRead::Unreadable(why)) => why,
                Ok(line) => match parsed(&line) {
                    Ok(whole) if is_of(head, &whole) => return Ok(Some(whole)),
                    _ => format!("`{}` holds another line than its head says", claim_check.key),
                },
            },
        };
        self.event(name, Some(&head.origin), Some(&claim_check.key), wrong);
        Ok(None)
    }
}

fn is_of(head: &ArchiveLine<'_>, whole: &ArchiveLine<'_>) -> bool {
    (&head.facts, &head.origin, head.processed_at) == (&whole.facts, &whole.origin, whole.processed_at)
}
