//! One tenant's events from the archive, by range requests along the manifest. Each tenant's lines are a gzip member of
//! their own, so no other tenant's bytes are read.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use anyhow::{Context, bail};
use shared::archive::each_line;
use shared::format::archive_line::Owner;
use shared::format::manifest_row::ManifestRow;
use shared::gzip;
use shared::id::TenantId;
use shared::time::Timestamp;

use crate::archive::{Absent, Span, manifest, members, shards};
use crate::deployment::{Deployment, ListedObject};

/// What was printed, and what was read for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub lines: u64,
    /// Objects with lines of the tenant.
    pub objects: u64,
    /// The whole sizes of these objects.
    pub object_bytes: u64,
    /// Bytes that were read of them.
    pub read_bytes: u64,
    /// Bytes that were read of sidecars, for ranges that are not in a manifest row.
    pub sidecar_bytes: u64,
    /// Objects that may hold lines of the tenant, and that the manifest does not have.
    pub unlisted: Vec<ListedObject>,
    /// Objects that the manifest has and that do not exist.
    pub absent: Absent,
}

impl Printed {
    /// For people.
    pub fn summary(&self, tenant: &TenantId) -> String {
        let Self { lines, objects, object_bytes, read_bytes, sidecar_bytes, .. } = self;
        let sidecars = match sidecar_bytes {
            0 => String::new(),
            bytes => format!(", and {bytes} bytes of sidecars"),
        };
        format!(
            "{lines} events of {tenant}: read {read_bytes} of {object_bytes} bytes in {objects} objects{sidecars}"
        )
    }
}

/// Writes the events of `tenant` that were received within `span`: objects in the order of their oldest event, lines in
/// the order of their object. A closed pipe ends it early, without an error.
pub async fn cat(
    deployment: &impl Deployment,
    tenant: &TenantId,
    span: Span,
    out: &mut impl Write,
) -> anyhow::Result<Printed> {
    let absent = Absent::of(deployment).await?;
    let (rows, unlisted) = rows(deployment, absent.since(span.from), span).await?;
    let mut printed = Printed { unlisted, absent, ..Printed::default() };
    for row in &rows {
        let found = members(deployment, row, Some(tenant), &mut printed.absent).await?;
        let Some((members, sidecar_bytes)) = found else { continue };
        printed.sidecar_bytes += sidecar_bytes;
        if members.is_empty() {
            continue;
        }
        printed.objects += 1;
        printed.object_bytes += row.bytes as u64;
        for member in members {
            printed.read_bytes += member.len() as u64;
            let lines = lines(&member, tenant, span)
                .with_context(|| format!("`{}` is not as its manifest row says", row.key))?;
            for line in lines {
                match out.write_all(&line).and_then(|()| out.write_all(b"\n")) {
                    Ok(()) => printed.lines += 1,
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(printed),
                    Err(error) => return Err(error).context("stdout"),
                }
            }
        }
    }
    Ok(printed)
}

/// The manifest's rows for the span, read from `since` on; and the objects without a row.
async fn rows(
    deployment: &impl Deployment,
    since: Timestamp,
    span: Span,
) -> anyhow::Result<(Vec<ManifestRow>, Vec<ListedObject>)> {
    let mut listed: BTreeMap<String, ListedObject> = BTreeMap::new();
    let shards = shards(deployment, since, |page| {
        listed.extend(page.into_iter().map(|object| (object.key.clone(), object)));
    });
    let mut rows = Vec::new();
    for shard in shards.await?.into_keys() {
        rows.extend(manifest(deployment, &shard, since).await?);
    }
    for row in &rows {
        listed.remove(&row.key);
    }
    rows.retain(|row| span.overlaps(row.received_at));
    rows.sort_by(|a, b| (a.received_at, &a.key).cmp(&(b.received_at, &b.key)));
    // An empty object is a fence, and has no row.
    let empty = gzip::compress(b"", gzip::Level::FAST).len() as u64;
    Ok((rows, listed.into_values().filter(|object| object.bytes != empty).collect()))
}

/// The lines of a member, which must all be of the tenant.
fn lines(member: &[u8], tenant: &TenantId, span: Span) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut lines, mut is_foreign) = (Vec::new(), false);
    let members = each_line(member, |owner: Owner, line| {
        is_foreign |= owner.tenant != *tenant;
        lines.extend(span.has(owner.received_at).then(|| line.to_vec()));
    })?;
    if is_foreign || members != 1 {
        bail!("its range of `{tenant}` holds something else");
    }
    Ok(lines)
}
