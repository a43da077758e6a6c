//! What is stored of an event with a known name: its item, the record that the item names, and its archive line.

use consumer_fn::Ledger;
use consumer_fn::ledger::LedgerFailure;
use serde_json::Value;
use shared::archive::{NotRead, each_line_of_first, ranges_of};
use shared::config::Config;
use shared::format::archive_line::ArchiveLine;
use shared::format::claim_check::ClaimCheck;
use shared::format::item::{DISPATCH_ATTEMPTS, DISPATCH_REASON, DISPATCH_STATUS, Item};
use shared::format::manifest_row::ManifestRow;
use shared::objects::ObjectStore;
use shared::origin::{Origin, ShardPosition};
use shared::time::Timestamp;

use super::way::{ArchiveObject, Dispatch, Line, Record, Request, StoredItem, TracedEvent};
use crate::archive::{SKEW, covering, earlier};
use crate::deployment::{Attributes, Deployment, ShardTail, Start, attribute};

/// Most pages of a shard that are read to find one record. On AWS they are two a second.
const PAGES: usize = 100;

pub(super) async fn read(
    deployment: &impl Deployment,
    config: &Config,
    event: &mut TracedEvent,
) -> anyhow::Result<()> {
    if let Some(attributes) = deployment.attributes(&event.tenant, &event.id).await? {
        let item = Item::read(|name| attribute(&attributes, name))?;
        event.dispatch = dispatch(config, &attributes);
        if !event.records.iter().any(|record| record.origin == item.origin) {
            let record = record(deployment, config, &item.origin, item.facts.received_at).await?;
            event.records.extend(record);
        }
        event.request = Some((&item.facts).into());
        event.origin = Some(item.origin.clone());
        event.item = Some(StoredItem {
            processed_at: item.processed_at,
            origin: item.origin,
            expires_at: item.expires_at,
            is_truncated: attributes.get("truncated") == Some(&Value::Bool(true)),
        });
    }
    let last = event.origin.clone().or_else(|| Some(event.records.last()?.origin.clone()));
    if let Some(origin) = &last {
        event.done_end = done_end(deployment, origin).await?;
    }
    if let Some(origin) = event.origin.clone() {
        archived(deployment, event, &origin).await?;
    }
    Ok(())
}

/// `None` where dispatch is off and was off.
fn dispatch(config: &Config, attributes: &Attributes) -> Option<Dispatch> {
    let text = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let status = text(DISPATCH_STATUS);
    let attempts = attributes.get(DISPATCH_ATTEMPTS).and_then(Value::as_i64);
    let is_dispatched = config.dispatch.enabled || status.is_some() || attempts.is_some();
    let attempts = attempts.unwrap_or_default();
    is_dispatched.then(|| Dispatch { status, attempts, reason: text(DISPATCH_REASON) })
}

/// The record of that origin, if the stream still has it and it is near the time at which the event was received.
async fn record(
    deployment: &impl Deployment,
    config: &Config,
    origin: &Origin,
    received_at: Timestamp,
) -> anyhow::Result<Option<Record>> {
    if !deployment.shards().await?.iter().any(|shard| **shard == *origin.shard) {
        return Ok(None);
    }
    let wanted = ShardPosition::new(origin.sequence_number.clone(), 0);
    let mut start = Start::At(earlier(received_at, SKEW));
    for _ in 0..PAGES {
        let read = deployment.records(&origin.shard, start).await?;
        let Some(last) = read.records.last().map(|record| record.sequence_number.clone()) else { break };
        let found =
            read.records.into_iter().find(|record| *record.sequence_number == *origin.sequence_number);
        if let Some(record) = found {
            let line = record.batch(&origin.shard).lines(config).find(|line| line.origin == *origin);
            return Ok(line.and_then(|line| Some(Record::new(&line, line.event.as_ref().ok()?))));
        }
        if read.tail != ShardTail::More || ShardPosition::new(last.as_str(), 0) > wanted {
            break;
        }
        start = Start::After(last);
    }
    Ok(None)
}

/// Up to where the origin's shard is done: by the ledger, or by the checkpoint if that is further.
async fn done_end(deployment: &impl Deployment, origin: &Origin) -> anyhow::Result<Option<ShardPosition>> {
    let committed_end = match deployment.ledger().read(&origin.shard).await {
        // The audit names it.
        Err(LedgerFailure::Unreadable(_)) => None,
        progress => progress?.committed_end,
    };
    let checkpoint = deployment.checkpoint(&origin.shard).await?;
    Ok(committed_end.max(checkpoint.map(|number| ShardPosition::new(number, u32::MAX))))
}

async fn archived(
    deployment: &impl Deployment,
    event: &mut TracedEvent,
    origin: &Origin,
) -> anyhow::Result<()> {
    let Some(row) = covering(deployment, origin).await? else { return Ok(()) };
    let listed = deployment.list(&row.key, None).await?;
    event.object = Some(ArchiveObject {
        key: row.key.clone(),
        bytes: row.bytes,
        lines: row.lines,
        first: row.first.to_string(),
        end: row.end.to_string(),
        written: listed.iter().find(|object| object.key == row.key).map(|object| object.written),
    });
    let Some((line, facts)) = line(deployment, event, &row, &ShardPosition::from(origin)).await? else {
        return Ok(());
    };
    event.line = Some(line);
    event.request.get_or_insert(facts);
    Ok(())
}

/// The line at that position, and what it says of its request. `None` if the object does not have it.
async fn line(
    deployment: &impl Deployment,
    event: &TracedEvent,
    row: &ManifestRow,
    position: &ShardPosition,
) -> anyhow::Result<Option<(Line, Request)>> {
    let ranges = match ranges_of(deployment.objects(), row).await {
        Ok((ranges, _)) => ranges,
        Err(NotRead::Unreadable(_)) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    for range in ranges.iter().filter(|range| range.tenant == event.tenant) {
        let (offset, length) = (range.offset, range.length);
        let Some(member) = deployment.objects().get_range(&row.key, offset, length).await? else { continue };
        let (mut number, mut found) = (0, None);
        // What cannot be read, the audit names.
        let _length = each_line_of_first(&member, |at: ShardPosition, line| {
            number += 1;
            if at == *position {
                found = Some((number, line.to_vec()));
            }
        });
        let Some((number, bytes)) = found else { continue };
        let archived: ArchiveLine<'_> = shared::archive::line(&bytes)?;
        if archived.facts.id != event.id {
            continue;
        }
        let large = archived.claim_check.as_ref().map(ClaimCheck::part_keys);
        let command = match &large {
            None => deployment
                .prints(&row.key, Some((offset, length)))
                .map(|bytes| format!("{bytes} | gunzip | sed -n {number}p")),
            Some(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| deployment.prints(part, None)).collect();
                parts.map(|parts| format!("{{ {}; }} | gunzip", parts.join("; ")))
            }
        };
        let large = archived.claim_check.as_ref().map(|claim_check| claim_check.key.clone());
        let line = Line { member_offset: offset, member_length: length, number, large, command };
        return Ok(Some((line, (&*archived.facts).into())));
    }
    Ok(None)
}
