//! The loop around the Lambda runtime: Function URL events in, the router's answers out.

mod flush;
mod request;
mod response;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use lambda_http::lambda_runtime::{self, Diagnostic};
use lambda_http::{Context, Error, LambdaEvent, Service, service_fn};
use shared::telemetry::EmbeddedMetrics;
use tokio::time::Instant;
use tower::ServiceExt;

use self::flush::Flushes;
pub use self::request::UrlEvent;
pub use self::response::UrlAnswer;
use crate::reads::AnswerLimit;
use crate::rejection::Rejection;
use crate::request_id::RequestId;
use crate::{answer, stamp};

const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Serves `router` to the Lambda Runtime API until the runtime ends the process.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_runtime::run_concurrent(service(router)).await
}

/// Adds a layer that writes metrics from time to time, after an answer and before Lambda may freeze the sandbox.
/// `recorded` returns how many values the fullest distribution got so far.
pub fn with_metrics(
    router: Router,
    metrics: EmbeddedMetrics,
    recorded: impl Fn() -> u64 + Clone + Send + Sync + 'static,
) -> Router {
    let flushes = Arc::new(Mutex::new(Flushes::default()));
    router.layer(from_fn(move |request: Request, next: Next| {
        let (flushes, recorded) = (Arc::clone(&flushes), recorded.clone());
        async move {
            let response = next.run(request).await;
            let mut flushes = flushes.lock().unwrap_or_else(PoisonError::into_inner);
            if flushes.is_due(Instant::now(), recorded()) {
                metrics.flush();
            }
            response
        }
    }))
}

/// `router` as a service of Lambda's invocations.
pub fn service(
    router: Router,
) -> impl Service<
    LambdaEvent<UrlEvent>,
    Response = UrlAnswer,
    Error = impl std::fmt::Debug + Into<Diagnostic> + Send + 'static,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |event| respond(router.clone(), event))
}

async fn respond(router: Router, event: LambdaEvent<UrlEvent>) -> Result<UrlAnswer, Error> {
    let LambdaEvent { payload, context, .. } = event;
    let request_id = RequestId(context.request_id.as_str().into());
    let response = match payload.into_request() {
        Some(request) => router.oneshot(of_invocation(request, &context, request_id)).await?,
        None => stamp::named(answer::refusal(&Rejection::RequestMalformed, &request_id), &request_id),
    };
    let (head, body) = response.into_parts();
    Ok(UrlAnswer::new(head, body.collect().await?.to_bytes().into()))
}

/// The request gets the invocation's id, so that one id finds our log lines and Lambda's own; and the trace that Lambda began.
fn of_invocation(mut request: Request, context: &Context, request_id: RequestId) -> Request {
    if let Some(trace) = context.xray_trace_id.as_deref().and_then(|trace| HeaderValue::from_str(trace).ok())
    {
        request.headers_mut().insert(TRACE, trace);
    }
    request.extensions_mut().insert(AnswerLimit(shared::limits::LAMBDA_PAYLOAD_BYTES));
    request.extensions_mut().insert(request_id);
    request
}
