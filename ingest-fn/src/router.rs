//! The routes, and the one handler that accepts events: access, admit, read, cut, check, publish, spill, answer. Reading
//! events back is in [`crate::reads`].

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Uri};
use shared::config::Config;
use shared::id::{EventId, Ids, InvalidEventId};
use shared::metric::Metric;
use shared::objects::ObjectStore;
use shared::time::Clock;
use shared::traces::Traces;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::access::Access;
use crate::admit::{RawRequest, admit};
use crate::answer::{self, Answer};
use crate::body::{self, Arrived, Bodies, Incoming, Turn};
use crate::claim_check::{self, Checked};
use crate::cors::cors;
use crate::credentials::Credentials;
use crate::cut::{RequestEvents, cut};
use crate::fault::FaultCheck;
use crate::health::{HealthCheck, Outcomes};
use crate::media::{ContentType, MediaType};
use crate::offload::offload;
use crate::publish::{EventStream, Publisher};
use crate::reads::port::EventReader;
use crate::reads::{ReadRequest, Reads};
use crate::rejection::Rejection;
use crate::request_id::RequestId;
use crate::route::Route;
use crate::span::RequestSpan;
use crate::spill::{Spill, SpillQueue};
use crate::stamp::stamp;
use crate::watch::Answered;
use crate::{openapi, otlp};

/// What the handlers share.
#[derive(Debug)]
pub struct IngestState<S, O, Q, R> {
    config: Arc<Config>,
    access: Access,
    bodies: Bodies,
    objects: O,
    publisher: Publisher<S>,
    spill: Spill<Q>,
    /// `None` where events cannot be read back.
    reads: Option<Reads<R>>,
    fault: FaultCheck,
    outcomes: Outcomes,
    /// If spans go anywhere.
    traces: Option<Traces>,
    clock: Clock,
    ids: Ids,
}

/// What a request with events speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// JSON and texts, answered as docs/http-api.md says.
    Own,
    /// Log records of OpenTelemetry.
    Otlp,
}

impl Protocol {
    /// Of a route that takes events, and names no tenant.
    fn of(route: Route) -> Option<Self> {
        match route {
            Route::Ingest | Route::Events => Some(Self::Own),
            Route::Logs => Some(Self::Otlp),
            Route::Event | Route::Webhook | Route::Health | Route::OpenApi => None,
        }
    }

    /// The work on a body of `bytes` bytes, as that of a body of JSON of so many bytes.
    fn work(self, bytes: usize) -> usize {
        match self {
            Self::Own => bytes,
            Self::Otlp => bytes.saturating_mul(otlp::WORK),
        }
    }

    /// The same, where the body is there: many small events are more work than their bytes.
    fn work_on(self, body: &[u8]) -> usize {
        let events_at_most = memchr::memchr_iter(b'{', body).count();
        self.work(body.len()).max(events_at_most * EVENT_WORK)
    }
}

/// An event without anything in it takes the time of so many bytes of JSON, at least: 8 µs.
const EVENT_WORK: usize = 256;

/// What ingest calls.
#[derive(Clone, Debug)]
pub struct IngestPorts<S, O, Q, R> {
    pub stream: S,
    pub objects: O,
    pub queue: Q,
    /// Events can be read back if there is one.
    pub reader: Option<R>,
}

impl<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader> IngestState<S, O, Q, R> {
    pub fn new(
        config: Arc<Config>,
        credentials: Credentials,
        ports: IngestPorts<S, O, Q, R>,
        clock: Clock,
        ids: Ids,
    ) -> Arc<Self> {
        Self::checked(config, credentials, ports, FaultCheck::none(), clock, ids)
    }

    /// The same, for a process that can tell that nothing can be stored.
    pub fn checked(
        config: Arc<Config>,
        credentials: Credentials,
        ports: IngestPorts<S, O, Q, R>,
        fault: FaultCheck,
        clock: Clock,
        ids: Ids,
    ) -> Arc<Self> {
        let IngestPorts { stream, objects, queue, reader } = ports;
        let access = Access::new(Arc::clone(&config), credentials, &clock);
        let bodies = Bodies::new(&config.limits);
        let traces = Traces::of(&config.telemetry, "ingest");
        let publisher =
            Publisher::traced(stream, config.publish.clone(), Metric::PublishLatency, traces.clone());
        let spill = Spill::new(queue, config.publish.spill());
        let reads = reader.map(Reads::new);
        let outcomes = Outcomes::default();
        Arc::new(Self {
            config,
            access,
            bodies,
            objects,
            publisher,
            spill,
            reads,
            fault,
            outcomes,
            traces,
            clock,
            ids,
        })
    }

