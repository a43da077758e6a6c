//! A target for dispatch: a GraphQL server that limits its rate, fails, stalls and goes away on demand. It counts calls by
//! their idempotency keys.

#![expect(clippy::unwrap_used, reason = "this is test code, though not in a test target")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use juniper::http::GraphQLRequest;
use juniper::{
    EmptySubscription, FieldError, FieldResult, GraphQLInputObject, GraphQLObject, RootNode, Value,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The window of the rate limit.
const WINDOW: Duration = Duration::from_secs(1);
/// How long a call stalls: longer than any dispatcher waits.
const STALL: Duration = Duration::from_mins(2);

pub struct GraphqlTarget {
    address: SocketAddr,
    shared: Arc<Mutex<Seen>>,
    /// `None` while it is away.
    server: Option<Runtime>,
}

/// How it treats calls, and what it has seen.
pub struct Seen {
    /// The most calls in any second. Further calls are refused.
    pub rate: usize,
    /// Every so many calls one fails. 0 for none.
    pub fail_every: usize,
    /// Whether calls stall.
    pub stalls: bool,
    /// When each call arrived.
    pub arrivals: Vec<Instant>,
    /// How many calls were refused by the rate limit.
    pub refused: usize,
    pub failed: usize,
    /// How often each key was taken, and its last event.
    pub taken: BTreeMap<String, (usize, Event)>,
    /// The last call's headers.
    pub headers: HeaderMap,
}

#[derive(Clone, Debug, PartialEq, Eq, GraphQLInputObject)]
#[graphql(name = "EventInput")]
pub struct Event {
    pub id: String,
    pub name: Option<String>,
    pub body: String,
    pub timestamp: String,
    pub brand: Option<String>,
}

#[derive(GraphQLObject)]
struct Dispatched {
    id: String,
}

struct Query;

#[juniper::graphql_object(context = Context)]
impl Query {
    /// How many keys were taken.
    fn taken(context: &Context) -> i32 {
        i32::try_from(lock(&context.seen).taken.len()).unwrap_or(i32::MAX)
    }
}

struct Mutation;

#[juniper::graphql_object(context = Context)]
impl Mutation {
    fn dispatch(context: &Context, event: Event, idempotency_key: String) -> FieldResult<Dispatched> {
        if event.body.contains("permanent") {
            return Err(FieldError::new("the body is not allowed", code("BAD_USER_INPUT")));
        }
        if context.key != idempotency_key.as_bytes() {
            return Err(FieldError::new("header and variable have different keys", Value::null()));
        }
        let mut seen = lock(&context.seen);
        let id = event.id.clone();
        let taken = seen.taken.entry(idempotency_key).or_insert_with(|| (0, event));
        taken.0 += 1;
        Ok(Dispatched { id })
    }
}

fn code(code: &str) -> Value {
    juniper::Value::object([("code", Value::scalar(code.to_owned()))].into_iter().collect())
}

struct Context {
    seen: Arc<Mutex<Seen>>,
    /// The header of this call.
    key: Vec<u8>,
}

impl juniper::Context for Context {}

type Schema = RootNode<Query, Mutation, EmptySubscription<Context>>;

impl GraphqlTarget {
    /// A server that takes at most `rate` calls in any second.
    pub fn start(rate: usize) -> Self {
        let seen = Seen {
            rate,
            fail_every: 0,
            stalls: false,
            arrivals: Vec::new(),
            refused: 0,
            failed: 0,
            taken: BTreeMap::new(),
            headers: HeaderMap::new(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut target = Self { address, shared: Arc::new(Mutex::new(seen)), server: None };
        target.come_back();
        target
    }

    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.shared)
    }

    /// Connections are refused, and those that are open end.
    pub fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }

    /// At the same address.
    pub fn come_back(&mut self) {
        let server =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let shared = Arc::clone(&self.shared);
        let (send, bound) = std::sync::mpsc::channel();
        let address = self.address;
        server.spawn(async move {
            let listener = loop {
                // The system may need a moment to free the port.
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            let _starter_gone = send.send(listener.local_addr().unwrap());
            let schema = Arc::new(Schema::new(Query, Mutation, EmptySubscription::new()));
            let router = Router::new().route("/graphql", post(call)).with_state((shared, schema));
            let _ended = axum::serve(listener, router).await;
        });
        self.address = bound.recv_timeout(crate::site::DEADLINE).expect("the address is free");
        self.server = Some(server);
    }
}

impl Drop for GraphqlTarget {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Seen {
    /// The most calls that arrived in any second.
    pub fn most_in_a_second(&self) -> usize {
        let within = |(first, at): (usize, &Instant)| {
            self.arrivals[first..].iter().take_while(|other| **other <= *at + WINDOW).count()
        };
        self.arrivals.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// Keys that were taken more than once.
    pub fn repeated(&self) -> usize {
        self.taken.values().filter(|(times, _)| *times > 1).count()
    }
}

async fn call(
    State((shared, schema)): State<(Arc<Mutex<Seen>>, Arc<Schema>)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let now = Instant::now();
    let (stalls, key) = {
        let mut seen = lock(&shared);
        seen.arrivals.push(now);
        let within = seen.arrivals.iter().rev().take_while(|at| **at + WINDOW >= now).count();
        if within > seen.rate {
            seen.refused += 1;
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response();
        }
        let number = seen.arrivals.len();
        if seen.fail_every > 0 && number.is_multiple_of(seen.fail_every) {
            seen.failed += 1;
            // One half by status, the other inside a 200.
            if seen.failed.is_multiple_of(2) {
                return (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response();
            }
            let body = r#"{"data":null,"errors":[{"message":"oops","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#;
            return (StatusCode::OK, body).into_response();
        }
        let key = headers.get("idempotency-key").map(|key| key.as_bytes().to_vec()).unwrap_or_default();
        seen.headers = headers;
        (seen.stalls, key)
    };
    if stalls {
        tokio::time::sleep(STALL).await;
    }
    let Ok(request) = serde_json::from_str::<GraphQLRequest>(&body) else {
        return (StatusCode::BAD_REQUEST, "no GraphQL request").into_response();
    };
    let answer = request.execute(&schema, &Context { seen: shared, key }).await;
    (StatusCode::OK, serde_json::to_string(&answer).unwrap()).into_response()
}

fn lock(shared: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
