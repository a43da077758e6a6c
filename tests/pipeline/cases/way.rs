//! The ways in: each sends a form's requests or records, and returns what was answered.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ingest_fn::credentials::Credentials;
use ingest_fn::{IngestPorts, IngestState, NoReader, server};
use local::data::DataFolder;
use local::embedded::{EmbeddedStream, LocalQueue};
use local::event_source_mapping::ports::Invoker;
use local::runtime_api::FunctionHost;
use reqwest::{Client, Method};
use serde_json::{Map, Value};
use shared::config::{ConfigSource, Server};
use shared::format::kpl;
use shared::id::Ids;
use shared::time::Clock;
use tests::site::{DEADLINE, LocalRun, Site};
use tests::stored::StoredData;
use tokio::net::TcpListener;

use super::form::{Form, PAGE, Sent, Takes};

/// The tenant of an event beside each form in an aggregate.
pub(super) const NEIGHBOUR: &str = "neighbour";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Container,
    FunctionUrl,
    LocalRun,
    /// A user record of a KPL aggregate, on the stream.
    Aggregate,
    /// A record on the stream.
    Record,
}

impl Way {
    pub(super) const ALL: [Self; 5] =
        [Self::Container, Self::FunctionUrl, Self::LocalRun, Self::Aggregate, Self::Record];

    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Container | Self::FunctionUrl | Self::LocalRun)
    }

    /// Why a form cannot take it.
    pub(super) fn closed_to(self, takes: Takes) -> Option<&'static str> {
        match takes {
            Takes::Every => None,
            Takes::Http(reason) => (!self.is_http()).then_some(reason),
            Takes::Socket { function_url, stream } => match self {
                Self::Container | Self::LocalRun => None,
                Self::FunctionUrl => Some(function_url),
                Self::Aggregate | Self::Record => Some(stream),
            },
            Takes::FunctionUrl(reason) => (self != Self::FunctionUrl).then_some(reason),
            Takes::Stream(reason) => self.is_http().then_some(reason),
        }
    }
}

/// An answer, and the ids of the events that it says are accepted.
pub(super) struct Answer {
    pub(super) shown: String,
    pub(super) ids: Vec<String>,
}

/// Something that takes what is sent, for the data folder of a site.
pub(super) enum Sender {
    Socket { client: Client, url: String },
    Function(FunctionHost),
    Stream { data: StoredData, is_aggregated: bool },
}

impl Sender {
    pub(super) async fn new(way: Way, site: &Site, run: &LocalRun) -> Self {
        let stream = |is_aggregated| Self::Stream { data: site.stored(), is_aggregated };
        let socket = |url| Self::Socket { client: Client::new(), url };
        match way {
            Way::Container => socket(container(&site.data(), &site.configuration_file()).await),
            Way::LocalRun => socket(run.url.clone()),
            Way::FunctionUrl => {
                let configuration = ["--config".into(), site.configuration_file().into()];
                Self::Function(crate::configured("ingest-fn", &site.data(), configuration))
            }
            Way::Aggregate => stream(true),
            Way::Record => stream(false),
        }
    }

