//! Quarantine, the failure destination, and notes of what was redriven from them.

use shared::digest::sha256;
use shared::format::key;
use shared::objects::ObjectStore;

use super::saved::{Rest, failed, quarantine, spilled};
use super::{Erasable, Eraser};
use crate::redrive::{DEAD_LETTERS, Marker};

impl<D: Erasable> Eraser<'_, D> {
    pub(super) async fn failures(&mut self) -> anyhow::Result<()> {
        self.saved(key::QUARANTINE).await?;
        self.saved(key::FAILURE_DESTINATION).await?;
        self.notes_of_dead_letters().await
    }

    async fn saved(&mut self, prefix: &str) -> anyhow::Result<()> {
        let (mut after, mut seen) = (None, 0);
        loop {
            let page = self.deployment.list(prefix, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            for object in page {
                seen += 1;
                (self.progress)("quarantined and failed objects", seen, None);
                let Some(bytes) = self.deployment.objects().get(&object.key).await? else { continue };
                let rest = match prefix {
                    key::QUARANTINE => quarantine(&bytes, self.erasure, self.config),
                    _ => match failed(&bytes, self.erasure, self.config) {
                        Ok(rest) => rest,
                        Err(why) => {
                            self.report.unreadable(format!("{}: {why:#}", object.key));
                            continue;
                        }
                    },
                };
                self.object(prefix, &object.key, rest).await?;
            }
        }
    }

    async fn object(&mut self, prefix: &str, key: &str, rest: Rest) -> anyhow::Result<()> {
        let is_quarantine = prefix == key::QUARANTINE;
        self.report.later.saved += rest.later.len() as u64;
        self.needed.extend(rest.later.into_iter().map(|event| event.facts.id));
        self.report.unreadable_lines += rest.unreadable;
        if rest.mixed > 0 {
            self.report.mixed(key, rest.mixed);
        }
        if is_quarantine {
            self.found(|counts| &mut counts.quarantine_lines, rest.removed);
        } else {
            self.found(|counts| &mut counts.failed_records, rest.removed);
        }
        if !self.apply || rest.removed == 0 {
            return Ok(());
        }
        match rest.left {
            Some(left) if is_quarantine => {
                let renamed = renamed(key, &left);
                self.deployment.put_object(&renamed, left.into()).await?;
                self.notes(key, Some(&renamed)).await?;
                self.deployment.delete_object(key).await?;
            }
            Some(left) => self.deployment.put_object(key, left.into()).await?,
            None => {
                self.notes(key, None).await?;
                self.deployment.delete_object(key).await?;
            }
        }
        if is_quarantine {
            self.removed(|counts| &mut counts.quarantine_lines, rest.removed);
        } else {
            self.removed(|counts| &mut counts.failed_records, rest.removed);
        }
        Ok(())
    }

    /// The notes of what was redriven from the object `source` follow it to its new name, or go before it does: they name only
    /// positions, and a note without its source would be a finding of the audit.
    async fn notes(&mut self, source: &str, renamed: Option<&str>) -> anyhow::Result<()> {
        let mut notes = Vec::new();
        let prefix = format!("{}{source}/", key::REDRIVEN);
        crate::archive::each_page(self.deployment, &prefix, None, |page| notes.extend(page)).await?;
        for note in &notes {
            let bytes = self.deployment.objects().get(&note.key).await?;
            if let (Some(bytes), Some(renamed)) = (bytes, renamed) {
                let key = key::redriven_marker(renamed, &sha256(&bytes));
                self.deployment.put_object(&key, bytes).await?;
            }
        }
        for note in notes {
            self.deployment.delete_object(&note.key).await?;
        }
        Ok(())
    }

    /// The note of a redriven dead letter is the letter.
    async fn notes_of_dead_letters(&mut self) -> anyhow::Result<()> {
        let (prefix, mut notes) = (format!("{}{DEAD_LETTERS}/", key::REDRIVEN), Vec::new());
        crate::archive::each_page(self.deployment, &prefix, None, |page| notes.extend(page)).await?;
        for note in notes.into_iter().filter(|note| Marker::source(&note.key) == Some(DEAD_LETTERS)) {
            let Some(bytes) = self.deployment.objects().get(&note.key).await? else { continue };
            let Some(rest) = std::str::from_utf8(&bytes).ok().and_then(|body| spilled(body, self.erasure))
            else {
                continue;
            };
            self.found(|counts| &mut counts.redrive_notes, u64::from(rest.removed > 0));
            if !self.apply || rest.removed == 0 {
                continue;
            }
            if let Some(left) = rest.left {
                let key = key::redriven_marker(DEAD_LETTERS, &sha256(&left));
                self.deployment.put_object(&key, left.into()).await?;
            }
            self.deployment.delete_object(&note.key).await?;
            self.removed(|counts| &mut counts.redrive_notes, 1);
        }
        Ok(())
    }
}

/// The key of a quarantine object ends with the checksum of its bytes.
fn renamed(key: &str, bytes: &[u8]) -> String {
    let name = key.strip_suffix(".ndjson").unwrap_or(key);
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    format!("{name}-{}.ndjson", &sha256(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use shared::time::Timestamp;

    use super::*;

    #[test]
    fn a_quarantine_object_is_renamed_after_its_bytes() {
        let at = Timestamp::from_unix_ms(0);
        let key = |bytes: &[u8]| key::quarantine_object("shardId-000000000000", "49", at, &sha256(bytes));
        assert_eq!(renamed(&key(b"before"), b"after"), key(b"after"));
    }
}
