//! Up to where each shard is done: what is before that, no consumer writes any more, if no attempt is alive that began before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use consumer_fn::Ledger;
use consumer_fn::ledger::LedgerFailure;
use shared::config::Config;
use shared::format::key;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;
use tokio::time::Instant;

use super::plan::end;
use super::saved::failed_end;
use super::{Erasable, Wanted};
use crate::OnProgress;
use crate::archive::{covering, shards};
use crate::failed_batch::failed_batch;

/// Time limit for fencing a shard.
const FENCE: Duration = Duration::from_secs(30);

pub(super) async fn ends<D: Erasable>(
    deployment: &D,
    config: &Config,
    wanted: &Wanted,
    apply: bool,
    progress: OnProgress<'_>,
) -> anyhow::Result<BTreeMap<Arc<str>, ShardPosition>> {
    let failed = failed(deployment, config, wanted, apply, progress).await?;
    let archived = shards(deployment, Timestamp::default(), |_| ()).await?;
    let all: BTreeSet<_> = archived.into_keys().chain(failed.keys().cloned()).collect();
    let mut ends = BTreeMap::new();
    for shard in all {
        let committed = match deployment.ledger().read(&shard).await {
            // The audit names it. Nothing of the shard is erased.
            Err(LedgerFailure::Unreadable(_)) => continue,
            progress => {
                let progress = progress?;
                progress.committed_end.max(progress.intent.map(|intent| intent.from))
            }
        };
        // After a fence the ledger says so itself.
        let committed = committed.max(failed.get(&shard).cloned());
        let Some(committed) = deployment.delivered_end(&shard, committed).await? else { continue };
        let origin = Origin {
            shard: shard.as_str().into(),
            sequence_number: committed.sequence_number.clone(),
            position: committed.position,
        };
        let object = covering(deployment, &origin).await?.map(|row| [row.first, row.end]);
        ends.insert(shard.into(), end(committed, object));
    }
    Ok(ends)
}

/// The ends of failed batches that have such an event. The shard is fenced up to there, as for a redrive: no attempt can archive
/// anything before it any more.
async fn failed<D: Erasable>(
    deployment: &D,
    config: &Config,
    wanted: &Wanted,
    apply: bool,
    progress: OnProgress<'_>,
) -> anyhow::Result<BTreeMap<String, ShardPosition>> {
    let mut ends = BTreeMap::<String, ShardPosition>::new();
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = deployment.list(key::FAILURE_DESTINATION, after.as_deref()).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for object in page {
            seen += 1;
            progress("failed batches", seen, None);
            let Some(bytes) = deployment.objects().get(&object.key).await? else { continue };
            // What cannot be read, the audit names.
            let Ok((_, batch)) = failed_batch(&bytes) else { continue };
            let is_of = |event: &shared::format::event_line::Event| {
                event.facts.tenant == wanted.tenant
                    && wanted.event.as_ref().is_none_or(|id| event.facts.id == *id)
            };
            let Some((shard, end)) = failed_end(batch, is_of, config) else { continue };
            let known = ends.entry(shard).or_insert_with(|| end.clone());
            if *known < end {
                *known = end;
            }
        }
    }
    if apply {
        for (shard, end) in &ends {
            let until = Instant::now() + FENCE;
            consumer_fn::fence(shard, end.clone(), deployment.objects(), deployment.ledger(), until).await?;
        }
    }
    Ok(ends)
}
