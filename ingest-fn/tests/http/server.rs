//! The router with three ports in memory, which fail by plan.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use ingest_fn::credentials::{CredentialSource, Credentials, CredentialsError};
use ingest_fn::lambda::Invocations;
use ingest_fn::{
    EventStream, FaultCheck, IngestPorts, IngestState, OutgoingLine, Put, Refusal, SpillFailure,
    SpillMessage, SpillQueue, StreamFailure, StreamRecord, router,
};
use serde_json::Value;
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::record::{self, Content};
use shared::id::Ids;
use shared::objects::memory::{Fault, MemoryObjects};
use shared::time::{Clock, Timestamp};
use tower::ServiceExt;
use uuid::Uuid;

use crate::openapi;
use crate::reader::MemoryReader;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own, and they go together")]
pub(crate) struct Faults {
    /// Records of this partition key are always refused.
    pub(crate) throttled: Option<&'static str>,
    /// No call is ever answered.
    pub(crate) hangs: bool,
    /// The adapter panics.
    pub(crate) panics: bool,
    /// No object can be stored.
    pub(crate) objects_fail: bool,
    /// The spill queue takes nothing.
    pub(crate) queue_refuses: bool,
    /// After so many looks at the storage, it is found to be gone.
    pub(crate) storage_gone_after: Option<usize>,
}

impl Faults {
    fn storage(self) -> FaultCheck {
        let looks = AtomicUsize::new(0);
        FaultCheck::new(move || {
            let before = looks.fetch_add(1, Ordering::Relaxed);
            let is_gone = self.storage_gone_after.is_some_and(|after| before >= after);
            is_gone.then(|| ingest_fn::Fault("the folder is gone: put it back".into()))
        })
    }
}

/// Everything that reached the ports.
#[derive(Default)]
struct Reached {
    records: Vec<StreamRecord>,
    messages: Vec<SpillMessage>,
}

#[derive(Clone)]
pub(crate) struct Ports {
    faults: Faults,
    reached: Arc<Mutex<Reached>>,
}

impl EventStream for Ports {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        assert!(!self.faults.panics, "a defect in an adapter");
        if self.faults.hangs {
            std::future::pending::<()>().await;
        }
        let put = |record: &StreamRecord| {
            if self.faults.throttled == Some(&*record.partition_key) {
                return Put::Refused(Refusal::Throttled(
                    "Rate exceeded for shard 7 of account 12".to_owned(),
                ));
            }
            self.reached.lock().unwrap().records.push(record.clone());
            Put::Taken
        };
        Ok(records.iter().map(put).collect())
    }
}

impl SpillQueue for Ports {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        let send = |message: &SpillMessage| {
            if self.faults.queue_refuses {
                return Err(SpillFailure("access denied to queue x of account 12".to_owned()));
            }
            self.reached.lock().unwrap().messages.push(message.clone());
            Ok(())
        };
        messages.iter().map(send).collect()
    }
}

struct Text(String);

impl CredentialSource for Text {
    fn read(&self) -> BoxFuture<'_, Result<String, CredentialsError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }

    fn name(&self) -> String {
        "a test".to_owned()
    }
}

