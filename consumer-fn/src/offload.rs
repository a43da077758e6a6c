//! Writes the large parts of events, before anything refers to them. They are named after their checksum, so a second
//! attempt finds them there.

use futures::{StreamExt, stream};
use tokio::time::Instant;

use crate::prefix::Prefix;
use crate::prepare::Prepared;
use crate::retry::{OutOfTime, retry};
use shared::objects::ObjectStore;

/// Events whose parts are written at the same time.
const CONCURRENCY: usize = 8;

/// Writes what the prefix's events have to be stored apart. Where the store does not answer until `until`, the prefix
/// ends.
pub(crate) async fn offload(
    mut prefix: Prefix<Prepared>,
    objects: &impl ObjectStore,
    until: Instant,
) -> Prefix<Prepared> {
    let large = prefix.entries.iter_mut().filter(|entry| !entry.value.blobs.is_empty());
    let writes = large.map(|entry| {
        // Taken, so that their memory is free again once they are written.
        let blobs = std::mem::take(&mut entry.value.blobs);
        let record = entry.place.record;
        async move {
            for (key, part) in blobs.iter().flat_map(|(blob, bytes)| blob.split(bytes)) {
                let put = || objects.put_if_absent(&key, part.clone(), None);
                retry(until, put).await.map_err(|error| (record, error))?;
            }
            Ok::<(), (usize, OutOfTime)>(())
        }
    });
    let writes: Vec<_> = writes.collect();
    let written: Vec<_> = stream::iter(writes).buffered(CONCURRENCY).collect().await;

    if let Some((record, error)) = written.into_iter().find_map(Result::err) {
        tracing::error!(%error, batch.record = record, "a large text could not be written, the batch ends before it");
        prefix.end_before(record);
    }
    prefix
}
