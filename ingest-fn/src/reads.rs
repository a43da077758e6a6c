//! Reading events back: one event, or a page of a tenant's events, newest first.
//!
//! | file | has |
//! |---|---|
//! | `query.rs` | the parameters of a list, checked |
//! | `cursor.rs` | where a list continues |
//! | `page.rs` | a page: entries of the index by time, merged, with their items |
//! | `whole.rs` | what an item left out, from the archive |
//! | `view.rs` | an event as JSON, and an answer that fits |
//! | [`port`] | the port to index, items and manifest |
//!
//! The tenant of a request is decided in one place ([`crate::access::Access::reader`]). Everything is read for that tenant:
//! neither an id nor a cursor names another one.

mod cursor;
#[cfg(feature = "aws")]
pub mod dynamodb;
mod page;
pub mod port;
mod query;
mod view;
mod whole;

use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use shared::config::Config;
use shared::id::{EventId, TenantId};
use shared::objects::ObjectStore;
use shared::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::offload::offload;
use crate::reads::page::page;
use crate::reads::port::EventReader;
use crate::reads::query::ListRequest;
use crate::reads::view::{EventView, PageView};
use crate::reads::whole::archived;
use crate::rejection::Rejection;

pub(crate) use query::{LIMIT_DEFAULT, MOST};
pub(crate) use view::AnswerLimit;

/// Time limit for reading, of one request. It is within the function's time-out, whose least part is 4 s for the answer.
const TIME: Duration = Duration::from_secs(4);

/// Events that are read from the archive at the same time: large ones, and with `items.content = "reference"` all that are read by
/// their id. How much memory one takes is known only when it is there: the tenant's part of an archive object (up to 5 MB), the longest
/// line in it (16 MiB), a text of up to 10 MiB and its JSON. So a small event needs a place, too. Places are given in the order of arrival.
const WHOLE_AT_ONCE: usize = 4;

/// What the handlers of reads share.
#[derive(Debug)]
pub(crate) struct Reads<R> {
    reader: R,
    whole: Semaphore,
}

/// What is known of a request to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The query, without the `?`.
    pub(crate) query: &'a str,
    /// The largest answer, if there is one.
    pub(crate) limit: Option<AnswerLimit>,
    pub(crate) now: Timestamp,
}

impl<R: EventReader> Reads<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, whole: Semaphore::new(WHOLE_AT_ONCE) }
    }

    /// Answers with a page of the tenant's events.
    pub(crate) async fn list(
        &self,
        request: ReadRequest<'_>,
        tenant: TenantId,
        config: &Config,
    ) -> Result<Response, Rejection> {
        let list = ListRequest::read(request.query, tenant)?;
        let keys = config.tenants.spread.get(&list.tenant).copied().unwrap_or(0);
        let page = in_time(page(&self.reader, &list, keys, request.now)).await?;
        Ok(PageView::new(&page).answer(request.headers))
    }

    /// Answers with one event.
    pub(crate) async fn one(
        &self,
        request: ReadRequest<'_>,
        tenant: TenantId,
        id: EventId,
        objects: &impl ObjectStore,
    ) -> Result<Response, Rejection> {
        let found = in_time(self.find(&tenant, &id, request.now)).await?;
        let Some(event) = found else { return Err(Rejection::event_not_found(&id)) };
        let part = EventView::to_json(&event, None);
        if !event.is_cut() {
            return Ok(view::answer(part, request.headers));
        }
        let read = async {
            let permit = self.whole.acquire().await;
            archived(&event, &self.reader, objects).await.map(|line| (permit, line))
        };
        let (permit, line) = in_time(read).await?;
        let Some(line) = line else { return Ok(view::answer(part, request.headers)) };
        let bytes = line.text.len() + line.fields.as_json().len();
        let (headers, limit) = (request.headers.clone(), request.limit);
        let write = move || view::answer_within(EventView::to_json(&event, Some(&line)), &headers, limit);
        let whole = offload(bytes, write).await;
        drop(permit);
        // Where the whole does not fit an answer, the part that the item holds does.
        Ok(whole.unwrap_or_else(|| view::answer(part, request.headers)))
    }

    async fn find(
        &self,
        tenant: &TenantId,
        id: &EventId,
        now: Timestamp,
    ) -> Result<Option<port::StoredEvent>, port::ReadFailure> {
        let found = self.reader.find(tenant, id).await?;
        Ok(found.filter(|event| event.is_of(tenant) && !event.item.is_expired(now)))
    }
}

async fn in_time<T>(read: impl Future<Output = Result<T, port::ReadFailure>>) -> Result<T, Rejection> {
    let cause = match timeout(TIME, read).await {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(port::ReadFailure(cause))) => cause,
        Err(_) => format!("no answer within {} ms", TIME.as_millis()),
    };
    Err(Rejection::ReadUnavailable { cause })
}
