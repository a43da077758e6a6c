//! A page of a tenant's events, newest first.
//!
//! A tenant that is spread has several partitions in the index. Their entries are merged: by time, then by the number of the
//! partition, then in the partition's own order. So the order is the same for each page, and a cursor is one place in it.

use std::cmp::Reverse;

use futures::{StreamExt, TryStreamExt, stream};
use shared::partition::received_partitions;
use shared::time::Timestamp;

use super::cursor::Cursor;
use super::port::{EventReader, IndexEntry, IndexQuery, ReadFailure, StoredEvent};
use super::query::ListRequest;
use super::view::EventView;

/// The most bytes of a page as JSON, except that it has at least one event. A Function URL answers with 6 MB, in which
/// quotes and backslashes are escaped once more.
const PAGE_BYTES: usize = 2_500_000;

/// Items that are read first, and at most at a time. After the first ones their size is known.
const FIRST_ITEMS: usize = 10;
const ITEMS: usize = 100;

/// Partitions that are read at the same time.
const CONCURRENCY: usize = 16;

/// Entries without a live item give no events. After this many times of such entries, the page is returned without an event.
const ROUNDS: usize = 10;

/// Events as JSON, and where the list continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) events: Vec<String>,
    pub(crate) next: Option<Cursor>,
}

/// Reads a page. `keys` is over how many keys the tenant is spread, or 0.
pub(crate) async fn page(
    reader: &impl EventReader,
    request: &ListRequest,
    keys: u16,
    now: Timestamp,
) -> Result<Page, ReadFailure> {
    let partitions = received_partitions(&request.tenant, keys);
    let mut page = Page { events: Vec::new(), next: request.cursor.clone() };
    for _ in 0..ROUNDS {
        let entries = entries(reader, request, &partitions, page.next.as_ref()).await?;
        let is_last = fill(&mut page, reader, request, &entries, now).await?;
        if is_last {
            page.next = None;
        }
        if is_last || !page.events.is_empty() {
            break;
        }
    }
    Ok(page)
}

/// An entry, and the number of its partition.
type Placed = (usize, IndexEntry);

/// The next entries of all partitions: one more than the page may have, if there are as many.
async fn entries(
    reader: &impl EventReader,
    request: &ListRequest,
    partitions: &[String],
    cursor: Option<&Cursor>,
) -> Result<Vec<Placed>, ReadFailure> {
    let queries: Vec<_> = partitions
        .iter()
        .enumerate()
        .filter_map(|(number, partition)| Some((number, query(request, number, partition, cursor)?)))
        .collect();
    let read = queries.iter().map(|(number, query)| async move {
        let found = reader.entries(query).await?;
        Ok(found.into_iter().map(|entry| (*number, entry)).collect::<Vec<_>>())
    });
    // Collected: a stream over a borrowing closure would not be `Send`.
    let read: Vec<_> = read.collect();
    let read: Vec<Vec<Placed>> = stream::iter(read).buffered(CONCURRENCY).try_collect().await?;
    let mut merged = read.concat();
    // Stable: what is equal stays in the order of partitions, and of a partition.
    merged.sort_by_key(|(_, entry)| Reverse(entry.received_at));
    merged.truncate(request.limit + 1);
    Ok(merged)
}

/// What is read of a partition. `None` if nothing of it can follow the cursor.
fn query(
    request: &ListRequest,
    number: usize,
    partition: &str,
    cursor: Option<&Cursor>,
) -> Option<IndexQuery> {
    let before = |time: Timestamp| (time.unix_ms() > 0).then(|| Timestamp::from_unix_ms(time.unix_ms() - 1));
    let mut query = IndexQuery {
        tenant: request.tenant.clone(),
        partition: partition.to_owned(),
        from: request.from,
        last: before(request.to)?,
        after: None,
        limit: request.limit + 1,
    };
    // A cursor of a list with a later `to` does not restrict this one.
    if let Some(Cursor { partition, last, .. }) = cursor.filter(|cursor| cursor.last.received_at < request.to)
    {
        // At the cursor's time, lower partitions are done, and higher ones have not begun.
        query.last = if number < *partition { before(last.received_at)? } else { last.received_at };
        query.after = (number == *partition).then(|| last.clone());
    }
    (query.from <= query.last).then_some(query)
}

/// Adds the events of these entries until the page is full. Returns whether nothing follows.
async fn fill(
    page: &mut Page,
    reader: &impl EventReader,
    request: &ListRequest,
    entries: &[Placed],
    now: Timestamp,
) -> Result<bool, ReadFailure> {
    let (mut done, mut bytes, mut take) = (0, 0, FIRST_ITEMS);
    let wanted = &entries[..entries.len().min(request.limit)];
    while done < wanted.len() {
        let portion = &wanted[done..wanted.len().min(done + take)];
        let ids: Vec<_> = portion.iter().map(|(_, entry)| entry.id.clone()).collect();
        let found = reader.find_all(&request.tenant, &ids).await?;
        for ((partition, entry), event) in portion.iter().zip(found) {
            if let Some(event) = event.filter(|event| is_shown(event, request, entry, now)) {
                let event = EventView::to_json(&event, None);
                if bytes + event.len() > PAGE_BYTES && !page.events.is_empty() {
                    return Ok(false);
                }
                bytes += event.len();
                page.events.push(event);
            }
            done += 1;
            let (tenant, last) = (request.tenant.clone(), entry.clone());
            page.next = Some(Cursor { tenant, partition: *partition, last });
        }
        let average = (bytes / page.events.len().max(1)).max(1);
        take = (PAGE_BYTES.saturating_sub(bytes) / average).clamp(1, ITEMS);
    }
    Ok(entries.len() <= request.limit)
}

/// Whether the event lives, and is the one of the entry. An entry may be older than its item: the
/// item expired, and its id is a new event now.
fn is_shown(event: &StoredEvent, request: &ListRequest, entry: &IndexEntry, now: Timestamp) -> bool {
    event.is_of(&request.tenant)
        && event.item.facts.received_at == entry.received_at
        && !event.item.is_expired(now)
}
