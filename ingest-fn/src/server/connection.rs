//! One connection: which phase it is in, how long that may last, and how it ends.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shared::config::Server;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceExt;

use super::places::{Place, Places};
use super::socket::Socket;
use super::unreadable::refusal;
use crate::rejection::Rejection;

/// The largest request head, and what is read of a body at once. hyper's default is 400 KiB for each connection.
pub(super) const HEAD_BYTES: usize = 16 * 1024;
/// For each phase of a connection that is refused.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// How long what still arrives is read and discarded after the last answer. If the connection was closed while the client still
/// writes, the client would see a reset instead of the answer.
const LINGER: Duration = Duration::from_secs(30);
/// The same, after the stop signal.
const LINGER_AT_STOP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// A request head arrives, or the first one is awaited.
    Head,
    /// The router has the request.
    Request,
    /// All is written. What still arrives is discarded.
    Closing,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    is_stopping: bool,
    /// Among the connections that may be closed for another one.
    turn: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Connection {
    limits: Server,
    /// Unless it is refused.
    places: Option<Arc<Places>>,
    must_close: Arc<Notify>,
    state: Mutex<State>,
}

/// Serves a connection until one of the sides ends it. `place` is given back after the socket was closed.
pub(super) async fn run(
    socket: TcpStream,
    place: Place,
    limits: Server,
    router: Router,
    mut stopping: watch::Receiver<()>,
) {
    let connection = Connection::new(&place, limits);
    let refused = match &place {
        Place::Served { .. } => None,
        Place::Refused { most, .. } => Some(*most),
    };
    let stopping_too = stopping.clone();
    let service = service_fn(|request: Request<Incoming>| {
        let (connection, router, stopping_too) = (&connection, router.clone(), &stopping_too);
        async move {
            if !connection.begin_request() {
                // It is being closed for another one.
                pending::<()>().await;
            }
            let response = match refused {
                Some(limit) => refusal(&Rejection::TooManyConnections { limit }),
                None => router.oneshot(request.map(Body::new)).await?,
            };
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                connection.hold_back(stopping_too.clone()).await;
            }
            connection.begin(Phase::Idle);
            Ok::<_, Infallible>(response)
        }
    });
    let socket = Socket::new(socket, Arc::clone(&connection));
    let mut http = http1::Builder::new();
    // The time limits are ours: hyper's does not tell a head from an idle connection.
    http.max_buf_size(HEAD_BYTES).header_read_timeout(None);
    let mut served = pin!(http.serve_connection(TokioIo::new(socket), service));
    let mut must_close = pin!(connection.must_close.notified());
    let mut stop = pin!(async { drop(stopping.changed().await) });
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut is_stopping = false;
    poll_fn(|context| {
        if must_close.as_mut().poll(context).is_ready() || served.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if !is_stopping && stop.as_mut().poll(context).is_ready() {
            is_stopping = true;
            connection.lock().is_stopping = true;
            served.as_mut().graceful_shutdown();
            if served.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
        }
        let Some(deadline) = connection.deadline() else { return Poll::Pending };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    })
    .await;
}

impl Connection {
    fn new(place: &Place, limits: Server) -> Arc<Self> {
        let places = match place {
            Place::Served { places, .. } => Some(Arc::clone(places)),
            Place::Refused { .. } => None,
        };
        let state = State { phase: Phase::Head, since: Instant::now(), is_stopping: false, turn: None };
        let connection =
            Self { limits, places, must_close: Arc::new(Notify::new()), state: Mutex::new(state) };
        connection.begin(Phase::Head);
        Arc::new(connection)
    }

    pub(super) fn begin(&self, phase: Phase) {
        let mut state = self.lock();
        (state.phase, state.since) = (phase, Instant::now());
        if state.turn.is_none() {
            state.turn = self.places.as_ref().map(|places| places.wait(&self.must_close));
        }
    }

    /// Whether the connection is still open for it.
    fn begin_request(&self) -> bool {
        let mut state = self.lock();
        (state.phase, state.since) = (Phase::Request, Instant::now());
        match (state.turn.take(), &self.places) {
            (Some(turn), Some(places)) => places.end_wait(turn),
            _ => true,
        }
    }

    /// A client that is over its quota and does not wait would spend on refusals the time that others need.
    async fn hold_back(&self, mut stopping: watch::Receiver<()>) {
        let Some((_held, time)) = self.places.as_ref().and_then(|places| places.hold_back()) else { return };
        tokio::select! {
            () = sleep(time) => {}
            _ = stopping.changed() => {}
        }
    }

    /// When it is closed, unless something happens.
    fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let limit = match state.phase {
            Phase::Request => return None,
            _ if self.places.is_none() => REFUSAL_TIME,
            Phase::Idle => self.limits.idle_timeout(),
            Phase::Head => self.limits.head_timeout(),
            Phase::Closing if state.is_stopping => LINGER_AT_STOP,
            Phase::Closing => LINGER,
        };
        Some(state.since + limit)
    }

    pub(super) fn is_idle_at_stop(&self) -> bool {
        let state = self.lock();
        state.is_stopping && state.phase == Phase::Idle
    }

    pub(super) fn is_in(&self, phase: Phase) -> bool {
        self.lock().phase == phase
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(turn), Some(places)) = (self.lock().turn, &self.places) {
            places.end_wait(turn);
        }
    }
}
