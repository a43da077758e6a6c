//! Whether a line is archived by its origin: by ledger, manifest and, if these are not enough, the object itself.

use std::collections::HashSet;

use anyhow::Context;
use consumer_fn::Ledger;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};

use super::candidate::Standing;
use crate::archive::{covering, each_line};
use crate::deployment::Deployment;

/// Looks origins up. Neighbours are in the same object, so the last object is cached.
pub(crate) struct ArchiveLookup<'a, D> {
    deployment: &'a D,
    /// An object's key, and the positions of its lines on its shard.
    read: Option<(String, HashSet<ShardPosition>)>,
}

impl<'a, D: Deployment> ArchiveLookup<'a, D> {
    pub(crate) fn new(deployment: &'a D) -> Self {
        Self { deployment, read: None }
    }

    /// For a line at the failure destination, after a fence. If an object covers it, the attempt that wrote the object was
    /// done with the line: it is archived, in quarantine or a duplicate.
    pub(crate) async fn of_failed(&self, origin: &Origin) -> anyhow::Result<Standing> {
        let row = covering(self.deployment, origin).await?;
        Ok(if row.is_some() { Standing::Done } else { Standing::Free })
    }

    /// For a line in quarantine. Its batch may still be retried, and must not be fenced from outside. If an object covers
    /// it, another attempt may have stored it: the object's lines show it.
    pub(crate) async fn of_quarantined(&mut self, origin: &Origin) -> anyhow::Result<Standing> {
        let committed = self.deployment.ledger().read(&origin.shard).await?.committed_end;
        if committed.is_none_or(|end| end <= ShardPosition::from(origin)) {
            return Ok(Standing::Open);
        }
        let Some(row) = covering(self.deployment, origin).await? else { return Ok(Standing::Free) };
        let lines = match &mut self.read {
            Some((key, lines)) if *key == row.key => lines,
            read => {
                let object = self.deployment.objects().get(&row.key).await?;
                let object =
                    object.with_context(|| format!("the archive object `{}` does not exist", row.key))?;
                let mut lines = HashSet::new();
                each_line(&object, |position, _| lines.extend([position]))
                    .with_context(|| format!("the archive object `{}`", row.key))?;
                &mut read.insert((row.key, lines)).1
            }
        };
        let is_archived = lines.contains(&ShardPosition::from(origin));
        Ok(if is_archived { Standing::Done } else { Standing::Free })
    }
}
