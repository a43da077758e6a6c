//! A target for dispatch: GraphQL over HTTP, as far as one mutation needs it. It limits its rate, fails a share of calls, is
//! away when asked to be, and counts what it takes by idempotency key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shared::config::Dispatch;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// With the defaults, an event that always fails would be called for hours.
pub(crate) fn retry_fast(dispatch: &mut Dispatch) {
    (dispatch.max_attempts, dispatch.backoff_ms, dispatch.backoff_most_ms) = (10, 250, 4_000);
}

/// An event with this body is refused for good.
pub(crate) const REFUSED: &str = "is refused by the target";
/// Each call for an event with this body fails.
pub(crate) const FAILS: &str = "always fails at the target";
/// The first call for an event with this body is never answered.
pub(crate) const STALLS: &str = "stalls at the target";

/// Of the rate limit.
const WINDOW: Duration = Duration::from_secs(1);
/// Every so many calls one fails.
const FAIL_EVERY: usize = 20;
/// So many calls are answered 429, each of which stops all calls for a second.
const THROTTLED: usize = 5;

/// A handle. The server runs until this process ends.
#[derive(Clone)]
pub(crate) struct GraphqlTarget {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// The most calls in any second. Further ones are refused.
    rate: usize,
    pub(crate) is_away: bool,
    /// When each call arrived that was not made while it was away.
    pub(crate) arrivals: Vec<Instant>,
    /// Calls above the rate.
    pub(crate) refused: usize,
    /// What went wrong on purpose, and how often.
    pub(crate) failures: BTreeMap<&'static str, usize>,
    /// The calls for each key.
    pub(crate) calls: BTreeMap<String, Vec<Instant>>,
    /// The events that were taken, by key. More than one if the call was repeated.
    pub(crate) taken: BTreeMap<String, Vec<Value>>,
}

impl GraphqlTarget {
    pub(crate) async fn start(listen: SocketAddr, rate_per_second: f64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await;
        let listener =
            listener.with_context(|| format!("the target of dispatch cannot listen at {listen}"))?;
        let address = listener.local_addr()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the configuration allows 0.001 to 500"
        )]
        let rate = rate_per_second.ceil() as usize;
        let seen = Arc::new(Mutex::new(Seen { rate, ..Seen::default() }));
        tokio::spawn(serve(listener, Arc::clone(&seen)));
        Ok(Self { address, seen })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Seen {
    pub(crate) fn rate(&self) -> usize {
        self.rate
    }

    /// The most calls that arrived in any second.
    pub(crate) fn most_in_a_second(&self) -> usize {
        let mut first = 0;
        let mut most = 0;
        for (number, at) in self.arrivals.iter().enumerate() {
            while self.arrivals[first] + WINDOW < *at {
                first += 1;
            }
            most = most.max(number - first + 1);
        }
        most
    }

    fn fails(&mut self, how: &'static str) {
        *self.failures.entry(how).or_default() += 1;
    }

    pub(crate) fn failed(&self, how: &str) -> usize {
        self.failures.get(how).copied().unwrap_or(0)
    }

    /// The answer to a call that arrives now. `None`: it is never answered.
    fn answer(&mut self, now: Instant, key: &str, body: &Value) -> Option<Response<Full<Bytes>>> {
        self.arrivals.push(now);
        if self.arrivals.iter().rev().take_while(|at| **at + WINDOW >= now).count() > self.rate {
            self.refused += 1;
            return Some(throttled());
        }
        let event = &body["variables"]["event"];
        let text = event["body"].as_str().unwrap_or_default();
        if text == FAILS {
            return Some(answer(StatusCode::SERVICE_UNAVAILABLE, "the target is out of order"));
        }
        if text == STALLS && self.calls[key].len() == 1 {
            self.fails(TIME_OUT);
            return None;
        }
        if text != REFUSED && self.arrivals.len().is_multiple_of(FAIL_EVERY) {
            let failed = self.failed(STATUS) + self.failed(CODE) + self.failed(RATE);
            return Some(match failed % 3 {
                0 if self.failed(RATE) < THROTTLED => {
                    self.fails(RATE);
                    throttled()
                }
                1 => {
                    self.fails(CODE);
                    error("INTERNAL_SERVER_ERROR", "try again")
                }
                _ => {
                    self.fails(STATUS);
                    answer(StatusCode::INTERNAL_SERVER_ERROR, "try again")
                }
            });
        }
        let is_mutation =
            body["query"].as_str().is_some_and(|query| query.trim_start().starts_with("mutation"));
        if text == REFUSED || !is_mutation || body["variables"]["idempotencyKey"] != key {
            return Some(error("BAD_USER_INPUT", "the body is not allowed"));
        }
        self.taken.entry(key.to_owned()).or_default().push(event.clone());
        let data = json!({"data": {"dispatch": {"id": event["id"]}}});
        Some(answer(StatusCode::OK, data.to_string()))
    }
}

/// Names in [`Seen::failures`].
pub(crate) const RATE: &str = "429";
pub(crate) const STATUS: &str = "500";
pub(crate) const CODE: &str = "errors in a 200";
pub(crate) const TIME_OUT: &str = "no answer";
pub(crate) const AWAY: &str = "connection closed";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let service = service_fn(move |request| call(Arc::clone(&seen), request));
            let _hung_up = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn call(seen: Arc<Mutex<Seen>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
    let now = Instant::now();
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let answer = {
        let mut seen = lock(&seen);
        seen.calls.entry(key.clone()).or_default().push(now);
        if seen.is_away {
            seen.fails(AWAY);
            // The connection ends without an answer.
            return Err("the target is away".into());
        }
        seen.answer(now, &key, &body)
    };
    match answer {
        Some(answer) => Ok(answer),
        None => std::future::pending().await,
    }
}

fn throttled() -> Response<Full<Bytes>> {
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, "slow down");
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}

fn error(code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({"data": null, "errors": [{"message": message, "extensions": {"code": code}}]});
    answer(StatusCode::OK, body.to_string())
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_above_the_rate_of_any_sliding_second_is_refused_and_counted() {
        let mut seen = Seen { rate: 2, ..Seen::default() };
        let begin = Instant::now();
        let body = json!({"query": "mutation { a }", "variables": {"event": {"id": "1"}, "idempotencyKey": "acme/1"}});
        let mut status = |at| {
            seen.answer(begin + Duration::from_millis(at), "acme/1", &body)
                .map(|answer| answer.status().as_u16())
        };
        assert_eq!([0, 900, 950, 1_960].map(&mut status), [200, 200, 429, 200].map(Some));
        assert_eq!((seen.refused, seen.most_in_a_second(), seen.taken["acme/1"].len()), (1, 3, 3));
    }
}
