//! The loop around the Lambda runtime: Function URL events in, answers out.
//!
//! Most requests have events. For them path and method decide, so they go to the state itself; the router, which looks at more and
//! takes longer, has all others.

mod flush;
mod request;
mod response;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use lambda_http::lambda_runtime;
use lambda_http::{Context, Error, LambdaEvent, service_fn};
use shared::objects::ObjectStore;
use shared::telemetry::EmbeddedMetrics;
use tower::ServiceExt;

use self::flush::Flusher;
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
    let flusher = Arc::new(Flusher::new(metrics));
    let service = service_fn(move |event| {
        let (invocations, flusher) = (Arc::clone(&invocations), Arc::clone(&flusher));
        // In a box, because it is large and is moved several times.
        Box::pin(async move {
            let answer = invocations.answer(event).await;
            flusher.answered(invocations.state.stream_calls());
            answer
        })
    });
    lambda_runtime::run_concurrent(service).await
}

/// The same for a server: a layer that writes metrics. `recorded` returns how many values the fullest distribution got so far.
pub fn with_metrics(
    router: Router,
    metrics: EmbeddedMetrics,
    recorded: impl Fn() -> u64 + Clone + Send + Sync + 'static,
) -> Router {
    let flusher = Arc::new(Flusher::new(metrics));
    router.layer(from_fn(move |request: axum::extract::Request, next: Next| {
        let (flusher, recorded) = (Arc::clone(&flusher), recorded.clone());
        async move {
            let response = next.run(request).await;
            flusher.answered(recorded());
            response
        }
    }))
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
