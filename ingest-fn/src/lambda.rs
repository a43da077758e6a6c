//! The loop around the Lambda runtime: Function URL events in, answers out.
//!
//! Most requests have events. For them path and method decide, so they go to the state itself; the router, which looks at more and
//! takes longer, has all others.

mod flush;
mod request;
mod response;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use lambda_http::lambda_runtime;
use lambda_http::{Context, Error, LambdaEvent, service_fn};
use shared::objects::ObjectStore;
use shared::telemetry::EmbeddedMetrics;
use tokio::time::Instant;
use tower::ServiceExt;

use self::flush::Flushes;
pub use self::request::UrlEvent;
pub use self::response::UrlAnswer;
use crate::admit::RawRequest;
use crate::answer;
use crate::body::Incoming;
use crate::publish::EventStream;
use crate::reads::AnswerLimit;
use crate::reads::port::EventReader;
use crate::rejection::Rejection;
use crate::request_id::RequestId;
use crate::router::{IngestState, router};
use crate::spill::SpillQueue;
use crate::stamp::stamped;

const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Serves invocations of the Lambda Runtime API until the runtime ends the process. Metrics are written from time to time, after an
/// answer and before Lambda may freeze the sandbox.
pub async fn serve<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    state: Arc<IngestState<S, O, Q, R>>,
    metrics: EmbeddedMetrics,
) -> Result<(), Error> {
    let invocations = Arc::new(Invocations::new(state));
    let flush = Arc::new((metrics, Mutex::new(Flushes::default())));
    let service = service_fn(move |event| {
        let (invocations, flush) = (Arc::clone(&invocations), Arc::clone(&flush));
        // In a box, because it is large and is moved several times.
        Box::pin(async move {
            let answer = invocations.answer(event).await;
            let (metrics, flushes) = &*flush;
            let mut flushes = flushes.lock().unwrap_or_else(PoisonError::into_inner);
            if flushes.is_due(Instant::now(), invocations.state.stream_calls()) {
                metrics.flush();
            }
            answer
        })
    });
    lambda_runtime::run_concurrent(service).await
}

/// Answers Lambda's invocations.
#[derive(Debug)]
pub struct Invocations<S, O, Q, R> {
    state: Arc<IngestState<S, O, Q, R>>,
    router: Router,
}

impl<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader> Invocations<S, O, Q, R> {
    pub fn new(state: Arc<IngestState<S, O, Q, R>>) -> Self {
        Self { router: router(Arc::clone(&state)), state }
    }

    pub async fn answer(&self, event: LambdaEvent<UrlEvent>) -> Result<UrlAnswer, Error> {
        let LambdaEvent { payload, context, .. } = event;
        let request_id = RequestId(context.request_id.as_str().into());
        let Some(request) = payload.into_request() else {
            let refused = async { answer::refusal(&Rejection::RequestMalformed, &request_id) };
            return Ok(stamped(refused, &request_id).await.into());
        };
        let (parts, body) = of_invocation(request, &context).into_parts();
        if let Some(protocol) = self.state.accepts(&parts.method, parts.uri.path()) {
            let raw = RawRequest { tenant_in_path: None, headers: &parts.headers };
            let accepted = self.state.accept(protocol, &raw, Incoming::Whole(body), &request_id);
            return Ok(stamped(accepted, &request_id).await.into());
        }
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(AnswerLimit(shared::limits::LAMBDA_PAYLOAD_BYTES));
        request.extensions_mut().insert(request_id);
        let (head, body) = self.router.clone().oneshot(request).await?.into_parts();
        Ok(UrlAnswer::new(&head, body.collect().await?.to_bytes().into()))
    }
}

/// The trace that Lambda began.
fn of_invocation(mut request: Request<Bytes>, context: &Context) -> Request<Bytes> {
    if let Some(trace) = context.xray_trace_id.as_deref().and_then(|trace| HeaderValue::from_str(trace).ok())
    {
        request.headers_mut().insert(TRACE, trace);
    }
    request
}
