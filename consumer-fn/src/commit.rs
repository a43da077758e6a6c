//! Commit: from here on the records of the prefix are done.
//!
//! This is the ledger's place. Per shard it will hold `{intent, archived_through, version}`, written before and after
//! each object ([`crate::archive`] has both points in its loop), and each object's manifest row. Until then an
//! object's name and metadata are all that a second attempt finds, and the log has what the manifest will have.

use crate::archive::{Archived, ArchivedObject};

/// Notes what was archived. Gives how many records of the batch are done.
pub(crate) fn commit(archived: &Archived) -> usize {
    for ArchivedObject { key, covers, written } in &archived.objects {
        let Some(written) = written else {
            tracing::info!(object.key = %key, ?covers, "archive object of an earlier attempt adopted");
            continue;
        };
        let lines: usize = written.ranges.iter().map(|range| range.lines).sum();
        tracing::info!(
            object.key = %key,
            object.bytes = written.bytes,
            object.lines = lines,
            object.tenants = written.ranges.len(),
            "archive object written"
        );
        for range in &written.ranges {
            tracing::debug!(
                object.key = %key,
                tenant.id = %range.tenant,
                range.offset = range.offset,
                range.length = range.length,
                range.lines = range.lines,
                "tenant's bytes"
            );
        }
    }
    archived.records
}
