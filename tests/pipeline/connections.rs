//! Connections of strangers, and the memory of many bodies at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::site::{LocalRun, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

fn address(pipeline: &LocalRun) -> SocketAddr {
    pipeline.url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn a_thousand_heads_that_do_not_end_do_not_keep_others_from_being_served_within_a_second() {
    let site = crate::site().configuration("[server]\nconnections = 200\n");
    let pipeline = site.start();
    let mut strangers = Vec::new();
    for index in 0..1_000 {
        let mut socket = TcpStream::connect(address(&pipeline)).await.unwrap();
        let head = if index % 2 == 0 { "POST /ingest HTTP/1.1\r\nX-A: " } else { "" };
        socket.write_all(head.as_bytes()).await.unwrap();
        strangers.push(socket);
    }
    let begun = Instant::now();
    let request = pipeline.post("/ingest").header("X-Tenant-ID", "acme").header("Content-Type", "text/plain");
    let answered = answer(request.body("still served")).await;
    assert_eq!(answered.0, 202, "{}", answered.1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// With the default quota, most bodies would be refused before they are read.
const NO_QUOTA: &str = "[quotas]\ndefault = {}\n";

/// What became of many bodies that were sent at once.
struct Burst {
    /// Answers by their status.
    accepted: usize,
    refused: usize,
    /// Connections that ended without an answer.
    unanswered: usize,
    /// The most memory of the process, before and during the burst.
    before: u64,
    during: u64,
}

/// Sends `senders` bodies of `bytes` at once.
async fn burst(pipeline: &LocalRun, senders: usize, bytes: usize) -> Burst {
    let before = peak(pipeline.id());
    let chunk: Arc<[u8]> = vec![b'x'; 65_536].into();
    let address = address(pipeline);
    let mut all = JoinSet::new();
    for _ in 0..senders {
        let chunk = Arc::clone(&chunk);
        all.spawn(async move { send(address, bytes, &chunk).await });
    }
    let answers = all.join_all().await;
    let count = |of: Option<u16>| answers.iter().filter(|answer| **answer == of).count();
    let (accepted, refused, unanswered) = (count(Some(202)), count(Some(503)), count(None));
    assert_eq!(accepted + refused + unanswered, senders, "other answers: {answers:?}");
    Burst { accepted, refused, unanswered, before, during: peak(pipeline.id()) }
}

/// Writes all of a body, and only then reads. Returns the status.
async fn send(address: SocketAddr, bytes: usize, chunk: &[u8]) -> Option<u16> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "POST /ingest HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: acme\r\nX-Customer-Tier: pro\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.ok()?;
    let mut left = bytes;
    while left > 0 {
        let part = left.min(chunk.len());
        if socket.write_all(&chunk[..part]).await.is_err() {
            break;
        }
        left -= part;
    }
    let mut answer = Vec::new();
    // What came before a reset counts.
    let _reset = socket.read_to_end(&mut answer).await;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// The most memory that a process had so far, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_exceed_the_memory_together_are_answered_and_do_not_take_much_more() {
    let site = crate::site();
    let limits = "[limits]\nbody_bytes = 2_097_152\nbodies_in_memory_bytes = 16_777_216\n";
    let site = site.configuration(&format!("{NO_QUOTA}{limits}"));
    let pipeline = site.start();
    let Burst { accepted, refused, unanswered, before, during } = burst(&pipeline, 100, 2_000_000).await;
    // The 40 MB are what the threads hold that make events of the bodies, whatever the budget is.
    let took = during - before;
    println!("{accepted} accepted, {refused} refused, {unanswered} without an answer, {took} bytes");
    assert!(accepted > 0);
    assert_eq!(unanswered, 0);
    assert!(took < 2 * 16_777_216 + 40_000_000, "{took} bytes");
}

/// `cargo test --release -p tests --test pipeline connections -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "20 GB over the loopback device"]
async fn two_thousand_bodies_of_10_mb_are_answered_within_twice_the_memory() {
    let site = crate::site().configuration(NO_QUOTA);
    let pipeline = site.start();
    let begun = Instant::now();
    let Burst { accepted, refused, unanswered, before, during } = burst(&pipeline, 2_000, 10_000_000).await;
    println!(
        "{accepted} accepted, {refused} refused, {unanswered} without an answer in {} s; memory {} MB, before {} MB",
        begun.elapsed().as_secs(),
        during / 1_000_000,
        before / 1_000_000
    );
    assert_eq!(unanswered, 0);
    assert!(during < 2 * 268_435_456, "{during} bytes");
}
