//! The binaries at start: an error that stops them before they call AWS must be found by filtering the log for errors.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use shared::at_start::{WRONG, refuses};

const BINARIES: [&str; 3] =
    [env!("CARGO_BIN_EXE_ingest-fn"), env!("CARGO_BIN_EXE_ingest-server"), env!("CARGO_BIN_EXE_spill-drain")];

fn check(variables: &[(&str, &str)], named: &str) {
    for binary in BINARIES {
        refuses(binary, variables, named);
    }
}

#[test]
fn a_configuration_that_is_refused_is_one_line_of_json_that_names_the_key() {
    check(&[("TIDEGATE__LIMITS__BODY_BYTES", "many")], "limits.body_bytes");
    check(&[("TIDEGATE_CONFIG", "no/such.toml")], "no/such.toml");
}

#[test]
fn what_only_another_function_uses_is_found_before_the_first_request() {
    for (name, value, named) in WRONG {
        check(&[(name, value)], named);
    }
}

#[test]
fn a_function_says_whether_it_would_start_with_a_configuration() {
    for binary in BINARIES {
        let asked = |variables: &[(&str, &str)]| {
            let variables = variables.iter().copied();
            Command::new(binary).arg("--check-config").env_clear().envs(variables).output().unwrap()
        };
        let good = asked(&[("TIDEGATE__TIERS__DEFAULT", "free")]);
        assert_eq!((good.status.code(), &good.stderr[..]), (Some(0), &b""[..]), "{binary}");
        let bad = asked(&[("TIDEGATE__TIERS__DEFAULT", "gold"), ("TIDEGATE__TELEMETRY__LOG_LEVEL", "loud")]);
        assert_eq!(bad.status.code(), Some(1), "{binary}");
        let told = String::from_utf8(bad.stderr).unwrap();
        assert!(told.starts_with("configuration: `tiers.default` is `gold`"), "{told}");
        assert!(told.contains("\nconfiguration: `telemetry.log_level` is `loud`"), "{told}");
    }
}

#[test]
fn a_variable_that_is_missing_is_one_line_of_json_that_names_it() {
    check(&[], "TIDEGATE_STREAM");
}

#[test]
fn without_the_credentials_that_the_configuration_asks_for_ingest_does_not_start() {
    let [ingest, server, _drain] = BINARIES;
    let resources = [
        ("TIDEGATE_STREAM", "events"),
        ("TIDEGATE_BUCKET", "data"),
        ("TIDEGATE_SPILL_QUEUE", "https://sqs.eu-central-1.amazonaws.com/123456789012/spill"),
        ("AWS_REGION", "eu-central-1"),
        ("TIDEGATE__AUTH__MODE", "api_key"),
    ];
    let file = ("TIDEGATE__AUTH__CREDENTIALS_FILE", "no/such.json");
    for binary in [ingest, server] {
        refuses(binary, &resources, "TIDEGATE_CREDENTIALS_SECRET");
        refuses(binary, &[&resources[..], &[file]].concat(), "no/such.json");
    }
}

/// Listens on a port. Each request's first line goes to `arrived`; the answer is `answer`, or none.
fn listen(answer: Option<&'static str>, arrived: Sender<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, arrived) = (stream.unwrap(), arrived.clone());
            thread::spawn(move || serve(stream, answer, &arrived));
        }
    });
    address
}

fn serve(mut stream: TcpStream, answer: Option<&str>, arrived: &Sender<String>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        // The head ends with an empty line, and none of these requests has a body.
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
        let _ended = arrived.send(first);
        match answer {
            Some(answer) => {
                write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
            None => thread::sleep(Duration::from_mins(1)),
        }
    }
}

/// Starts a function with its services at `services`, until it asks for its first invocation.
fn started(binary: &str, services: &str) {
    let (sender, asked): (_, Receiver<String>) = channel();
    let runtime = listen(None, sender);
    let endpoint = format!("http://{services}");
    let mut function = Command::new(binary)
        .env_clear()
        .envs([
            ("TIDEGATE_STREAM", "events"),
            ("TIDEGATE_BUCKET", "data"),
            ("TIDEGATE_SPILL_QUEUE", "https://sqs.eu-central-1.amazonaws.com/123456789012/spill"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_LAMBDA_RUNTIME_API", &runtime),
            ("AWS_LAMBDA_FUNCTION_NAME", "ingest"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "272"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = asked.recv_timeout(Duration::from_secs(30));
    function.kill().unwrap();
    function.wait().unwrap();
    assert_eq!(first.unwrap(), "GET /2018-06-01/runtime/invocation/next HTTP/1.1");
}

#[test]
fn a_start_opens_a_connection_to_each_service_and_waits_for_no_success() {
    let [ingest, _server, drain] = BINARIES;
    let opened = |binary, answer| {
        let (sender, opened) = channel();
        started(binary, &listen(answer, sender));
        let mut opened: Vec<String> = opened.try_iter().collect();
        opened.sort();
        opened
    };
    for answer in [Some("200 OK"), Some("403 Forbidden"), None] {
        let opened = opened(ingest, answer);
        let [queue, stream, bucket] = &opened[..] else { panic!("{opened:?}") };
        assert_eq!([queue, stream], ["OPTIONS / HTTP/1.1"; 2]);
        assert!(bucket.starts_with("OPTIONS /data/-"), "{bucket}");
    }
    assert_eq!(opened(drain, Some("200 OK")), ["OPTIONS / HTTP/1.1"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    started(ingest, &closed.to_string());
}
