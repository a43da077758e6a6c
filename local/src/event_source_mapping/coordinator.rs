//! Which shards are polled: parents before children, and new ones as they appear.

use std::collections::HashSet;
use std::sync::Arc;

use shared::objects::ObjectStore;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::EventSourceMapping;
use super::poller::{Mode, Poller};
use super::ports::{Checkpoints, Invoker, ShardTail, StreamReader, StreamShard};
use super::retry::until_it_works;

/// Runs until a drain has reached the tip of every shard. The pollers end with this future.
pub(super) async fn run<R: StreamReader, C: Checkpoints, I: Invoker, D: ObjectStore>(
    mapping: Arc<EventSourceMapping<R, C, I, D>>,
    mut mode: watch::Receiver<Mode>,
) {
    let mut pollers = JoinSet::new();
    let mut started = HashSet::new();
    let mut closed = HashSet::new();
    loop {
        let list = || mapping.reader.shards();
        let listed = until_it_works(mapping.settings.rules.backoff, "listing shards", "all", list).await;
        for shard_id in startable(&listed, &started, &closed) {
            tracing::info!(shard.id = %shard_id, "polling a shard");
            started.insert(shard_id.clone());
            let (mapping, mode) = (Arc::clone(&mapping), mode.clone());
            pollers.spawn(async move { Poller::resume(mapping, shard_id, mode).await.run().await });
        }
        if pollers.is_empty() && *mode.borrow() == Mode::Draining {
            return;
        }
        tokio::select! {
            // In this order, so that a run in virtual time can be repeated.
            biased;
            Some(ended) = pollers.join_next() => match ended {
                Ok((shard_id, ShardTail::Closed)) => {
                    tracing::info!(shard.id = %shard_id, "a closed shard was processed to its end");
                    closed.insert(shard_id);
                }
                Ok(_drained) => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            () = tokio::time::sleep(mapping.settings.discovery_interval) => {}
            Ok(()) = mode.changed() => {}
        }
    }
}

/// The shards that may start: those that have not started, and whose parents have no unprocessed records. A parent that
/// is no longer listed is past its retention.
/// <https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html>
fn startable(listed: &[StreamShard], started: &HashSet<String>, closed: &HashSet<String>) -> Vec<String> {
    let is_unfinished =
        |parent: &String| !closed.contains(parent) && listed.iter().any(|shard| shard.id == *parent);
    listed
        .iter()
        .filter(|shard| !started.contains(&shard.id) && !shard.parents.iter().any(is_unfinished))
        .map(|shard| shard.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listed: &[(&str, &[&str])], started: &[&str], closed: &[&str], expected: &[&str]) {
        let listed: Vec<_> = listed
            .iter()
            .map(|(id, parents)| StreamShard {
                id: (*id).to_owned(),
                parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
            })
            .collect();
        let set = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        assert_eq!(startable(&listed, &set(started), &set(closed)), expected);
    }

    #[test]
    fn a_child_waits_until_its_parent_is_processed() {
        check(&[("parent", &[]), ("child", &["parent"])], &[], &[], &["parent"]);
        check(&[("parent", &[]), ("child", &["parent"])], &["parent"], &[], &[]);
        check(&[("parent", &[]), ("child", &["parent"])], &["parent"], &["parent"], &["child"]);
    }

    #[test]
    fn a_merged_shard_waits_for_both_parents() {
        let listed: [(&str, &[&str]); 3] = [("a", &[]), ("b", &[]), ("merged", &["a", "b"])];
        check(&listed, &["a", "b"], &["a"], &[]);
        check(&listed, &["a", "b"], &["a", "b"], &["merged"]);
    }

    #[test]
    fn a_parent_past_its_retention_does_not_block_its_child() {
        check(&[("child", &["parent"])], &[], &[], &["child"]);
    }
}
