//! The loop around the Lambda runtime: Function URL events in, the router's answers out.

mod flush;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::lambda_runtime::{self, Diagnostic};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, Error, LambdaEvent, Request, RequestExt, Response, Service, service_fn};
use shared::telemetry::EmbeddedMetrics;
use tokio::time::Instant;
use tower::ServiceExt;

use self::flush::Flushes;
use crate::reads::AnswerLimit;
use crate::rejection::Rejection;
use crate::request_id::RequestId;
use crate::{answer, stamp};

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

/// `router` as a service of Lambda's invocations.
pub fn service(
    router: Router,
) -> impl Service<
    LambdaEvent<LambdaRequest>,
    Response = impl serde::Serialize + std::fmt::Debug + Send + 'static,
    Error = impl std::fmt::Debug + Into<Diagnostic> + Send + 'static,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(move |event| respond(router.clone(), event))
}

/// `lambda_http` panics at events of which it cannot make a request: a query with a quote or a blank, a body whose base64 is
/// wrapped. It does so while it reads the event, before the router is called.
async fn respond(
    router: Router,
    event: LambdaEvent<LambdaRequest>,
) -> Result<impl serde::Serialize + std::fmt::Debug + Send + 'static, Error> {
    let request_id = RequestId(event.context.request_id.as_str().into());
    let mut requests = Adapter::from(service_fn(move |request| answer(router.clone(), request)));
    if let Ok(answered) = catch_unwind(AssertUnwindSafe(|| requests.call(event))) {
        return answered.await;
    }
    let refused = service_fn(move |_: Request| {
        let refusal = answer::refusal(&Rejection::RequestMalformed, &request_id);
        complete(stamp::named(refusal, &request_id))
    });
    let empty = LambdaRequest::ApiGatewayV2(ApiGatewayV2httpRequest::default());
    Adapter::from(refused).call(LambdaEvent::new(empty, Context::default())).await
}

/// The request gets the invocation's id, so that one id finds our log lines and Lambda's own.
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
    complete(router.oneshot(request).await?).await
}

async fn complete(response: Response<Body>) -> Result<Response<Full<Bytes>>, Error> {
    let (parts, body) = response.into_parts();
    // The runtime needs a body that is `Sync`, which axum's is not. Our bodies are small and complete.
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}
