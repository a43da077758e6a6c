//! Puts the unreadable parts of a record into quarantine outside of an invocation, for `tidegate redrive`.

use shared::config::Config;
use shared::objects::ObjectStore;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::decode::decode;
use crate::quarantine;

/// Quarantines what cannot be read of a record that no invocation will see again, under the same key as the consumer would.
/// Bytes that cannot be read are not put on the stream again: nothing in them could name their former origin.
pub async fn quarantine_unreadable(
    record: Batch,
    config: &Config,
    objects: &impl ObjectStore,
    until: Instant,
) -> Result<(), NotQuarantined> {
    let (record, decoded) = decode(record, config);
    let put = quarantine::put(&decoded.quarantined, &record, objects, until).await;
    put.map_err(|(_, key, error)| NotQuarantined(format!("`{key}`: {error}")))
}

/// Quarantine could not be written in time. Trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quarantine could not be written: {0}")]
pub struct NotQuarantined(String);