    /// The answers to what a form sends; none from the stream.
    pub(super) async fn send(&self, form: &Form, tenant: &str) -> Vec<Answer> {
        let mut answers = Vec::new();
        match self {
            Self::Socket { client, url } => {
                for sent in &form.sent {
                    answers.push(by_socket(client, url, sent, tenant).await);
                }
            }
            Self::Function(host) => {
                for sent in &form.sent {
                    answers.push(by_function(host, sent, tenant).await);
                }
            }
            Self::Stream { data, is_aggregated: false } => {
                for sent in &form.sent {
                    data.put_foreign(tenant, &sent.body(tenant));
                }
            }
            Self::Stream { data, is_aggregated: true } => {
                let beside =
                    format!(r#"{{"tenant_id":"{NEIGHBOUR}","id":"{tenant}","text":"x"}}"#).into_bytes();
                let sent = form.sent.iter().map(|sent| sent.body(tenant));
                data.put_foreign(tenant, &kpl::aggregate_of(sent.chain([beside])));
            }
        }
        answers
    }

    pub(super) async fn end(self) {
        if let Self::Function(host) = self {
            host.shutdown(DEADLINE).await;
        }
    }
}

/// The server of `ingest-server`, on the local adapters. Returns its address.
async fn container(data: &Path, configuration: &Path) -> String {
    let config = Arc::new(ConfigSource::File(configuration.to_owned()).load([]).unwrap());
    let (data, clock) = (DataFolder::open(data).unwrap(), Clock::system());
    let stream = EmbeddedStream::open(data.database().unwrap(), 1, clock.clone()).await.unwrap();
    let queue = data.queue(LocalQueue::Spill, &clock).unwrap();
    let ports = IngestPorts { stream, objects: data.objects().unwrap(), queue, reader: None::<NoReader> };
    let state = IngestState::new(config, Credentials::none(), ports, clock, Ids::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (router, limits) = (ingest_fn::router(state), Server::default());
    tokio::spawn(async move {
        server::serve(listener, router, &limits, std::future::pending(), server::GRACE).await;
    });
    url
}

async fn by_socket(client: &Client, url: &str, sent: &Sent, tenant: &str) -> Answer {
    let method = Method::from_bytes(sent.method.as_bytes()).unwrap();
    let mut request = client.request(method, format!("{url}{}", sent.path(tenant))).timeout(DEADLINE);
    for (name, value) in sent.headers(tenant) {
        request = request.header(name, value);
    }
    let response = request.body(sent.body(tenant)).send().await.unwrap();
    let allowed =
        response.headers().get("access-control-allow-origin").map(|page| page.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    answer(status.into(), allowed.as_deref(), &response.bytes().await.unwrap())
}

async fn by_function(host: &FunctionHost, sent: &Sent, tenant: &str) -> Answer {
    let mut headers = Map::new();
    for (name, value) in sent.headers(tenant) {
        // As AWS joins them.
        let joined = headers.get(name).and_then(Value::as_str).map(|first| format!("{first},{value}"));
        headers.insert(name.to_owned(), joined.unwrap_or(value).into());
    }
    let content_type = headers.get("content-type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let body = sent.body(tenant);
    let (body, is_base64) = if is_text(&content_type) {
        (String::from_utf8_lossy(&body).into_owned(), false)
    } else {
        (base64_simd::STANDARD.encode_to_string(body), true)
    };
    let headers = Value::Object(headers);
    let mut event =
        crate::function_url::event(sent.method, &sent.path(tenant), &headers, &body.into(), is_base64);
    if let Some(twist) = sent.twist {
        twist(&mut event);
    }
    let response = host.invoke(Bytes::from(event.to_string())).await.unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    let allowed = response["headers"]["access-control-allow-origin"].as_str();
    answer(
        response["statusCode"].as_u64().unwrap(),
        allowed,
        response["body"].as_str().unwrap_or_default().as_bytes(),
    )
}

/// Whether a Function URL passes a body of this type on as it is. All others are base64.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split([';', ',']).next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/xml", "application/javascript"];
    essence.starts_with("text/") || known.contains(&essence.as_str())
}

/// The status, the code of the problem or of each of several, and whether the page may read it.
fn answer(status: u64, allowed_origin: Option<&str>, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let events = body["events"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    let all =
        |member: &str| events.iter().filter_map(|event| Some(event[member].as_str()?.to_owned())).collect();
    let (codes, ids): (Vec<String>, Vec<String>) = (all("code"), all("event_id"));
    let page = (allowed_origin == Some(PAGE)).then(|| "for the page".to_owned());
    Answer {
        shown: [status.to_string()].into_iter().chain(codes).chain(page).collect::<Vec<_>>().join(" "),
        ids,
    }
}
