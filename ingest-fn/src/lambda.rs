//! The edge to Lambda: Function URL events in, the router's answers out.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lambda_http::lambda_runtime::Diagnostic;
use lambda_http::{Error, Request, RequestExt, Response, Service, service_fn};
use tower::ServiceExt;

use crate::request_id::RequestId;

/// Serves `router` to the Lambda Runtime API until the runtime ends the process.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run_concurrent(service(router)).await
}

/// `router` as a service of Lambda's requests. The invocation's id is the request's, so that our log lines and
/// Lambda's own are found together.
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
    if let Some(id) = request_id {
        request.extensions_mut().insert(RequestId(id.into()));
    }
    let (parts, body) = router.oneshot(request).await?.into_parts();
    // The runtime wants a body that is `Sync`, which axum's is not. Ours are small and whole.
    Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
}
