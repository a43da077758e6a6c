//! What one store says of a line or of a key, until all stores were read: then it is compared, a group at a time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use consumer_fn::StreamLine;
use serde::{Deserialize, Serialize};
use shared::format::key::StoredLineKey;
use shared::origin::{Origin, ShardPosition};
use shared::tier::Tier;
use shared::time::Timestamp;

use super::super::balance::{AuditFinding, FindingKind};
use super::super::facts::digest;
use super::super::partitions::{Groups, Homed};
use super::saved::{fingerprint, name};
use super::{Deep, Name};
use crate::archive::{SKEW, earlier};
use crate::deployment::{Deployment, ManifestPart};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Seen {
    /// In quarantine or at the failure destination, in this object.
    Saved(SeenLine, Arc<str>),
    /// On the stream.
    Arrived(SeenLine),
    Redriven(Redriven),
    /// A line on the stream names this origin as a former one.
    Former(Origin),
    /// An archive line refers to the large line under this key.
    Referenced(Arc<str>),
    /// A large line that is stored.
    Stored(LargeLine),
    /// An event with this name is saved.
    SavedName(Name),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenLine {
    pub(super) origin: Origin,
    pub(super) arrival: Timestamp,
    pub(super) partition_key: Option<String>,
    /// Of the event, or of the bytes that cannot be read.
    pub(super) fingerprint: String,
    pub(super) name: Option<Name>,
}

/// An origin that was redriven according to a note.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Redriven {
    pub(super) origin: Origin,
    pub(super) note: Arc<str>,
    /// When the note was written.
    pub(super) written: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LargeLine {
    pub(super) key: Arc<str>,
    pub(super) origin: Origin,
    pub(super) tier: Tier,
    pub(super) received_at: Timestamp,
}

impl From<&StreamLine> for SeenLine {
    fn from(line: &StreamLine) -> Self {
        Self {
            origin: line.origin.clone(),
            arrival: line.arrival,
            partition_key: line.partition_key.clone(),
            fingerprint: fingerprint(line),
            name: line.event.as_ref().ok().map(name),
        }
    }
}

impl Homed for Seen {
    fn home(&self) -> u64 {
        let of_key = |key: &str| StoredLineKey::parse(key).map_or(0, |key| digest((key.tenant, key.id)));
        match self {
            Self::Saved(line, _) | Self::Arrived(line) => digest(&line.origin),
            Self::Redriven(Redriven { origin, .. }) | Self::Former(origin) => digest(origin),
            Self::Referenced(key) | Self::Stored(LargeLine { key, .. }) => of_key(key),
            Self::SavedName(name) => digest(name),
        }
    }
}

impl<D: Deployment> Deep<'_, D> {
    /// Compares all that waits.
    pub(super) async fn seen(&mut self) -> anyhow::Result<()> {
        // Some records have expired since the audit began.
        let elapsed = self.deployment.clock().now().since(self.began);
        let from = earlier(self.span.from, SKEW);
        let sure_from = self.stream_from.plus(elapsed).max(from).plus(SKEW);
        let mut groups = Groups::from(std::mem::take(&mut self.seen));
        let (mut group, mut notes, mut done) = (Vec::new(), BTreeSet::new(), 0);
        while groups.next(|seen| group.push(seen))? {
            done += group.len() as u64;
            (self.progress)("saved lines compared", done, None);
            self.group(std::mem::take(&mut group), sure_from, &mut notes).await?;
        }
        for note in notes {
            self.foreign(&note, "it notes redriven events that are not on the stream");
        }
        Ok(())
    }

    async fn group(
        &mut self,
        group: Vec<Seen>,
        sure_from: Timestamp,
        notes: &mut BTreeSet<Arc<str>>,
    ) -> anyhow::Result<()> {
        let (mut arrived, mut former) = (HashMap::new(), HashSet::new());
        let (mut referenced, mut names) = (HashSet::new(), HashSet::new());
        let (mut saved, mut redriven, mut stored) = (Vec::new(), Vec::new(), Vec::new());
        for seen in group {
            match seen {
                Seen::Saved(line, object) => saved.push((line, object)),
                Seen::Arrived(line) => drop(arrived.insert(line.origin.clone(), line)),
                Seen::Redriven(origin) => redriven.push(origin),
                Seen::Former(origin) => drop(former.insert(origin)),
                Seen::Referenced(key) => drop(referenced.insert(key)),
                Seen::Stored(line) => stored.push(line),
                Seen::SavedName(name) => drop(names.insert(name)),
            }
        }
        for (line, object) in saved {
            let (kind, detail) = match arrived.get(&line.origin) {
                Some(other) if *other == line => continue,
                Some(_) => (FindingKind::Damaged, "the stream has another line at its origin"),
                None if line.arrival < sure_from => continue,
                None => (FindingKind::Foreign, "a saved line whose origin holds nothing on the stream"),
            };
            let name = line.name.as_ref().map(|(tenant, id)| (tenant, id));
            let finding = AuditFinding::event(kind, name, Some(&line.origin), detail);
            self.findings.push(finding.within(&object));
        }
        for Redriven { origin, note, written } in redriven {
            // What was archived after all is noted too, and is not redriven.
            if !former.contains(&origin) && written >= sure_from && !self.may_be_archived(&origin).await? {
                notes.insert(note);
            }
        }
        for line in stored.iter().filter(|line| !referenced.contains(&line.key)) {
            self.unreferenced(line, &names).await?;
        }
        Ok(())
    }

    /// A row that cannot be read may cover it.
    async fn may_be_archived(&self, origin: &Origin) -> anyhow::Result<bool> {
        let position = ShardPosition::from(origin);
        let rows = self.deployment.manifest_rows(&origin.shard, ManifestPart::At(&position)).await?;
        Ok(rows.last().is_some_and(|row| row.as_ref().map_or(true, |row| position < row.end)))
    }
}
