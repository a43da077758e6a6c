//! Real sockets: what clients see, and how long connections without a request are held.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::get;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::HEAD_BYTES;
use super::*;

/// The longest that a test waits for what must happen.
const SOON: Duration = Duration::from_secs(10);

/// A server with three routes: `/` answers, `/refused` answers without reading the body, `/waits` adds to `came` and takes from
/// `go`, then answers.
struct Served {
    address: SocketAddr,
    came: Arc<Semaphore>,
    go: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn served(limits: Server, grace: Duration) -> Served {
    let (came, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (asked, may_answer) = (Arc::clone(&came), Arc::clone(&go));
    let waits = get(move || async move {
        asked.add_permits(1);
        may_answer.acquire().await.unwrap().forget();
        "done"
    });
    let router = Router::new().route("/", get(async || "at once")).route("/waits", waits);
    let router = router.route("/quota", get(async || http::StatusCode::TOO_MANY_REQUESTS));
    let router = router.route("/refused", axum::routing::post(async || "refused"));
    let listener = listen("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::spawn(async move { serve(listener, router, &limits, stopped, grace).await });
    Served { address, came, go, stop, ended }
}

fn limits(connections: usize, head_ms: u64, idle_ms: u64) -> Server {
    Server { connections: Some(connections), head_timeout_ms: head_ms, idle_timeout_ms: idle_ms }
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    socket
}

/// All that comes until the server closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer)).await.expect("the server closes").unwrap();
    answer
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    rest(&mut send(address, head.as_bytes()).await).await
}

/// An answer on a connection that stays open.
async fn answer(socket: &mut TcpStream) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 1_000]);
    while !answer.ends_with(b"at once") {
        let read = timeout(SOON, socket.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(answer).unwrap()
}

fn problem(answer: &str) -> (&str, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    (&head[9..12], body["code"].as_str().unwrap().to_owned())
}

const HALF_A_HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ";

#[tokio::test]
async fn connections_without_a_request_give_way_so_that_others_are_served_at_once() {
    let hour = 3_600_000;
    let Served { address, .. } = served(limits(100, hour, hour), GRACE).await;
    let mut strangers = Vec::new();
    for index in 0..400 {
        let begun: &[u8] = if index % 2 == 0 { HALF_A_HEAD } else { b"" };
        strangers.push(send(address, begun).await);
    }
    for index in 0..20 {
        let mut kept = send(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answer(&mut kept).await;
        let asked = timeout(Duration::from_secs(1), ask(address, "/"));
        assert!(asked.await.expect("within a second").ends_with("at once"), "{index}");
        // Its turn is the last one, though it was there before the others.
        kept.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        answer(&mut kept).await;
        strangers.push(kept);
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_closed_after_its_time_limit_also_if_it_trickles() {
    let Served { address, .. } = served(limits(10, 100, 3_600_000), GRACE).await;
    assert_eq!(rest(&mut send(address, HALF_A_HEAD).await).await, "");
    assert_eq!(rest(&mut send(address, b"").await).await, "");
    // So long that no pause of a busy machine between two bytes is as long.
    let Served { address, .. } = served(limits(10, 1_000, 3_600_000), GRACE).await;
    let (mut reader, mut writer) = send(address, HALF_A_HEAD).await.into_split();
    let trickle = async {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = async { reader.read(&mut [0; 100]).await };
    let ended = async {
        tokio::select! { () = trickle => {}, _ended = closed => {} }
    };
    timeout(SOON, ended).await.expect("it is closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_own_time_limit() {
    let Served { address, .. } = served(limits(10, 100, 400), GRACE).await;
    let mut socket = send(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    answer(&mut socket).await;
    let begun = Instant::now();
    assert_eq!(rest(&mut socket).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn where_all_connections_have_requests_the_next_is_answered_503_until_one_ends() {
    let Served { address, came, go, .. } = served(limits(2, 10_000, 10_000), GRACE).await;
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(ask(address, "/waits"))).collect();
    let _both = timeout(SOON, came.acquire_many(2)).await.unwrap().unwrap();
    // More than are refused at the same time, and with a body that no one reads.
    let flood: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn(async move {
                let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
                let mut socket = send(address, head).await;
                socket.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
                rest(&mut socket).await
            })
        })
        .collect();
    for refused in flood {
        let refused = refused.await.unwrap();
        assert_eq!(problem(&refused), ("503", "too_many_connections".to_owned()));
        assert!(refused.contains("retry-after: 1") && refused.contains("\"limit\":2"), "{refused}");
    }
    go.add_permits(2);
    for answered in waiting {
        assert!(answered.await.unwrap().ends_with("done"));
    }
    assert!(ask(address, "/").await.ends_with("at once"));
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_answered_with_a_problem() {
    let Served { address, .. } = served(limits(10, 10_000, 10_000), GRACE).await;
    let large = [HALF_A_HEAD, &[b'a'; HEAD_BYTES]].concat();
    let endless = [HALF_A_HEAD, &vec![b'a'; 380_000]].concat();
    let many = "A: b\r\n".repeat(101);
    let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
    for (head, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00"[..], ("400", "head_unreadable")),
        (b"GET / HTTP/9.9\r\n\r\n", ("400", "head_unreadable")),
        (b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n", ("400", "head_unreadable")),
        (&large, ("431", "head_too_large")),
        (&endless, ("431", "head_too_large")),
        (many.as_bytes(), ("431", "head_too_large")),
    ] {
        let mut socket = send(address, head).await;
        // Also as the second one of a connection.
        let mut second = send(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answer(&mut second).await;
        second.write_all(head).await.unwrap();
        for socket in [&mut socket, &mut second] {
            socket.shutdown().await.unwrap();
            let (status, code) = expected;
            assert_eq!(problem(&rest(socket).await), (status, code.to_owned()));
        }
    }
}

#[tokio::test]
async fn a_sender_whose_body_no_one_reads_sees_the_answer_after_it_has_written_all() {
    let Served { address, .. } = served(limits(10, 10_000, 10_000), GRACE).await;
    let head = b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n";
    let mut socket = send(address, head).await;
    timeout(SOON, socket.write_all(&vec![b'x'; 20_000_000])).await.unwrap().unwrap();
    assert!(rest(&mut socket).await.ends_with("refused"));
}

#[tokio::test]
async fn an_open_request_is_answered_after_the_stop_signal_and_new_ones_are_refused() {
    let Served { address, came, go, stop, ended } = served(Server::default(), GRACE).await;
    let open = tokio::spawn(ask(address, "/waits"));
    let _came = came.acquire().await.unwrap();
    stop.send(()).unwrap();
    // The listener closes when the server has seen the signal.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go.add_permits(1);
    let answer = open.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    ended.await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_after_the_grace() {
    let Served { address, came, stop, ended, .. } =
        served(Server::default(), Duration::from_millis(50)).await;
    let _open = tokio::spawn(ask(address, "/waits"));
    let _came = came.acquire().await.unwrap();
    stop.send(()).unwrap();
    ended.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_stop() {
    let Served { address, stop, ended, .. } = served(Server::default(), GRACE).await;
    let mut socket = send(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    answer(&mut socket).await;
    stop.send(()).unwrap();
    timeout(Duration::from_millis(900), ended).await.expect("at once").unwrap();
}

/// So a connection of a client that sends again at once gets at most one answer a second.
#[tokio::test]
async fn an_answer_429_is_held_back_for_a_second() {
    let server = served(limits(4, 60_000, 60_000), Duration::ZERO).await;
    let started = Instant::now();
    assert!(ask(server.address, "/quota").await.starts_with("HTTP/1.1 429 "));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_quarter_of_the_connections_may_be_held_back() {
    let places = places::Places::new(8);
    let held = [(); 3].map(|()| places.hold_back());
    assert_eq!(held.each_ref().map(Option::is_some), [true, true, false]);
    drop(held);
    assert!(places.hold_back().is_some());
}

#[test]
fn answers_that_are_held_back_together_are_written_one_after_the_other() {
    let places = places::Places::new(256);
    let held = [(); 64].map(|()| places.hold_back().unwrap());
    let mut times = held.map(|(_permit, time)| time);
    times.sort_unstable();
    assert!(times[0] >= Duration::from_secs(1) && times[63] <= Duration::from_secs(2));
    let apart = Duration::from_millis(5);
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + apart), "{times:?}");
}
