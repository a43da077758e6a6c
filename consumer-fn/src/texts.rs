//! Archive lines that are too large for an archive object are stored in parts, before the object with their heads. The
//! keys are made from the content, so a second attempt finds the parts there.

use futures::{StreamExt, stream};
use shared::metric::Metric;
use tokio::time::Instant;

use crate::prefix::Prefix;
use crate::prepare::Prepared;
use crate::retry::{OutOfTime, retry};
use shared::objects::ObjectStore;

/// Events whose parts are written at the same time.
const CONCURRENCY: usize = 8;

/// Writes the parts of the prefix's lines. Where the store does not answer until `until`, the prefix ends.
pub(crate) async fn store(
    mut prefix: Prefix<Prepared>,
    objects: &impl ObjectStore,
    until: Instant,
) -> Prefix<Prepared> {
    let large = prefix.entries.iter_mut().filter(|entry| !entry.value.parts.is_empty());
    let writes = large.map(|entry| {
        // Taken, so that their memory is free again once they are written.
        let parts = std::mem::take(&mut entry.value.parts);
        let record = entry.position.record;
        async move {
            for (key, part) in parts {
                let put = || objects.put_if_absent(&key, part.clone(), None);
                retry(until, put).await.map_err(|error| (record, error))?;
                Metric::TextPartsWritten.add(1);
            }
            Ok::<(), (usize, OutOfTime)>(())
        }
    });
    let writes: Vec<_> = writes.collect();
    let written: Vec<_> = stream::iter(writes).buffered(CONCURRENCY).collect().await;

    if let Some((record, error)) = written.into_iter().find_map(Result::err) {
        tracing::error!(%error, batch.record = record, "a large archive line could not be written, the batch ends before it");
        prefix.end_before(record);
    }
    prefix
}
