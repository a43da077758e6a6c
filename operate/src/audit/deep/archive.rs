//! Archive objects with their manifest rows, archive lines with items, heads with the lines under `texts/`.

use consumer_fn::ledger::Progress;
use shared::archive::{NotRead, each_line_of_first, line as parsed, whole_line};
use shared::format::archive_line::ArchiveLine;
use shared::format::key;
use shared::format::manifest_row::ManifestRow;
use shared::objects::{FoundObject, ObjectStore};
use shared::time::Timestamp;

use super::super::balance::AuditFinding;
use super::seen::Seen;
use super::{Deep, LINES, Name, TEXT_BYTES, listed};
use crate::archive::{self, RowsBackwards, key_start};
use crate::deployment::Deployment;

/// An archive line, and its bytes if it is a head.
type Line = (ArchiveLine<'static>, Option<Vec<u8>>);

impl<D: Deployment> Deep<'_, D> {
    pub(super) async fn archive(&mut self) -> anyhow::Result<()> {
        let shards = archive::shards(self.deployment, self.span.from, |_| ()).await?;
        let mut done = 0;
        for shard in shards.into_keys() {
            let mut pages = RowsBackwards::new(self.span.from);
            let (mut progress, mut unknown) = (None, None);
            while let Some(page) = pages.next(self.deployment, &shard).await? {
                if progress.is_none() {
                    // It is read again after the youngest row: every row was written before the ledger had its object as
                    // committed, or as the next.
                    progress = self.progress_of(&shard).await?;
                }
                for row in page.into_iter().flatten() {
                    if progress.as_ref().is_some_and(|progress| !is_known(&row, progress)) {
                        unknown = Some(row.key.clone());
                    }
                    if self.span.overlaps(row.received_at) {
                        self.object_of(&shard, &row).await?;
                        done += 1;
                        (self.progress)("archive objects compared", done, None);
                    }
                }
            }
            if let Some(key) = unknown {
                let detail = format!("the manifest has it, and the ledger of `{shard}` has not committed it");
                self.object(&key, detail);
            }
            let progress = match progress {
                None => self.progress_of(&shard).await?,
                progress => progress,
            };
            if let Some(intent) = progress
                .and_then(|progress| progress.intent)
                .filter(|intent| key_start(&intent.key) != Some((shard.as_str(), intent.from.clone())))
            {
                let detail = format!("the ledger of `{shard}` announces it, from {}", intent.from);
                self.object(&intent.key, detail);
            }
        }
        Ok(())
    }

    /// What the audit of facts has found missing or unreadable is left here.
    async fn object_of(&mut self, shard: &str, row: &ManifestRow) -> anyhow::Result<()> {
        let Some(found) = self.deployment.objects().find(&row.key).await? else { return Ok(()) };
        let mut received: Vec<Timestamp> = Vec::new();
        let (sender, mut batches) = tokio::sync::mpsc::channel(1);
        let bytes = found.bytes.clone();
        // On a thread of its own, so that it can wait: decompressed, an object may be larger than memory.
        let read =
            tokio::task::spawn_blocking(move || each_batch(&bytes, |batch| sender.blocking_send(batch)));
        while let Some(mut lines) = batches.recv().await {
            received.extend(lines.iter().map(|(line, _): &Line| line.facts.received_at));
            lines.retain(|(line, _)| self.span.has(line.facts.received_at));
            self.lines(lines, &row.key).await?;
            // Only the two ends are needed.
            received = received.iter().min().into_iter().chain(received.iter().max()).copied().collect();
        }
        read.await?;
        self.row(shard, row, &found, &received);
        Ok(())
    }

    fn row(&mut self, shard: &str, row: &ManifestRow, found: &FoundObject, received: &[Timestamp]) {
        let says =
            |what: &str| AuditFinding::object(&row.key, format!("its manifest row has another {what}"));
        // All lines may have been erased.
        let has_lines = row.lines > 0 || !received.is_empty();
        let wrong = [
            ("first position than its key", key_start(&row.key) != Some((shard, row.first.clone()))),
            ("end than its metadata", found.covers_end.as_ref() != Some(&row.end)),
            (
                "time of its oldest event than its lines",
                has_lines && received.first() != row.received_at.first(),
            ),
            (
                "time of its youngest event than its lines",
                has_lines && received.last() != row.received_at.last(),
            ),
        ];
        self.findings.extend(wrong.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(what, _)| says(what)));
    }

    async fn lines(&mut self, lines: Vec<Line>, object: &str) -> anyhow::Result<()> {
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
        self.seen.add(&Seen::Referenced(claim_check.key.as_str().into()))?;
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

/// Gives the lines of an object's members to `take`, so many at a time as are compared at a time, up to the first member that
/// cannot be read, or to the first batch that is not taken.
fn each_batch<E>(object: &[u8], mut take: impl FnMut(Vec<Line>) -> Result<(), E>) {
    let (mut offset, mut batch, mut bytes) = (0, Vec::new(), 0);
    while offset < object.len() {
        let mut is_over = false;
        let length = each_line_of_first(&object[offset..], |read: ArchiveLine<'static>, line| {
            let head = read.claim_check.is_some().then(|| line.to_vec());
            batch.push((read, head));
            bytes += line.len();
            if batch.len() == LINES || bytes > TEXT_BYTES {
                bytes = 0;
                is_over |= take(std::mem::take(&mut batch)).is_err();
            }
        });
        let Ok(length) = length else { break };
        if is_over {
            return;
        }
        offset += length;
    }
    let _not_taken = take(batch);
}

fn is_known(row: &ManifestRow, progress: &Progress) -> bool {
    progress.committed_end.as_ref().is_some_and(|end| row.end <= *end)
        || progress.intent.as_ref().is_some_and(|intent| intent.key == row.key)
}

fn is_of(head: &ArchiveLine<'_>, whole: &ArchiveLine<'_>) -> bool {
    (&head.facts, &head.origin, head.processed_at) == (&whole.facts, &whole.origin, whole.processed_at)
}
