//! The target by HTTP/1.1, with TLS by rustls. A connection is opened before a call's slot, and has one call at a time. Not
//! supported: proxies, redirects, HTTP/2.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use shared::config::Dispatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::{Answer, Call, Target};
use crate::secret::Secret;

/// The most bytes of an answer that are read. Only its errors matter.
const ANSWER_BYTES: usize = 1024 * 1024;

/// A connection that was idle longer is not used again: the other side may be about to close it.
const IDLE: Duration = Duration::from_secs(4);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// GraphQL over HTTP: the second is what servers without the first type answer.
const ACCEPTED: &str = "application/graphql-response+json, application/json;q=0.9";

#[derive(Debug)]
pub struct HttpTarget {
    host: String,
    port: u16,
    /// `None` is plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The header `Host`.
    authority: String,
    path: String,
    /// Values may have the placeholder for the secret.
    headers: Vec<(HeaderName, String)>,
    secret: Secret,
    connect_timeout: Duration,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    idle_since: Instant,
}

/// `dispatch.url` or a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`dispatch.{key}` is `{value}`: {why}")]
pub struct InvalidTarget {
    key: &'static str,
    value: String,
    why: String,
}

impl HttpTarget {
    /// With the system's root certificates, for `https`.
    pub fn new(config: &Dispatch, secret: Secret) -> Result<Self, InvalidTarget> {
        Self::with_roots(config, secret, || {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        })
    }

    pub(crate) fn with_roots(
        config: &Dispatch,
        secret: Secret,
        roots: impl FnOnce() -> RootCertStore,
    ) -> Result<Self, InvalidTarget> {
        let invalid = |why: String| InvalidTarget { key: "url", value: config.url.clone(), why };
        let uri: Uri =
            config.url.parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
        let host = uri.host().ok_or_else(|| invalid("it has no host".to_owned()))?.to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        // An IPv6 address is in brackets in a URL, and without them elsewhere.
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if is_tls {
            let name = ServerName::try_from(bare.clone()).map_err(|error| invalid(error.to_string()))?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let builder = builder.map_err(|error| invalid(error.to_string()))?;
            Some((Arc::new(builder.with_root_certificates(roots()).with_no_client_auth()), name))
        } else {
            None
        };
        let header = |(name, value): (&String, &String)| {
            let invalid = |why: String| InvalidTarget { key: "headers", value: name.clone(), why };
            let name = name.parse::<HeaderName>().map_err(|error| invalid(error.to_string()))?;
            Ok((name, value.clone()))
        };
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: uri.port_u16().map_or(host.clone(), |port| format!("{host}:{port}")),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host: bare,
            tls,
            headers: config.headers.iter().map(header).collect::<Result<_, _>>()?,
            secret,
            connect_timeout: config.connect_timeout(),
            timeout: config.timeout(),
            idle: Mutex::default(),
        })
    }

    async fn open(&self) -> Result<Connection, String> {
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        // A call is one small write, which must not wait for the acknowledgement of another.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let sender = match &self.tls {
            None => start(stream).await,
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await;
                start(stream.map_err(|error| format!("TLS: {error}"))?).await
            }
        };
        Ok(Connection { sender: sender.map_err(|error| error.to_string())?, idle_since: Instant::now() })
    }

    /// The most recent idle connection that is still open.
    fn reuse(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.sender.is_ready() && connection.idle_since.elapsed() < IDLE);
        idle.pop()
    }

    fn give_back(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Connection { sender, idle_since: Instant::now() });
    }

    async fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, ACCEPTED)
            .header(IDEMPOTENCY_KEY, &call.idempotency_key);
        for (name, value) in &self.headers {
            let is_secret = value.contains(Dispatch::SECRET);
            let value = if is_secret {
                value.replace(Dispatch::SECRET, &self.secret.get().await?)
            } else {
                value.clone()
            };
            let value = HeaderValue::try_from(value);
            let mut value =
                value.map_err(|_| format!("the header `{name}` has a character that is not allowed"))?;
            value.set_sensitive(is_secret);
            request = request.header(name, value);
        }
        request.body(Full::new(call.body.clone())).map_err(|error| error.to_string())
    }
}

impl Target for HttpTarget {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, String> {
        if let Some(connection) = self.reuse() {
            return Ok(connection);
        }
        let to = format_args!("{}:{}", self.host, self.port).to_string();
        match timeout(self.connect_timeout, self.open()).await {
            Ok(opened) => opened.map_err(|why| format!("no connection to {to}: {why}")),
            Err(_) => Err(format!("no connection to {to} within {} ms", self.connect_timeout.as_millis())),
        }
    }

    async fn call(&self, mut connection: Connection, call: &Call) -> Answer {
        let request = match self.request(call).await {
            Ok(request) => request,
            Err(why) => return Answer::None(why),
        };
        let exchange = async {
            let response = connection.sender.send_request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::from_parts(parts, body))
        };
        let response = match timeout(self.timeout, exchange).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Answer::None(format!("no answer: {error}")),
            Err(_) => return Answer::None(format!("no answer within {} ms", self.timeout.as_millis())),
        };
        if matches!(response.status().as_u16(), 401 | 403) {
            self.secret.forget().await;
        }
        self.give_back(connection.sender);
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Answer::Response {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER),
            location: header(LOCATION),
            body: response.body().clone(),
        }
    }
}

