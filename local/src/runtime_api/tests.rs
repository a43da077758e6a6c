//! The host with real child processes. A child is this test binary again: it runs `child::main`, on `lambda_runtime`.

mod child;

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::Instant;

use super::{FunctionHost, FunctionSpec, LogLine, LogSink, PAYLOAD_LIMIT};
use crate::event_source_mapping::ports::{InvokeFailure, Invoker};

/// A function whose program is [`child::main`].
pub(crate) fn spec() -> FunctionSpec {
    FunctionSpec {
        name: "test-function".to_owned(),
        program: std::env::current_exe().unwrap(),
        arguments: child::ARGUMENTS.map(OsString::from).into(),
        environment: vec![(child::ROLE.to_owned(), "function".to_owned())],
        timeout: Duration::from_secs(30),
        memory_mb: 512,
        maximum_environments: 1,
        log_sink: LogSink::new(|_| {}),
    }
}

fn function() -> FunctionHost {
    FunctionHost::start(spec())
}

fn role(role: &str) -> FunctionSpec {
    FunctionSpec { environment: vec![(child::ROLE.to_owned(), role.to_owned())], ..spec() }
}

async fn call(function: &FunctionHost, event: Value) -> Result<Value, InvokeFailure> {
    let response = function.invoke(event.to_string().into()).await?;
    Ok(serde_json::from_slice(&response).unwrap())
}

async fn pid(function: &FunctionHost) -> u32 {
    let pid = call(function, json!({"do": "pid"})).await.unwrap();
    u32::try_from(pid.as_u64().unwrap()).unwrap()
}

/// A function and the lines that it prints.
fn function_with_lines() -> (FunctionHost, UnboundedReceiver<LogLine>) {
    let (print, lines) = mpsc::unbounded_channel();
    let log_sink = LogSink::new(move |line| drop(print.send(line)));
    (FunctionHost::start(FunctionSpec { log_sink, ..spec() }), lines)
}

