//! Every request has an id, and every answer says it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::{HeaderName, HeaderValue};
use shared::id::Ids;

use crate::answer;
use crate::rejection::Rejection;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id: Lambda's own where it serves, else a new one. Never the client's: it finds our log lines.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Gives the request its id, and the answer too. A panic below becomes an answer here: one request must not take its
/// neighbours' connection or sandbox with it.
pub(crate) async fn stamp(State(ids): State<Ids>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.unwrap_or_else(|| RequestId(ids.next().to_string().into()));
    request.extensions_mut().insert(id.clone());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_panic| answer::refusal(&Rejection::Defect, &id));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