/// Speaks HTTP on a stream, in a task that ends with the connection.
async fn start<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> hyper::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    // Its error is also the error of the call on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::Router;
    use axum::http::HeaderMap;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use shared::time::Clock;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// Self-signed, for `localhost`, until 2126.
    const CERTIFICATE: &[u8] = include_bytes!("http/localhost.crt");
    const KEY: &[u8] = include_bytes!("http/localhost.key");

    fn call() -> Call {
        Call { idempotency_key: "acme/1".to_owned(), body: "{}".into() }
    }

    fn target(url: String, headers: &[(&str, &str)], secret: &str) -> HttpTarget {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config =
            Dispatch { url, headers, timeout_ms: 300, connect_timeout_ms: 300, ..Dispatch::default() };
        let roots = || {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
            roots
        };
        HttpTarget::with_roots(&config, Secret::local(Some(secret.to_owned()), None, Clock::system()), roots)
            .unwrap()
    }

    async fn made(target: &HttpTarget) -> Answer {
        match target.connect().await {
            Ok(connection) => target.call(connection, &call()).await,
            Err(why) => Answer::None(why),
        }
    }

    /// A server that answers each call with the headers that it got and the port of its client.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = |axum::extract::ConnectInfo(client): axum::extract::ConnectInfo<
            std::net::SocketAddr,
        >,
                       headers: HeaderMap,
                       body: Bytes| async move {
            let mut lines: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            let status = if headers.contains_key("x-refuse") { 401 } else { 429 };
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            (
                status,
                [("retry-after", "7")],
                format!("{}\n{}\n{}", client.port(), lines.join("\n"), String::from_utf8_lossy(&body)),
            )
        };
        let router = Router::new().route("/graphql", axum::routing::post(handler));
        let router = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/graphql")
    }

    #[tokio::test]
    async fn a_call_has_its_headers_with_the_secret_and_the_answer_its_parts() {
        let url = echo().await;
        let target = target(url.clone(), &[("Authorization", "Bearer {secret}"), ("X-Team", "a b")], "s3");
        let Answer::Response { status, retry_after, location, body } = made(&target).await else {
            panic!("no answer")
        };
        assert_eq!((status, retry_after.as_deref(), location), (429, Some("7"), None));
        let body = String::from_utf8(body.to_vec()).unwrap();
        let (_client, rest) = body.split_once('\n').unwrap();
        let host = url.trim_start_matches("http://").trim_end_matches("/graphql");
        insta::assert_snapshot!(rest.replace(host, "HOST"), @r"
        accept: application/graphql-response+json, application/json;q=0.9
        authorization: Bearer s3
        content-length: 2
        content-type: application/json
        host: HOST
        idempotency-key: acme/1
        x-team: a b
        {}
        ");
    }

    #[tokio::test]
    async fn a_connection_is_used_again_after_its_call_and_not_by_two_calls_at_once() {
        let target = target(echo().await, &[], "");
        let client = async || match made(&target).await {
            Answer::Response { body, .. } => {
                String::from_utf8_lossy(&body).lines().next().unwrap().to_owned()
            }
            Answer::None(why) => panic!("{why}"),
        };
        let first = client().await;
        assert_eq!(client().await, first);
        let (one, other) = tokio::join!(client(), client());
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn a_target_that_is_away_hangs_or_hangs_up_gives_no_answer_and_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let why = async |url: &str| match made(&target(url.to_owned(), &[], "")).await {
            Answer::None(why) => why,
            Answer::Response { .. } => panic!("an answer"),
        };
        assert_eq!(why(&url).await, "no answer within 300 ms");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _read = stream.read(&mut [0; 10]).await;
            }
        });
        assert!(why(&url).await.starts_with("no answer: "), "{}", why(&url).await);
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = why(&format!("http://{free}/")).await;
        assert!(refused.starts_with(&format!("no connection to {free}: ")), "{refused}");
    }

    /// A TLS server with the certificate for `localhost`. Returns its port.
    async fn tls() -> u16 {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _read = stream.read(&mut [0; 4_096]).await;
                let _written = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            }
        });
        port
    }

    #[tokio::test]
    async fn tls_checks_the_certificate_and_the_name() {
        let port = tls().await;
        let answer = made(&target(format!("https://localhost:{port}/"), &[], "")).await;
        let expected = Answer::Response { status: 200, retry_after: None, location: None, body: "{}".into() };
        assert_eq!(answer, expected);

        let Answer::None(why) = made(&target(format!("https://127.0.0.1:{port}/"), &[], "")).await else {
            panic!("an answer")
        };
        assert!(why.contains("TLS: invalid peer certificate: certificate not valid for name"), "{why}");

        let config = Dispatch { url: format!("https://localhost:{port}/"), ..Dispatch::default() };
        let unknown = HttpTarget::new(&config, Secret::local(None, None, Clock::system())).unwrap();
        let Answer::None(why) = made(&unknown).await else { panic!("an answer") };
        assert!(why.contains("TLS: invalid peer certificate: "), "{why}");
    }

    #[tokio::test]
    async fn a_secret_that_is_missing_or_no_header_is_an_answer_that_says_so() {
        let url = echo().await;
        let headers = [("Authorization", "Bearer {secret}")];
        let Answer::None(why) = made(&target(url.clone(), &headers, "a\u{1}b")).await else {
            panic!("an answer")
        };
        assert_eq!(why, "the header `authorization` has a character that is not allowed");
        let config = Dispatch {
            url,
            headers: [("a".to_owned(), "{secret}".to_owned())].into(),
            ..Dispatch::default()
        };
        let without = HttpTarget::new(&config, Secret::local(None, None, Clock::system())).unwrap();
        let Answer::None(why) = made(&without).await else { panic!("an answer") };
        assert!(why.starts_with("no secret is given"), "{why}");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named() {
        let config = Dispatch { url: "https://a b/".to_owned(), ..Dispatch::default() };
        let error = HttpTarget::new(&config, Secret::local(None, None, Clock::system())).unwrap_err();
        assert!(error.to_string().starts_with("`dispatch.url` is `https://a b/`: "), "{error}");
    }
}
