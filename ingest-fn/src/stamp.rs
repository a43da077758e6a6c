//! The outermost layer: every request gets an id, every answer names it, and a panic becomes an answer.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::{HeaderName, HeaderValue};
use shared::id::Ids;

use crate::answer::{self, Answer};
use crate::rejection::Rejection;
use crate::request_id::RequestId;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A panic below must not end the connection or the sandbox that other requests share.
pub(crate) async fn stamp(State(ids): State<Ids>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let id = id.unwrap_or_else(|| RequestId(ids.next().to_string().into()));
    request.extensions_mut().insert(id.clone());
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    named(answered.unwrap_or_else(|_panic| answer::refusal(&Rejection::Defect, &id).into()), &id)
}

/// The same for an answer that is made without the router.
pub(crate) async fn stamped(answered: impl Future<Output = Answer>, id: &RequestId) -> Answer {
    let answered = AssertUnwindSafe(answered).catch_unwind().await;
    let mut answer = answered.unwrap_or_else(|_panic| answer::refusal(&Rejection::Defect, id));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        answer.set(HEADER, value);
    }
    answer
}

/// The answer with its id in the header.
pub(crate) fn named(mut response: Response, id: &RequestId) -> Response {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
