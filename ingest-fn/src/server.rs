//! The edge to a socket, for a container: serves until it is told to stop, then answers what is under way.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How long open requests may take to end. Container platforms kill after 30 s (ECS) or 10 s (Docker) by default: give them
/// as much as this and a little more.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Serves `router` until `stop` is done; then takes no more connections, lets open requests end, and returns. What is
/// still open after `drain` is cut off: it was answered by nothing, and its sender sends again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> io::Result<()> {
    let (tell, told) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _told_or_dropped = told.await;
    });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
        () = stop => {}
    }
    let _server_is_there = tell.send(());
    match tokio::time::timeout(drain, &mut server).await {
        Ok(ended) => ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
        Err(_past_deadline) => {
            server.abort();
            tracing::warn!(seconds = drain.as_secs(), "requests were still open and are cut off");
            Ok(())
        }
    }
}

/// Done at the first SIGTERM or SIGINT from now on.
pub fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    /// A server whose one route answers once `go` is told, and tells `came` when it is asked.
    struct Served {
        address: std::net::SocketAddr,
        came: Arc<Notify>,
        go: Arc<Notify>,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<io::Result<()>>,
    }

    async fn served(drain: Duration) -> Served {
        let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked, may_answer) = (Arc::clone(&came), Arc::clone(&go));
        let handler = get(move || async move {
            asked.notify_one();
            may_answer.notified().await;
            "done"
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let ended = tokio::spawn(serve(listener, Router::new().route("/", handler), stopped, drain));
        Served { address, came, go, stop, ended }
    }

    async fn ask(address: std::net::SocketAddr) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        socket
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_server_is_told_to_stop_and_no_new_one_is_taken() {
        let Served { address, came, go, stop, ended } = served(DRAIN).await;
        let mut socket = ask(address).await;
        came.notified().await;
        stop.send(()).unwrap();
        // The listener is closed once the server has heard of it.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
        ended.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_cut_off_at_the_deadline() {
        let Served { address, came, stop, ended, .. } = served(Duration::from_millis(50)).await;
        let _socket = ask(address).await;
        came.notified().await;
        stop.send(()).unwrap();
        ended.await.unwrap().unwrap();
    }
}
