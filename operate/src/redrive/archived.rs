//! Whether what lay at a place of the stream is in the archive, by ledger, manifest and, where these do not tell, the
//! object itself.

use std::collections::HashSet;

use anyhow::Context;
use consumer_fn::Ledger;
use shared::format::archive_line::Position;
use shared::format::manifest_row::ManifestRow;
use shared::gzip;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};

use super::candidate::Standing;
use crate::deployment::Deployment;

/// Looks places up. Neighbours lie in the same object, so the last one is remembered.
pub(crate) struct Archive<'a, D> {
    deployment: &'a D,
    /// An object's key, and the places of its lines.
    read: Option<(String, HashSet<Position>)>,
}

impl<'a, D: Deployment> Archive<'a, D> {
    pub(crate) fn new(deployment: &'a D) -> Self {
        Self { deployment, read: None }
    }

    /// Of a record at the failure destination, behind a fence. An object that covers it was written by an attempt
    /// that was done with it: what it did not archive is in quarantine, or has the item of another.
    pub(crate) async fn of_failed(&self, origin: &Origin) -> anyhow::Result<Standing> {
        let row = self.covering(origin).await?;
        Ok(if row.is_some() { Standing::Done } else { Standing::Free })
    }

    /// Of a line in quarantine. Its batch may still be tried, and nobody may fence that off from outside; and where an
    /// object covers it, another attempt may have stored it or not: the object's lines tell.
    pub(crate) async fn of_quarantined(&mut self, origin: &Origin) -> anyhow::Result<Standing> {
        let settled = self.deployment.ledger().read(&origin.shard).await?.settled_before;
        if settled.is_none_or(|settled| settled <= ShardPosition::from(origin)) {
            return Ok(Standing::Open);
        }
        let Some(row) = self.covering(origin).await? else { return Ok(Standing::Free) };
        let lines = match &mut self.read {
            Some((key, lines)) if *key == row.key => lines,
            read => {
                let object = self.deployment.objects().get(&row.key).await?;
                let object = object.with_context(|| format!("the archive object `{}` is gone", row.key))?;
                let lines = places(&object).with_context(|| format!("the archive object `{}`", row.key))?;
                &mut read.insert((row.key, lines)).1
            }
        };
        let is_archived = lines.contains(&Position::of(origin));
        Ok(if is_archived { Standing::Done } else { Standing::Free })
    }

    async fn covering(&self, origin: &Origin) -> anyhow::Result<Option<ManifestRow>> {
        let place = ShardPosition::from(origin);
        let row = self.deployment.manifest_at(&origin.shard, &place).await?;
        Ok(row.filter(|row| place < row.end))
    }
}

/// The places that an object's lines come from, all of one shard.
fn places(object: &[u8]) -> anyhow::Result<HashSet<Position>> {
    let (mut places, mut bad, mut offset) = (HashSet::new(), None, 0);
    while offset < object.len() {
        offset += gzip::first_member_lines(&object[offset..], |line| match serde_json::from_slice(line) {
            Ok(position) => drop(places.insert(position)),
            Err(error) => bad = Some(error),
        })?;
    }
    bad.map_or(Ok(places), |error| Err(error).context("a line of it cannot be read"))
}
