//! Serves on a socket, for a container and for the local run, until it is stopped; then finishes the open requests.
//!
//! Anyone can open a connection, so none may hold what others need: there is a cap, and time limits for a connection
//! without a request. At the cap, the connection that has waited longest for a request is closed for a new one. If all have
//! requests in progress, the new one is answered 503.

mod connection;
mod files;
mod places;
mod socket;
mod unreadable;

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use shared::config::Server;
use tokio::net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::places::Places;

/// Time limit for open requests after the signal. Container platforms kill after 30 s (ECS) or 10 s (Docker) by default:
/// set theirs to a little more than this.
pub const GRACE: Duration = Duration::from_secs(25);
/// The connections that the system accepted and we did not yet. Linux takes the smaller one of this and
/// `net.core.somaxconn`, 4,096.
const QUEUE: u32 = 65_535;
/// After a connection could not be accepted, most likely because the process or the system has no more files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Listens, with a queue for as many new connections as the system allows. A flood that exceeds the queue is reset by the
/// system, without an answer.
pub async fn listen(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(QUEUE)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Serves `router` until `stop` is done; then accepts no more connections and returns when the open requests have ended, or
/// after `grace`. A request that is cut off got no answer, so its client sends it again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Server,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let places = Places::new(files::connections(limits.connections));
    let (begin_stop, stopping) = watch::channel(());
    let mut open = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (socket, place) = tokio::select! {
            biased;
            () = &mut stop => break,
            next = async { (accept(&listener).await, places.take().await) } => next,
        };
        while open.try_join_next().is_some() {}
        open.spawn(connection::run(socket, place, limits.clone(), router.clone(), stopping.clone()));
    }
    drop((listener, begin_stop));
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!(seconds = grace.as_secs(), "requests were still open and are cut off");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::error!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether only this client is concerned, which has gone already.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Ends at the first SIGTERM or SIGINT from now on.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests;
