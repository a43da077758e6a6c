//! A load generator: `load URL [OPTION VALUE]…`. Each connection sends an event, awaits the answer, and sends the next one,
//! so it measures what a server can do, not what a queue can hold. Prints one line of JSON.
//!
//! It shares the machine with the server, so it does as little as it can for a request: the requests are made once, one
//! thread serves all connections, and of an answer it reads the status and the length.

use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{cell::RefCell, io};

use bench::cpu;
use memchr::memmem::find;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const WORDS: &str =
    "User 555-0199 accessed /reports and wrote to someone@example.com about invoice 4711 in session 8a6f ";
/// Enough that no tenant is near its default quota of 2 MB a second.
const TENANTS: usize = 20;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A latency is counted in steps of this, up to [`STEPS`] of them.
const STEP: Duration = Duration::from_micros(100);
const STEPS: usize = 100_000;

struct Options {
    /// As in `127.0.0.1:8080`.
    address: String,
    connections: u32,
    seconds: u64,
    /// The length of a body.
    bytes: usize,
    /// Requests a second of all connections together. Without it, each connection sends as fast as it is answered.
    rate: Option<f64>,
}

struct Seen {
    accepted: u64,
    refused: u64,
    latencies: Vec<u32>,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = Rc::new(RefCell::new(Seen { accepted: 0, refused: 0, latencies: vec![0; STEPS + 1] }));
    let cpu_before = cpu::used();
    let begun = Instant::now();
    runtime.block_on(LocalSet::new().run_until(send(&options, begun, &seen)));
    let took = begun.elapsed().as_secs_f64();
    let seen = seen.borrow();
    let result = json!({
        "accepted": seen.accepted,
        "refused": seen.refused,
        "seconds": took,
        "p50_ms": seen.percentile_ms(50),
        "p99_ms": seen.percentile_ms(99),
        "cpu_s": cpu::used().saturating_sub(cpu_before).as_secs_f64(),
    });
    println!("{result}");
}

async fn send(options: &Options, begun: Instant, seen: &Rc<RefCell<Seen>>) {
    let requests: Rc<[Vec<u8>]> = (0..TENANTS).map(|tenant| request(tenant, options.bytes)).collect();
    let end = begun + Duration::from_secs(options.seconds);
    let every = options.rate.map(|rate| Duration::from_secs_f64(f64::from(options.connections) / rate));
    let tasks: Vec<_> = (0..options.connections)
        .map(|number| {
            let (address, requests, seen) = (options.address.clone(), Rc::clone(&requests), Rc::clone(seen));
            // Paced connections take turns.
            let first =
                begun + every.unwrap_or_default().mul_f64(f64::from(number) / f64::from(options.connections));
            tokio::task::spawn_local(async move {
                let mut socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                let mut answer = Vec::with_capacity(1024);
                let mut due = first;
                for request in requests.iter().cycle().skip(number as usize) {
                    if let Some(every) = every {
                        tokio::time::sleep_until(due.into()).await;
                        due += every;
                    }
                    let sent = Instant::now();
                    if sent >= end {
                        break;
                    }
                    socket.write_all(request).await?;
                    let status = status(&mut socket, &mut answer).await?;
                    seen.borrow_mut().count(status, sent.elapsed());
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        let ended = task.await.expect("no task panics");
        ended.unwrap_or_else(|error| panic!("a connection failed: {error}"));
    }
}

fn request(tenant: usize, bytes: usize) -> Vec<u8> {
    let event = |text: &str| format!(r#"{{"tenant_id":"tenant-{tenant}","level":3,"text":"{text}"}}"#);
    let room = bytes.saturating_sub(event("").len());
    let body = event(&WORDS.repeat(room / WORDS.len() + 1)[..room]);
    let head = "POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Customer-Tier: pro\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one answer, into `answer`.
async fn status(socket: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<u16> {
    answer.clear();
    loop {
        if socket.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = find(answer, END_OF_HEAD) else { continue };
        let (status, length) = parse(&answer[..head]).ok_or(io::ErrorKind::InvalidData)?;
        if answer.len() >= head + END_OF_HEAD.len() + length {
            return Ok(status);
        }
    }
}

/// The status and the length of the body.
fn parse(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.get("HTTP/1.1 ".len()..)?.get(..3)?.parse().ok()?;
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "))?;
    Some((status, length.parse().ok()?))
}

impl Options {
    fn parse() -> Self {
        let mut arguments = std::env::args().skip(1);
        let address =
            arguments.next().expect("usage: load URL [--connections N] [--seconds N] [--bytes N] [--rate N]");
        let address = address.trim_start_matches("http://").to_owned();
        let mut options = Self { address, connections: 256, seconds: 20, bytes: 400, rate: None };
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            let number: f64 =
                value.parse().unwrap_or_else(|_| panic!("`{name}` needs a number, not `{value}`"));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small whole numbers"
            )]
            match name.as_str() {
                "--connections" => options.connections = number as u32,
                "--seconds" => options.seconds = number as u64,
                "--bytes" => options.bytes = number as usize,
                "--rate" => options.rate = Some(number),
                _ => panic!("`{name}` is not an option"),
            }
        }
        options
    }
}

impl Seen {
    fn count(&mut self, status: u16, latency: Duration) {
        if status == 202 {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        let step = usize::try_from(latency.as_micros() / STEP.as_micros()).unwrap_or(STEPS);
        self.latencies[step.min(STEPS)] += 1;
    }

    /// In milliseconds, rounded up to a [`STEP`].
    fn percentile_ms(&self, percent: u64) -> f64 {
        let wanted = (self.accepted + self.refused) * percent / 100;
        let mut so_far = 0;
        let step = self.latencies.iter().position(|count| {
            so_far += u64::from(*count);
            so_far > wanted
        });
        STEP.mul_f64(step.map_or(0.0, |step| f64::from(u32::try_from(step + 1).unwrap_or(u32::MAX))))
            .as_secs_f64()
            * 1e3
    }
}
