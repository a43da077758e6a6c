//! Requests to ingest, and what came back.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// An answer that takes longer is a failure of its own.
const TIMEOUT: Duration = Duration::from_mins(1);

#[cfg(feature = "tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    /// Without a slash at the end.
    base: String,
}

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Bytes,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub took: Duration,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub fn post(path: impl Into<String>, media_type: &str, body: impl Into<Bytes>) -> Self {
        let call = Self { method: Method::POST, body: body.into(), ..Self::get(path) };
        call.header(CONTENT_TYPE.as_str(), media_type)
    }

    pub fn json(path: &str, body: &Value) -> Self {
        Self::post(path, "application/json", body.to_string())
    }

    pub fn text(path: &str, body: impl Into<Bytes>) -> Self {
        Self::post(path, "text/plain", body)
    }

    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Client {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/');
        let uri: Uri = base.parse().with_context(|| format!("`{url}` is no URL"))?;
        let schemes: &[_] = if cfg!(feature = "tls") { &["http", "https"] } else { &["http"] };
        ensure!(
            uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)),
            "`{url}` cannot be used (accepted: {}; https needs a build with `--features aws`)",
            schemes.join(", ")
        );
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        Ok(Self {
            inner: legacy::Client::builder(TokioExecutor::new()).build(connector(http)?),
            base: base.to_owned(),
        })
    }

    /// An error means that there was no answer.
    pub async fn send(&self, call: Call) -> anyhow::Result<Answer> {
        let Call { method, path, headers, body } = call;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(&*name, value);
        }
        let request = request.body(Full::new(body))?;
        let begun = Instant::now();
        let answered = async {
            let response = self.inner.request(request).await?;
            let (parts, body) = response.into_parts();
            anyhow::Ok((parts, body.collect().await?.to_bytes()))
        };
        let answered = tokio::time::timeout(TIMEOUT, answered).await;
        let (parts, body) = answered
            .with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))?
            .context("no answer")?;
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body, took: begun.elapsed() })
    }

    /// Sends it, and expects this status.
    pub async fn expect(&self, status: u16, call: Call) -> anyhow::Result<Answer> {
        let what = format!("{} {}", call.method, call.path);
        let answer = self.send(call).await.with_context(|| what.clone())?;
        ensure!(answer.status == status, "{what}: {status} was expected, not {answer}");
        Ok(answer)
    }
}

#[cfg(feature = "tls")]
fn connector(mut http: HttpConnector) -> anyhow::Result<Connector> {
    http.enforce_http(false);
    // Named, since the AWS SDK brings a second one.
    let provider = rustls::crypto::ring::default_provider();
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
    Ok(builder.context("the system's certificates")?.https_or_http().enable_http1().wrap_connector(http))
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "with TLS it reads the system's certificates")]
fn connector(http: HttpConnector) -> anyhow::Result<Connector> {
    Ok(http)
}

impl Answer {
    /// `Null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The id of the event that was accepted.
    pub fn event_id(&self) -> anyhow::Result<String> {
        let id = self.json()["event_id"].as_str().map(str::to_owned);
        id.with_context(|| format!("the answer has no `event_id`: {self}"))
    }

    /// Of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or("(no code)").to_owned()
    }
}

/// Status and body, shortened.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        write!(f, "{} {}", self.status, body.trim_end())
    }
}
