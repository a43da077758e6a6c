//! Reading the archive: one tenant's part of an object, its lines, and lines that are stored apart. Ingest reads a large
//! event back with it, and the operator's commands read with it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::format::archive_line::ArchiveLine;
use crate::format::claim_check::ClaimCheck;
use crate::format::manifest_row::{ManifestRow, TenantIndex, TenantRange, sidecar_ranges};
use crate::gzip;
use crate::id::TenantId;
use crate::objects::{ObjectFailure, ObjectStore};

/// Why something of the archive was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// For now.
    #[error(transparent)]
    Store(#[from] ObjectFailure),
    /// It is missing, or not what it should be.
    #[error("{0}")]
    Unreadable(String),
}

/// The gzip members with one tenant's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantMembers {
    /// `None` if the object does not exist.
    pub members: Option<Vec<Bytes>>,
    /// How many bytes of a sidecar were read for them.
    pub sidecar_bytes: u64,
}

/// The ranges of a row, and how many bytes of a sidecar were read for them.
pub async fn ranges_of(
    objects: &impl ObjectStore,
    row: &ManifestRow,
) -> Result<(Vec<TenantRange>, u64), NotRead> {
    let key = match &row.tenants {
        TenantIndex::Ranges(ranges) => return Ok((ranges.clone(), 0)),
        TenantIndex::Sidecar(key) => key,
    };
    let Some(sidecar) = objects.get(key).await? else {
        let why = format!("its tenants' ranges should be in `{key}`, which does not exist");
        return Err(NotRead::Unreadable(why));
    };
    match sidecar_ranges(&sidecar) {
        Ok(ranges) => Ok((ranges, sidecar.len() as u64)),
        Err(why) => Err(NotRead::Unreadable(format!("`{key}` cannot be read: {why}"))),
    }
}

/// Reads `tenant`'s members of an object by range requests. No other tenant's bytes are read.
pub async fn members_of(
    objects: &impl ObjectStore,
    row: &ManifestRow,
    tenant: &TenantId,
) -> Result<TenantMembers, NotRead> {
    let (ranges, sidecar_bytes) = ranges_of(objects, row).await?;
    let mut members = Vec::new();
    for range in ranges.iter().filter(|range| range.tenant == *tenant) {
        match objects.get_range(&row.key, range.offset, range.length).await? {
            Some(member) => members.push(member),
            None => return Ok(TenantMembers { members: None, sidecar_bytes }),
        }
    }
    Ok(TenantMembers { members: Some(members), sidecar_bytes })
}

/// Calls `take` with each line of these gzip members, and with what `T` reads of it. Returns how many members there are.
pub fn each_line<T: DeserializeOwned>(
    members: &[u8],
    mut take: impl FnMut(T, &[u8]),
) -> Result<usize, NotRead> {
    let (mut count, mut offset) = (0, 0);
    while offset < members.len() {
        offset += each_line_of_first(&members[offset..], &mut take)?;
        count += 1;
    }
    Ok(count)
}

/// The same for the first member. Returns how many bytes it has.
pub fn each_line_of_first<T: DeserializeOwned>(
    members: &[u8],
    mut take: impl FnMut(T, &[u8]),
) -> Result<usize, NotRead> {
    let mut bad = None;
    let length = gzip::first_member_lines(members, |line| match serde_json::from_slice(line) {
        Ok(read) => take(read, line),
        Err(error) => bad = Some(error),
    });
    let length = length.map_err(|error| NotRead::Unreadable(error.to_string()))?;
    match bad {
        None => Ok(length),
        Some(error) => Err(NotRead::Unreadable(format!("a line of it is not an archive line: {error}"))),
    }
}

/// An archive line with its text. The line of a head is fetched.
pub async fn whole(line: &[u8], objects: &impl ObjectStore) -> Result<ArchiveLine<'static>, NotRead> {
    parse(&whole_line(line, objects).await?, "it is not an archive line")
}

/// An archive line as it is in its object: a head has no text.
pub fn line(line: &[u8]) -> Result<ArchiveLine<'static>, NotRead> {
    parse(line, "it is not an archive line")
}

/// [`whole`], as it is stored.
pub async fn whole_line<'a>(line: &'a [u8], objects: &impl ObjectStore) -> Result<Cow<'a, [u8]>, NotRead> {
    let head = self::line(line)?;
    let Some(claim_check) = &head.claim_check else { return Ok(line.into()) };
    let missing =
        || NotRead::Unreadable(format!("`{}`, which holds the line, does not exist", claim_check.key));
    let mut stored = claimed(claim_check, objects).await?.ok_or_else(missing)?;
    let whole = parse(&stored, "the stored line is not an archive line")?;
    if (&whole.facts.tenant, &whole.facts.id) != (&head.facts.tenant, &head.facts.id) {
        return Err(NotRead::Unreadable(format!("`{}` holds the line of another event", claim_check.key)));
    }
    // A stored line ends with its newline.
    stored.truncate(stored.trim_ascii_end().len());
    Ok(stored.into())
}

/// The line that is stored for a claim check. `None` if a part of it does not exist.
pub async fn claimed(
    claim_check: &ClaimCheck,
    objects: &impl ObjectStore,
) -> Result<Option<Vec<u8>>, NotRead> {
    let mut parts = Vec::new();
    for key in claim_check.part_keys() {
        let Some(part) = objects.get(&key).await? else { return Ok(None) };
        parts.push(part);
    }
    claim_check.line(&parts).map(Some).map_err(|error| NotRead::Unreadable(error.to_string()))
}

fn parse(line: &[u8], otherwise: &str) -> Result<ArchiveLine<'static>, NotRead> {
    let line: Result<ArchiveLine<'_>, _> = serde_json::from_slice(line);
    let line = line.map_err(|error| NotRead::Unreadable(format!("{otherwise}: {error}")))?;
    Ok(ArchiveLine {
        facts: Cow::Owned(line.facts.into_owned()),
        processed_at: line.processed_at,
        origin: Cow::Owned(line.origin.into_owned()),
        text: Cow::Owned(line.text.into_owned()),
        fields: Cow::Owned(line.fields.into_owned()),
        original_text: line.original_text.map(|text| Cow::Owned(text.into_owned())),
        claim_check: line.claim_check,
    })
}