    /// If spans go anywhere.
    pub fn traces(&self) -> Option<Traces> {
        self.traces.clone()
    }

    /// What becomes of the events from now on.
    pub fn outcomes(&self) -> Outcomes {
        self.outcomes.clone()
    }

    /// How many calls to the stream were made so far.
    pub fn stream_calls(&self) -> u64 {
        self.publisher.calls()
    }

    /// Handles a request on a task of its own. If the client disconnects, the server drops its future. A thread may still
    /// work on the body then, so the body keeps its share of the memory, and is charged.
    async fn handle(
        self: Arc<Self>,
        protocol: Protocol,
        tenant_in_path: Option<String>,
        request: Request,
        request_id: RequestId,
    ) -> Response {
        // In a box, because it is large and a task is moved several times.
        let handled = Box::pin(async move {
            let (parts, body) = request.into_parts();
            let raw = RawRequest { tenant_in_path: tenant_in_path.as_deref(), headers: &parts.headers };
            self.accept(protocol, &raw, Incoming::Arriving(body), &request_id).await
        });
        match tokio::spawn(handled).await {
            Ok(answer) => answer.into(),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }

    /// The protocol of a request for which method and path are enough to know that it is to be accepted. All others are the router's.
    pub(crate) fn accepts(&self, method: &Method, path: &str) -> Option<Protocol> {
        if method != Method::POST || !self.config.cors.origins.is_empty() {
            return None;
        }
        Protocol::of(Route::ALL.into_iter().find(|route| route.path() == path)?)
    }

    pub(crate) async fn accept(
        &self,
        protocol: Protocol,
        raw: &RawRequest<'_>,
        mut body: Incoming,
        request_id: &RequestId,
    ) -> Answer {
        Metric::RequestsReceived.add(1);
        let span = RequestSpan::begin(self.traces.as_ref(), raw);
        let taken = self.take_in(protocol, raw, &mut body, span.as_ref().map(RequestSpan::header)).await;
        if taken.is_err() {
            body::discard(raw.headers, &mut body, &self.config.limits).await;
        }
        self.note_refusals(raw, &taken);
        let answer = match (protocol, &taken) {
            (Protocol::Otlp, taken) => otlp::answer(taken, raw.headers, request_id),
            (Protocol::Own, Ok((batch, body_bytes))) => answer::outcome(batch, *body_bytes, request_id),
            (Protocol::Own, Err(rejection)) => answer::refusal(rejection, request_id),
        };
        if let Some(span) = span {
            span.end(raw, &taken, answer.status(), request_id);
        }
        answer
    }

    /// For the one who runs it on this machine: metrics have no codes.
    fn note_refusals(
        &self,
        raw: &RawRequest<'_>,
        taken: &Result<(RequestEvents<EventId>, usize), Rejection>,
    ) {
        let refused = |rejection: &Rejection| {
            let code = rejection.code();
            self.outcomes.refused(code);
            if let Some(watched) = self.outcomes.watched() {
                watched.see(Answered { tenant: raw.named_tenant(), id: None, refused: Some(code) });
            }
        };
        match taken {
            Ok((batch, _)) => batch.events.iter().filter_map(|event| event.as_ref().err()).for_each(refused),
            Err(rejection) => refused(rejection),
        }
    }

    /// Takes a request through the stages. Returns the outcome of each event, and the size of the body in bytes. Where the
    /// request is traced, its events carry `trace`.
    async fn take_in(
        &self,
        protocol: Protocol,
        raw: &RawRequest<'_>,
        body: &mut Incoming,
        trace: Option<String>,
    ) -> Result<(RequestEvents<EventId>, usize), Rejection> {
        self.fault.before_work()?;
        let now = self.clock.now();
        let caller = self.access.before_body(raw, now).await?;
        let mut admitted = match protocol {
            Protocol::Own => admit(raw, &self.config, now)?,
            Protocol::Otlp => otlp::admit(raw, now)?,
        };
        admitted.trace = trace.or(admitted.trace);
        let charged = self.access.charge_announced(&caller, raw.headers)?;
        let received = self.bodies.receive(raw.headers, body).await?;
        let sender = self.access.after_body(caller, raw, &received.bytes).await?;
        // Large bodies are charged when it is their turn, one after the other: of many that come at once, the first ones use up
        // the quota, and no work is done on the others.
        let mut turn = Turn::default();
        self.bodies
            .wait_for_turn(&mut turn, protocol.work(admitted.coding.about(received.bytes.len())))
            .await;
        self.access.charge_received(&sender, received.bytes.len().saturating_sub(charged))?;
        let check = || self.access.charge_received(&sender, 0);
        let charge = |added| self.access.charge_added(&sender, added);
        let inflated = self.bodies.inflate(received, admitted.coding, &mut turn, check, charge).await?;
        let charge = |added| self.access.charge_added(&sender, added);
        let ContentType { media_type, charset } = admitted.content_type;
        let decoded = match media_type {
            MediaType::Bytes => inflated,
            _ => self.bodies.decode(inflated, charset, charge).await?,
        };
        let Arrived { bytes, held } = decoded;
        let (body_bytes, work) = (bytes.len(), protocol.work_on(&bytes));
        if self.bodies.wait_for_turn(&mut turn, work).await {
            // Others of this tenant, with as many events, may have used up the quota meanwhile.
            self.access.charge_received(&sender, 0)?;
        }
        let (config, ids) = (Arc::clone(&self.config), self.ids.clone());
        // The two stages that only compute, together: a large body moves to another thread once.
        let cut_and_check = move || {
            let events = cut(&sender, &admitted, &bytes, &config, &ids)?;
            Ok::<_, Rejection>((sender, events.map(|event| claim_check::check(event, &config))))
        };
        let (sender, checked) = offload(work, cut_and_check).await?;
        let checked = self.access.charge_events(&sender, body_bytes, checked);
        drop(turn);
        let claims_until = Instant::now() + self.config.publish.claim_check();
        let stored = claim_check::store(checked, &self.objects, claims_until).await;
        let outcomes = self.publish_or_spill(stored, claims_until).await;
        // The share of the memory is released only now, when nothing of the body is needed any more.
        drop(held);
        // After the work: what a deleted data folder took is not stored.
        self.fault.before_answer()?;
        Ok((outcomes, body_bytes))
    }

    /// Reads one event, or lists events.
    async fn read(
        &self,
        id: Option<Result<EventId, InvalidEventId>>,
        request: &Parts,
        request_id: &RequestId,
    ) -> Response {
        let to_read = ReadRequest {
            headers: &request.headers,
            query: request.uri.query().unwrap_or_default(),
            limit: request.extensions.get().copied(),
            now: self.clock.now(),
        };
        let read = self.read_for_tenant(to_read, id).await;
        read.unwrap_or_else(|rejection| answer::not_read(&rejection, request_id))
    }

    async fn read_for_tenant(
        &self,
        request: ReadRequest<'_>,
        id: Option<Result<EventId, InvalidEventId>>,
    ) -> Result<Response, Rejection> {
        let reads = self.reads.as_ref().ok_or(Rejection::ReadsDisabled)?;
        let raw = RawRequest { tenant_in_path: None, headers: request.headers };
        let tenant = self.access.reader(&raw, request.now).await?;
        match id.transpose()? {
            Some(id) => reads.one(request, tenant, id, &self.objects).await,
            None => reads.list(request, tenant, &self.config).await,
        }
    }

    async fn publish_or_spill(
        &self,
        batch: RequestEvents<Checked>,
        claims_until: Instant,
    ) -> RequestEvents<EventId> {
        let mut lines = Vec::with_capacity(batch.events.len());
        let watched = self.outcomes.watched();
        let mut tenants = VecDeque::new();
        let batch = batch.map(|Checked { id, line, tenant, .. }| {
            lines.push(line);
            if watched.is_some() {
                tenants.push_back(tenant);
            }
            id
        });
        let published = self.publisher.publish(lines.clone()).await;
        let not_published = published.iter().filter(|answer| answer.is_err()).count();
        let rest = self.spill.take_rest(lines, published, &self.objects, claims_until).await;
        let not_spilled = rest.iter().filter(|answer| answer.is_err()).count();
        let mut answers = rest.into_iter();
        let outcomes = batch.and_then(|id| match (answers.next(), tenants.pop_front()) {
            (Some(Ok(())), tenant) => {
                if let Some(watched) = watched {
                    watched.see(Answered { tenant, id: Some(id.clone()), refused: None });
                }
                Ok(id)
            }
            (Some(Err(unpublished)), _) => Err(unpublished.into()),
            // Accepted is only what is known to be on the stream or in the queue.
            (None, _) => Err(Rejection::Defect),
        });
        let taken = outcomes.events.iter().filter(|event| event.is_ok()).count();
        let unpublished =
            |event: &&Result<_, Rejection>| event.as_ref().is_err_and(Rejection::is_unpublished);
        let refused = outcomes.events.iter().filter(unpublished).count();
        self.outcomes.add(taken, not_published - not_spilled, refused, self.clock.now());
        outcomes
    }
}

/// The HTTP service: the same in Lambda, in a container and on the local run.
pub fn router<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    state: Arc<IngestState<S, O, Q, R>>,
) -> Router {
    let health = HealthCheck::of_ingest(state.fault.clone(), state.outcomes(), state.clock.clone());
    router_with_health(state, &health)
}