/// Waits for a line with this text, and skips all others.
async fn line(lines: &mut UnboundedReceiver<LogLine>, text: &str) -> LogLine {
    let search = async {
        loop {
            let line = lines.recv().await.expect("the function is alive");
            if line.text == text {
                return line;
            }
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("the line is printed")
}

/// How long a test waits for another process.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until another process has done something.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn kill(pid: u32) {
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().await.unwrap();
}

/// Whether a process runs. A zombie does not.
async fn is_running(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().await.unwrap();
    let state = String::from_utf8(listed.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}

#[tokio::test]
async fn a_function_gets_its_event_and_its_response_comes_back() {
    let event = json!({"do": "echo", "text": "grüße"});
    assert_eq!(call(&function(), event.clone()).await.unwrap(), event);
}

#[tokio::test]
async fn an_environment_is_reused_for_the_next_invocation() {
    let function = function();
    assert_eq!(function.environments(), [] as [u32; 0]);
    let first = pid(&function).await;
    assert_eq!(pid(&function).await, first);
    assert_eq!(function.environments(), [first]);
}

/// A process that does not know the secret cannot take an invocation, or answer one.
#[tokio::test]
async fn a_strangers_request_to_the_runtime_api_is_refused() {
    let (function, _lines) = function_with_lines();
    let api = call(&function, json!({"do": "runtime_api"})).await.unwrap();
    let api = api.as_str().unwrap().trim_start_matches("http://");
    let address = api.split('/').next().unwrap();
    for path in ["/2018-06-01/runtime/invocation/next", "/x/2018-06-01/runtime/invocation/next", "/"] {
        assert_eq!(status(address, path).await, "HTTP/1.1 403 Forbidden", "{path}");
    }
    let event = json!({"do": "echo", "text": "own"});
    assert_eq!(call(&function, event.clone()).await.unwrap(), event, "the function goes on");
}

/// The first line of the answer to a GET.
async fn status(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    // A stranger that is not refused waits for an invocation.
    let read = tokio::time::timeout(PATIENCE, BufReader::new(stream).read_line(&mut line)).await;
    read.expect("it is answered at once").unwrap();
    line.trim_end().to_owned()
}

#[tokio::test]
async fn a_function_gets_its_arn_memory_trace_and_deadline() {
    let before = shared::time::Clock::system().now();
    let context = call(&function(), json!({"do": "context"})).await.unwrap();
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:test-function");
    assert_eq!(context["memory"], 512);
    assert!(context["trace"].as_str().unwrap().starts_with("Root=1-"));
    let deadline = context["deadline"].as_i64().unwrap() - before.unix_ms();
    assert!((30_000..60_000).contains(&deadline), "{deadline} ms from now, as Unix time");
}

#[tokio::test]
async fn an_error_comes_back_with_its_type_and_the_environment_is_reused() {
    let function = function();
    let before = pid(&function).await;
    let failed = call(&function, json!({"do": "fail"})).await;
    assert_eq!(failed, Err(InvokeFailure::function("NoLuck", "as asked")));
    assert_eq!(pid(&function).await, before);
}

#[tokio::test]
async fn a_panic_is_an_error_of_the_function() {
    let error = call(&function(), json!({"do": "panic"})).await.unwrap_err();
    let InvokeFailure::Function { message, .. } = error else { panic!("{error:?}") };
    assert!(message.contains("as asked"), "{message}");
}

#[tokio::test]
async fn a_process_that_exits_fails_its_invocation_and_a_new_one_takes_the_next() {
    let function = function();
    let before = pid(&function).await;
    let exited = InvokeFailure::function("Runtime.ExitError", "Runtime exited with error: exit status: 7");
    assert_eq!(call(&function, json!({"do": "exit"})).await, Err(exited));
    assert_ne!(pid(&function).await, before);
}

#[tokio::test]
async fn a_process_that_is_killed_in_an_invocation_fails_it() {
    let (function, mut lines) = function_with_lines();
    let kill_it = async {
        let victim = line(&mut lines, "hanging").await.pid;
        kill(victim).await;
        victim
    };
    let (outcome, victim) = tokio::join!(call(&function, json!({"do": "hang"})), kill_it);
    let exited = "Runtime exited with error: signal: 9 (SIGKILL)";
    assert_eq!(outcome, Err(InvokeFailure::function("Runtime.ExitError", exited)));
    assert_ne!(pid(&function).await, victim);
}

#[tokio::test]
async fn a_process_that_ends_between_invocations_fails_no_invocation() {
    let function = function();
    let victim = pid(&function).await;
    kill(victim).await;
    until("the end of the process", async || function.environments().is_empty()).await;
    assert_ne!(pid(&function).await, victim);
}

#[tokio::test]
async fn an_invocation_that_takes_too_long_is_killed() {
    let function = FunctionHost::start(FunctionSpec { timeout: Duration::from_millis(250), ..spec() });
    let timed_out = InvokeFailure::function("Sandbox.Timedout", "Task timed out after 0.25 seconds");
    assert_eq!((function.longest_invocation(), function.environments_lost()), (None, 0));
    let (watched, hangs) = (function.clone(), json!({"do": "hang"}));
    let (outcome, ()) = tokio::join!(
        call(&function, hangs),
        until("a long invocation", async || watched.longest_invocation() > Some(Duration::from_millis(50)))
    );
    assert_eq!(outcome, Err(timed_out));
    assert_eq!((function.longest_invocation(), function.environments_lost()), (None, 1));
    assert_eq!(function.environments(), [] as [u32; 0]);
}

#[tokio::test]
async fn a_request_over_the_limit_does_not_reach_the_function() {
    let function = function();
    let error = function.invoke(vec![b' '; PAYLOAD_LIMIT + 1].into()).await.unwrap_err();
    let bytes = PAYLOAD_LIMIT + 1;
    let message = format!("request payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes");
    assert_eq!(error, InvokeFailure::function("RequestEntityTooLarge", message));
    assert_eq!(function.environments(), [] as [u32; 0]);
}

#[tokio::test]
async fn requests_and_responses_up_to_the_limit_pass_and_larger_responses_fail() {
    let function = function();
    let event = |length: usize| {
        let frame = r#"{"do":"echo","text":""}"#.len();
        Bytes::from(json!({"do": "echo", "text": "x".repeat(length - frame)}).to_string())
    };
    assert_eq!(function.invoke(event(PAYLOAD_LIMIT)).await.unwrap().len(), PAYLOAD_LIMIT);
    let before = pid(&function).await;
    let error = call(&function, json!({"do": "repeat", "times": PAYLOAD_LIMIT})).await.unwrap_err();
    let (bytes, kind) = (PAYLOAD_LIMIT + 2, "Function.ResponseSizeTooLarge");
    let message = format!("response payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes");
    assert_eq!(error, InvokeFailure::function(kind, message), "with its quotes");
    assert_eq!(pid(&function).await, before, "the environment is reused");
}

#[tokio::test]
async fn a_function_that_cannot_start_fails_its_invocation() {
    let function = FunctionHost::start(role("fail_to_initialize"));
    let error = call(&function, json!({})).await.unwrap_err();
    assert_eq!(function.environments_lost(), 1);
    assert!(error.to_string().starts_with("Runtime.InitError: "), "{error}");
    assert!(error.to_string().contains("exit status: 3"), "{error}");

    let program = "/no/such/program".into();
    let error = call(&FunctionHost::start(FunctionSpec { program, ..spec() }), json!({})).await.unwrap_err();
    assert!(error.to_string().starts_with("Runtime.InitError: cannot run `/no/such/program`: "), "{error}");
}

#[tokio::test]
async fn concurrent_invocations_have_environments_of_their_own_up_to_the_maximum() {
    let function = FunctionHost::start(FunctionSpec { maximum_environments: 2, ..spec() });
    let pids = tokio::join!(pid(&function), pid(&function), pid(&function), pid(&function));
    let mut pids = [pids.0, pids.1, pids.2, pids.3].to_vec();
    pids.sort_unstable();
    pids.dedup();
    let mut environments = function.environments();
    environments.sort_unstable();
    assert_eq!((pids.len(), pids), (2, environments));
}

#[tokio::test]
async fn the_output_of_a_function_comes_line_by_line() {
    let (function, mut lines) = function_with_lines();
    call(&function, json!({"do": "print"})).await.unwrap();
    let pid = function.environments()[0];
    // Of both streams, in any order.
    for text in ["a line", "a line of errors"] {
        assert_eq!(line(&mut lines, text).await, LogLine { pid, text: text.to_owned() });
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_the_invocation_in_flight_and_takes_no_other() {
    let function = function();
    let busy = function.clone();
    let in_flight = tokio::spawn(async move { call(&busy, json!({"do": "echo"})).await });
    // One poll is enough for it to get its slot.
    tokio::task::yield_now().await;
    function.shutdown(Duration::from_secs(20)).await;
    in_flight.await.unwrap().unwrap();
    assert_eq!(function.environments(), [] as [u32; 0]);
    let error = call(&function, json!({})).await.unwrap_err();
    assert_eq!(error, InvokeFailure::NotRun("function `test-function` is shutting down".to_owned()));
}

#[tokio::test]
async fn a_shutdown_kills_a_process_that_does_not_end_in_time() {
    let (function, mut lines) = function_with_lines();
    let busy = function.clone();
    let in_flight = tokio::spawn(async move { call(&busy, json!({"do": "hang"})).await });
    let victim = line(&mut lines, "hanging").await.pid;
    function.shutdown(Duration::from_millis(50)).await;
    let killed = in_flight.await.unwrap().unwrap_err().to_string();
    assert!(killed.starts_with("Runtime.ExitError: "), "{killed}");
    assert!(!is_running(victim).await);
}

#[tokio::test]
async fn a_host_that_is_dropped_leaves_no_process() {
    let function = function();
    let orphan = pid(&function).await;
    drop(function);
    until("the end of the process", async || !is_running(orphan).await).await;
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_no_process() {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(child::ARGUMENTS)
        .env(child::ROLE, "host")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let orphan = loop {
        let line = lines.next_line().await.unwrap().expect("the host prints the process id of its function");
        if let Some((_, pid)) = line.split_once("function process ") {
            break pid.parse().unwrap();
        }
    };
    assert!(is_running(orphan).await);
    host.kill().await.unwrap();
    until("the end of the process", async || !is_running(orphan).await).await;
}
