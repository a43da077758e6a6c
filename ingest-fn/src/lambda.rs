//! The loop around the Lambda runtime: Function URL events in, the router's answers out.

mod flush;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::{Error, Request, RequestExt, Response, Service, service_fn};
use shared::telemetry::EmbeddedMetrics;
use tokio::time::Instant;
use tower::ServiceExt;

use self::flush::Flushes;
use crate::reads::AnswerLimit;
use crate::request_id::RequestId;

/// Serves `router` to the Lambda Runtime API until the runtime ends the process.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run_concurrent(service(router)).await
}

/// Adds a layer that writes metrics from time to time, after an answer and before Lambda may freeze the sandbox.
/// `recorded` returns how many values the fullest distribution got so far.
pub fn with_metrics(
    router: Router,
    metrics: EmbeddedMetrics,
    recorded: impl Fn() -> u64 + Clone + Send + Sync + 'static,
) -> Router {
    let flushes = Arc::new(Mutex::new(Flushes::default()));
    router.layer(from_fn(move |request: AxumRequest, next: Next| {
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

/// `router` as a service of Lambda's requests. The request gets the invocation's id, so that one id finds our log lines and
/// Lambda's own.
pub fn service(
    router: Router,
) -> impl Service<
    Request,
    Response = Response<Full<Bytes>>,
    Error = impl std::fmt::Debug + Into<Diagnostic> + Send + 'static,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |request| answer(router.clone(), request))
}

async fn answer(router: Router, request: Request) -> Result<Response<Full<Bytes>>, Error> {
    let request_id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let mut request = request.map(|body| match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    });
    request.extensions_mut().insert(AnswerLimit(shared::limits::LAMBDA_PAYLOAD_BYTES));
    if let Some(id) = request_id {
        request.extensions_mut().insert(RequestId(id.into()));
    }
    let (parts, body) = router.oneshot(request).await?.into_parts();
    // The runtime needs a body that is `Sync`, which axum's is not. Our bodies are small and complete.
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}
