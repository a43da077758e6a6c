//! The mappings of the probe, and what the checks on them have in common: records in, invocations and failed batches out.

use std::time::Duration;

use super::probe::{FailedObject, Probe, ProbeMapping};
use super::site::Site;

pub(super) mod failed;
pub(super) mod partial;
pub(super) mod record_age;
pub(super) mod retries;

pub(super) const ALL: &[ProbeMapping] = &[retries::MAPPING, partial::MAPPING, record_age::MAPPING];

const BETWEEN: Duration = Duration::from_secs(3);
/// After the failed batch was saved: the other half of a batch may still be delivered.
const REST: Duration = Duration::from_secs(20);

/// What a mapping made of the records that were put on its stream.
struct Seen {
    /// The records of each invocation, in order.
    invocations: Vec<Vec<String>>,
    /// The first failed batch. `None` after the time limit.
    failed: Option<FailedObject>,
}

/// Puts the records on the mapping's stream, and waits until a failed batch is saved and each of `rest` was delivered by an
/// invocation that did not crash.
async fn probed(
    site: &Site,
    probe: &Probe,
    mapping: &ProbeMapping,
    records: &[&str],
    limit: Duration,
) -> anyhow::Result<Seen> {
    probe.put(mapping, records).await?;
    let failed = site.wait(limit, BETWEEN, async || {
        let failed = probe.failed(mapping).await?;
        Ok(failed.into_iter().next())
    });
    let failed = failed.await?;
    let others: Vec<_> = records.iter().copied().filter(|record| record.starts_with("ok")).collect();
    let delivered = site.wait(REST, BETWEEN, async || {
        let invocations = probe.invocations(mapping).await?;
        Ok(others.iter().all(|other| finished(&invocations, other) > 0).then_some(()))
    });
    delivered.await?;
    Ok(Seen { invocations: probe.invocations(mapping).await?, failed })
}

/// In how many invocations the record was, of those that did not crash.
fn finished(invocations: &[Vec<String>], record: &str) -> usize {
    let has = |invocation: &&Vec<String>| {
        invocation.iter().any(|one| one == record) && !invocation.iter().any(|one| one == "crash")
    };
    invocations.iter().filter(has).count()
}

/// How many records each invocation had.
fn sizes(invocations: &[Vec<String>]) -> String {
    let sizes: Vec<_> = invocations.iter().map(|records| records.len().to_string()).collect();
    if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") }
}
