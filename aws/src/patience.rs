//! Calls that wait as long as a table or a shard throttles. Only other errors end a command: what is read has no deadline, and the
//! pipeline needs the capacity more.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use shared::backoff::Backoff;

use crate::error::described;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// Repeats a call until it is not throttled. The SDK has tried it a few times by then. `call` gets the number of throttled
/// calls before it.
pub(crate) async fn patiently<T, E, R>(
    mut call: impl AsyncFnMut(u32) -> Result<T, SdkError<E, R>>,
) -> anyhow::Result<T>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let mut failures = 0;
    loop {
        match call(failures).await {
            Err(error) if is_throttled(error.code()) => failures += 1,
            answer => return answer.map_err(described),
        }
        wait(failures).await;
    }
}

/// After so many throttled calls in a row.
pub(crate) async fn wait(failures: u32) {
    tokio::time::sleep(BACKOFF.jittered(failures)).await;
}

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html#API_GetRecords_Errors>
pub(crate) fn is_throttled(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "KMSThrottlingException"
        )
    )
}