/// The same, for a process that sees more than ingest.
pub fn router_with_health<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    state: Arc<IngestState<S, O, Q, R>>,
    health: &HealthCheck,
) -> Router {
    let ids = state.ids.clone();
    let fingerprint = state.config.fingerprint();
    let (config, has_reads) = (Arc::clone(&state.config), state.reads.is_some());
    // Written when it is first asked for: most processes never are, and a cold start is a client's time.
    let document = Arc::new(LazyLock::new(move || openapi::document(&config, has_reads)));
    let accept = |route| {
        let protocol = Protocol::of(route).expect("it takes events");
        post(
            move |State(state): State<Arc<IngestState<S, O, Q, R>>>,
                  Extension(request_id): Extension<RequestId>,
                  request: Request| state.handle(protocol, None, request, request_id),
        )
    };
    let handlers = |route: Route| match route {
        Route::Ingest | Route::Logs => accept(route),
        Route::Events => accept(route).get(list),
        Route::Event => get(read),
        Route::Webhook => post(webhook),
        Route::Health => {
            let (fingerprint, health) = (fingerprint.clone(), health.clone());
            get(move || ready(answer::health(&fingerprint, &health.report())))
        }
        Route::OpenApi => {
            let document = Arc::clone(&document);
            get(move || ready(answer::document(Bytes::clone(&document))))
        }
    };
    let routes = Route::ALL.into_iter();
    let routes = routes
        .fold(Router::new(), |router, route| router.route(route.path(), handlers(route)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    // Each layer costs every request an allocation or two, so this one is only there if it may do something.
    let routes = match state.config.cors.origins[..] {
        [] => routes,
        _ => routes.layer(from_fn_with_state(Arc::clone(&state.config), cors)),
    };
    let routes = routes.layer(from_fn_with_state(ids, stamp)).with_state(state);
    // Where no route matches: once more, as the path was meant.
    let again = routes.clone().map_request(without_extra_slashes);
    routes.fallback_service(again)
}

fn without_extra_slashes(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = Route::meant(uri.path()) else { return request };
    let with_query = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = with_query.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

async fn webhook<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    State(state): State<Arc<IngestState<S, O, Q, R>>>,
    Extension(request_id): Extension<RequestId>,
    tenant: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A path that is not UTF-8 once decoded is no tenant id as it stands either.
    let tenant = tenant.map_or_else(|_| request.uri().path().to_owned(), |Path(tenant)| tenant);
    state.handle(Protocol::Own, Some(tenant), request, request_id).await
}

async fn list<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    State(state): State<Arc<IngestState<S, O, Q, R>>>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Response {
    state.read(None, &request.into_parts().0, &request_id).await
}

async fn read<S: EventStream, O: ObjectStore, Q: SpillQueue, R: EventReader>(
    State(state): State<Arc<IngestState<S, O, Q, R>>>,
    Extension(request_id): Extension<RequestId>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A path that is not UTF-8 once decoded names no event: an id without a byte is as invalid.
    let id = id.map_or_else(|_| EventId::parse(""), |Path(id)| EventId::parse(id));
    state.read(Some(id), &request.into_parts().0, &request_id).await
}

async fn not_found(Extension(request_id): Extension<RequestId>, uri: Uri) -> Response {
    let path = uri.path().chars().take(200).collect();
    answer::refusal(&Rejection::NotFound(path), &request_id).into()
}

async fn method_not_allowed(Extension(request_id): Extension<RequestId>, method: Method) -> Response {
    let method = method.as_str().chars().take(32).collect();
    answer::refusal(&Rejection::MethodNotAllowed(method), &request_id).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::is_inline;

    #[test]
    fn many_small_events_are_as_much_work_as_a_large_body() {
        let work = |body: String| Protocol::Own.work_on(body.as_bytes());
        assert!(!is_inline(work("{}\n".repeat(10_000))));
        assert!(!is_inline(work(format!("[{}{{}}]", "{},".repeat(600)))));
        assert!(is_inline(work(format!(r#"{{"text":"{}"}}"#, "x".repeat(100_000)))));
        assert!(is_inline(work(r#"{"text":"x","user":{"id":7}}"#.repeat(50))));
    }
}
