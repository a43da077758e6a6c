//! Serves on a socket, for a container, until a signal; then finishes the open requests.

use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Time limit for open requests after the signal. Container platforms kill after 30 s (ECS) or 10 s (Docker) by default:
/// set theirs to a little more than this.
pub const GRACE: Duration = Duration::from_secs(25);

/// Serves `router` until `stop` is done; then accepts no more connections and returns when the open requests have ended, or
/// after `grace`. A request that is cut off got no answer, so its client sends it again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> io::Result<()> {
    let (begin_stop, stop_begun) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _sent_or_dropped = stop_begun.await;
    });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
        () = stop => {}
    }
    let _received = begin_stop.send(());
    match tokio::time::timeout(grace, &mut server).await {
        Ok(ended) => ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
        Err(_past_deadline) => {
            server.abort();
            tracing::warn!(seconds = grace.as_secs(), "requests were still open and are cut off");
            Ok(())
        }
    }
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
mod tests {
    use std::sync::Arc;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    /// A server with one route, which notifies `came` and answers after `go` is notified.
    struct Served {
        address: std::net::SocketAddr,
        came: Arc<Notify>,
        go: Arc<Notify>,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<io::Result<()>>,
    }

    async fn served(grace: Duration) -> Served {
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
        let ended = tokio::spawn(serve(listener, Router::new().route("/", handler), stopped, grace));
        Served { address, came, go, stop, ended }
    }

    async fn ask(address: std::net::SocketAddr) -> TcpStream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        socket
    }

    #[tokio::test]
    async fn an_open_request_is_answered_after_the_stop_signal_and_new_ones_are_refused() {
        let Served { address, came, go, stop, ended } = served(GRACE).await;
        let mut socket = ask(address).await;
        came.notified().await;
        stop.send(()).unwrap();
        // The listener closes when the server has seen the signal.
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
    async fn a_request_that_does_not_end_is_cut_off_after_the_grace() {
        let Served { address, came, stop, ended, .. } = served(Duration::from_millis(50)).await;
        let _socket = ask(address).await;
        came.notified().await;
        stop.send(()).unwrap();
        ended.await.unwrap().unwrap();
    }
}