/// A server and all that reached its ports.
pub(crate) struct Server {
    pub(crate) router: Router,
    /// The same by Lambda's way.
    pub(crate) invocations: Invocations<Ports, MemoryObjects, Ports, MemoryReader>,
    /// Of the same configuration, for its document. It has ids of its own.
    documented: Router,
    /// The name of its configuration.
    configuration: String,
    reached: Arc<Mutex<Reached>>,
    pub(crate) objects: MemoryObjects,
    /// Milliseconds that have passed.
    time: Arc<AtomicI64>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Faults::default(), |_| {})
    }

    pub(crate) fn failing(faults: Faults) -> Self {
        Self::with(faults, |_| {})
    }

    pub(crate) fn with(faults: Faults, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_ids(faults, change, counting_ids())
    }

    /// A server that events can be read back from.
    pub(crate) fn reading(reader: MemoryReader, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::of(config, Credentials::none(), Faults::default(), counting_ids(), Some(reader))
    }

    pub(crate) fn with_ids(faults: Faults, change: impl FnOnce(&mut Config), ids: Ids) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::of(config, Credentials::none(), faults, ids, None)
    }

    /// A server with this document of credentials.
    pub(crate) async fn with_credentials(document: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::reading_with_credentials(document, change, None).await
    }

    /// The same. Events can be read back if there is a reader.
    pub(crate) async fn reading_with_credentials(
        document: &str,
        change: impl FnOnce(&mut Config),
        reader: Option<MemoryReader>,
    ) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let clock = Clock::fixed(Timestamp::from_unix_ms(0));
        let credentials = Credentials::read(Text(document.to_owned()), &config, clock).await.unwrap();
        Self::of(config, credentials, Faults::default(), counting_ids(), reader)
    }

    fn of(
        config: Config,
        credentials: Credentials,
        faults: Faults,
        ids: Ids,
        reader: Option<MemoryReader>,
    ) -> Self {
        let reached = Arc::default();
        let ports = Ports { faults, reached: Arc::clone(&reached) };
        let mut objects = MemoryObjects::default();
        objects.fail(move |_| faults.objects_fail.then_some(Fault::Throttled));
        let (time, now) = (Arc::<AtomicI64>::default(), NOW_SECONDS * 1_000 + 123);
        let passed = Arc::clone(&time);
        let clock = Clock::new(move || Timestamp::from_unix_ms(now + passed.load(Ordering::Relaxed)));
        let configuration = format!("{} {}", config.fingerprint(), reader.is_some());
        let (config, stores) = (Arc::new(config), objects.clone());
        let ports = IngestPorts { stream: ports.clone(), objects: stores, queue: ports, reader };
        let state = |credentials, ids| {
            let (config, ports, fault) = (Arc::clone(&config), ports.clone(), faults.storage());
            IngestState::checked(config, credentials, ports, fault, clock.clone(), ids)
        };
        let documented = router(state(Credentials::none(), counting_ids()));
        let state = state(credentials, ids);
        let (router, invocations) = (router(Arc::clone(&state)), Invocations::new(state));
        Self { router, invocations, documented, configuration, reached, objects, time }
    }

    /// The server's clock goes on; otherwise it stands still.
    pub(crate) fn advance(&self, by: std::time::Duration) {
        self.time.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Sends a request. Its answer must be as the OpenAPI document says.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = answer_of(&self.router, request).await;
        openapi::check(&*self.document().await, &method, &path, &answer);
        answer
    }

    pub(crate) async fn health(&self) -> Answer {
        self.send(Request::get("/health").body(Body::empty()).unwrap()).await
    }

    /// The OpenAPI document. Some tests start thousands of servers of one configuration, so it is kept.
    async fn document(&self) -> Arc<Value> {
        static DOCUMENTS: Mutex<BTreeMap<String, Arc<Value>>> = Mutex::new(BTreeMap::new());
        if let Some(document) = DOCUMENTS.lock().unwrap().get(&self.configuration) {
            return Arc::clone(document);
        }
        let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
        let document = Arc::new(answer_of(&self.documented, request).await.json);
        DOCUMENTS.lock().unwrap().insert(self.configuration.clone(), Arc::clone(&document));
        document
    }

    /// The events on the stream, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        let reached = self.reached.lock().unwrap();
        let entries =
            reached.records.iter().flat_map(|record| record::unpack(&record.data, &[]).unwrap().entries);
        let event = |entry: record::Entry| match entry.unwrap() {
            Content::Event(event) => *event,
            Content::Foreign(object) => panic!("{object:?}"),
        };
        entries.map(event).collect()
    }

    /// The partition keys of the records on the stream, in order.
    pub(crate) fn partition_keys(&self) -> Vec<String> {
        self.reached.lock().unwrap().records.iter().map(|record| record.partition_key.clone()).collect()
    }

    /// The messages in the spill queue, each as its partition key and how many lines it has.
    pub(crate) fn spilled(&self) -> Vec<(String, usize)> {
        let reached = self.reached.lock().unwrap();
        let shown = |message: &SpillMessage| {
            (message.partition_key().to_owned(), SpillMessage::read(message.body()).unwrap().len())
        };
        reached.messages.iter().map(shown).collect()
    }

    /// The lines in the spill queue.
    pub(crate) fn spilled_lines(&self) -> Vec<OutgoingLine> {
        let reached = self.reached.lock().unwrap();
        reached.messages.iter().flat_map(|message| SpillMessage::read(message.body()).unwrap()).collect()
    }
}

async fn answer_of(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let headers = parts.headers.iter().map(header).collect();
    // Messages of protobuf are no text.
    let text = String::from_utf8_lossy(&body).into_owned();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status: parts.status, headers, json, text, body }
}

/// The server's time, in seconds.
pub(crate) const NOW_SECONDS: i64 = 1_795_253_400;

/// 00000000-0000-0000-0000-000000000001 and so on.
fn counting_ids() -> Ids {
    let next = AtomicU64::new(1);
    Ids::new(move || Uuid::from_u128(u128::from(next.fetch_add(1, Ordering::Relaxed))))
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) json: Value,
    pub(crate) body: Bytes,
}

impl Answer {
    /// `202`, or `403 tier_missing`.
    pub(crate) fn shown(&self) -> String {
        match self.json["code"].as_str() {
            Some(code) => format!("{} {code}", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }

    /// Asserts that this is a problem as RFC 9457 has it, and complete.
    pub(crate) fn assert_problem(&self) {
        let text = |name: &str| self.json[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {self:?}"));
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], self.status.as_u16(), "{self:?}");
        assert_eq!(text("type"), format!("urn:tidegate:problem:{}", text("code")));
        assert_eq!(text("request_id"), self.headers["x-request-id"]);
        assert!(text("detail").len() < 1_000, "{self:?}");
        assert!(text("title").starts_with(|first: char| first.is_uppercase()));
    }
}

/// A `POST` to `/ingest` in tier `pro`, with these headers.
pub(crate) fn post(headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    post_to("/ingest", headers, body)
}

pub(crate) fn post_to(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("x-customer-tier", "pro");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
pub(crate) const TEXT: (&str, &str) = ("content-type", "text/plain");
pub(crate) const ACME: (&str, &str) = ("x-tenant-id", "acme");
