//! The call to a collector: `POST` of JSON, by HTTP/1.1, with TLS where the URL asks for it. Credentials and other protocols are
//! left to the collector.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

use super::span::{Span, Value, body};
use crate::environment;

/// Of an answer, which only says what was wrong.
const ANSWER_BYTES: usize = 64 * 1024;
/// A connection that was not used for so long is closed: a collector or what is between may have forgotten it.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Collector {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// What all spans have.
    resource: Vec<(&'static str, Value)>,
}

impl Collector {
    pub(super) fn new(url: &str, service: &'static str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new();
        // To read the authorities takes longer than the rest of a start.
        let connector = if uri.scheme_str() == Some("https") {
            let provider = rustls::crypto::ring::default_provider();
            connector.with_provider_and_native_roots(provider).map_err(|error| error.to_string())?
        } else {
            let none = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let none = none.map_err(|error| error.to_string())?;
            connector
                .with_tls_config(none.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector.https_or_http().enable_http1().build());
        let mut resource = vec![
            ("service.namespace", Value::from("tidegate")),
            ("service.name", Value::from(service)),
            ("service.version", Value::from(env!("CARGO_PKG_VERSION"))),
        ];
        if let Ok(stage) = std::env::var(environment::STAGE) {
            resource.push(("deployment.environment.name", Value::Text(stage)));
        }
        Ok(Self { uri, client, resource })
    }

    pub(super) fn url(&self) -> &Uri {
        &self.uri
    }

    /// One call. An error says why the collector did not take the spans.
    pub(super) async fn send(&self, spans: Vec<Span>) -> Result<(), String> {
        let body = Full::new(body(&self.resource, &spans).into());
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let text =
            read.map(|body| String::from_utf8_lossy(&body.to_bytes()).chars().take(200).collect::<String>());
        Err(format!("it answered {status}: {}", text.unwrap_or_default().trim()))
    }
}

/// hyper says only that it failed, and the causes why.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
