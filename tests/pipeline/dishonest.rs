//! `tidegate accept` against servers that do not do what they answer. A line may pass only if what it asks for was true.

use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use shared::config::Recipe;
use tests::site::DEADLINE;
use tokio::net::TcpListener;

use crate::program;

/// A request as a server gets it, and as it may change it.
#[derive(Clone)]
struct Received {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Starts a server that answers by `answer`. It runs until the test ends.
async fn serve<A, F>(answer: A) -> String
where
    A: Fn(Received) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send,
{
    let answer = Arc::new(answer);
    let router = Router::new().fallback(move |request: Request| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            let path = parts.uri.to_string();
            answer(Received { method: parts.method, path, headers: parts.headers, body }).await
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Sends a request on to an honest server.
async fn forward(to: &str, mut received: Received) -> Response {
    received.headers.remove(CONTENT_LENGTH);
    let request = reqwest::Client::new().request(received.method, format!("{to}{}", received.path));
    let sent = request.headers(received.headers).body(received.body).timeout(DEADLINE).send().await;
    let Ok(answer) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut response = Response::builder().status(answer.status());
    response.headers_mut().unwrap().clone_from(answer.headers());
    response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
}

/// The lines of a run, by verdict. It waits briefly for what is stored.
fn lines(recipe: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut command = Command::new(program());
    command.args(["accept", recipe, "--json", "--seconds", "2"]).args(arguments);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let line =
        |line: Value| Some((line["verdict"].as_str()?.to_owned(), line["requirement"].as_str()?.to_owned()));
    printed.lines().filter_map(|text| line(serde_json::from_str(text).unwrap())).collect()
}

fn with_verdict<'a>(lines: &'a [(String, String)], verdict: &str) -> Vec<&'a str> {
    lines.iter().filter(|line| line.0 == verdict).map(|line| &*line.1).collect()
}

/// Answers everything as if it were accepted, under its own id where it has one.
async fn accepts_everything(received: Received) -> Response {
    let object: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    let header = |name| Some(received.headers.get(name)?.to_str().unwrap_or_default().to_owned());
    let member = |name| object[name].as_str().map(str::to_owned);
    let id = header("idempotency-key").or_else(|| header("webhook-id"));
    let id = id.or_else(|| member("event_id")).or_else(|| member("log_id")).or_else(|| member("id"));
    let id = id.unwrap_or_else(|| "an-id".to_owned());
    (StatusCode::ACCEPTED, json!({"status": "success", "event_id": id}).to_string()).into_response()
}

/// What is true of such a server: it is quick, and answers 202. No line about refusals, reads, metrics or what is stored.
const ONLY_ANSWERS: [(Recipe, &[&str]); 5] = [
    (
        Recipe::EVENT_BRIDGE,
        &["Sends events with structure id, name, body, timestamp", "Requires 2xx response within 500ms"],
    ),
    (Recipe::EVENT_RECEIVER, &["High throughput (> 100 requests/sec)"]),
    (
        Recipe::EVENT_STREAMING,
        &[
            "POST /events: submit a new event (ID string, timestamp int64, payload string)",
            "High volumes of incoming events",
        ],
    ),
    (Recipe::HTTP_INGESTION, &["External system sends an HTTP POST /events request", "Traffic is bursty"]),
    (
        Recipe::ROBUST_DATA_PROCESSOR,
        &[
            "Scenario 1: structured data (JSON), with tenant_id, log_id and text",
            "Scenario 2: unstructured data (raw text), with the header X-Tenant-ID",
            "The flood: 1,000 requests per minute, mixed JSON and TXT: API responds instantly (202 Accepted)",
            "No authentication required for the API",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_202_to_everything_and_stores_nothing_passes_only_what_asks_for_an_answer() {
    let site = crate::site();
    drop(site.start());
    let (url, data) = (serve(accepts_everything).await, site.data());
    let runs = ONLY_ANSWERS.map(|(recipe, expected)| {
        let (url, data) = (url.clone(), data.clone());
        let run = move || {
            let arguments =
                ["--url", &url, "--data", data.to_str().unwrap(), "--wait", "1", "--patience", "2"];
            lines(recipe.name, &arguments, &[("TIDEGATE__TRANSFORM__SIMULATE_WORK", "0.001")])
        };
        (recipe.name, expected, tokio::task::spawn_blocking(run))
    });
    for (recipe, expected, run) in runs {
        let lines = run.await.unwrap();
        assert_eq!(with_verdict(&lines, "PASS"), expected, "{recipe}: {lines:?}");
    }
}

/// Sends everything of `beta_inc` as `acme_corp`.
fn leaked(mut received: Received) -> Received {
    if let Some(tenant) = received.headers.get("x-tenant-id").map(|tenant| tenant.to_str().unwrap()) {
        let tenant = tenant.replace("beta_inc", "acme_corp").parse().unwrap();
        received.headers.insert("x-tenant-id", tenant);
    }
    let body = String::from_utf8_lossy(&received.body)
        .replace(r#""tenant_id":"beta_inc"#, r#""tenant_id":"acme_corp"#);
    Received { body: body.into(), ..received }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_gives_a_tenant_the_events_of_another_is_not_accepted() {
    let site = crate::site().configuration("[tiers]\ndefault = \"pro\"\n[transform]\nsimulate_work = 0.001");
    let pipeline = site.start();
    let (to, data) = (pipeline.url.clone(), site.data());
    let url = serve(move |received| {
        let to = to.clone();
        async move { forward(&to, leaked(received)).await }
    })
    .await;
    let run = move || {
        let arguments = ["--url", &url, "--data", data.to_str().unwrap(), "--wait", "5", "--patience", "4"];
        lines("robust-data-processor", &arguments, &[("TIDEGATE__TRANSFORM__SIMULATE_WORK", "0.001")])
    };
    let lines = tokio::task::spawn_blocking(run).await.unwrap();
    let expected = [
        "acme_corp data is physically separated from beta_inc data in the path/collection structure",
        "The isolation check: the same log_id of acme_corp and of beta_inc",
    ];
    let failed: Vec<_> =
        with_verdict(&lines, "FAIL").into_iter().filter(|line| line.contains("acme_corp")).collect();
    assert_eq!(failed, expected, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stores_each_event_twice_is_not_accepted() {
    let site = crate::site().configuration(include_str!("../../recipes/http-ingestion.toml"));
    let pipeline = site.start();
    let (to, data) = (pipeline.url.clone(), site.data());
    let url = serve(move |received: Received| {
        let to = to.clone();
        async move {
            if received.method == Method::POST {
                // The same event under a second id.
                let mut again = received.clone();
                if again.headers.contains_key("webhook-id") {
                    again.headers.insert("webhook-id", "again".parse().unwrap());
                }
                let body = String::from_utf8_lossy(&again.body)
                    .replace(r#""event_id":"e"#, r#""event_id":"again-e"#);
                again.body = body.into();
                forward(&to, again).await;
            }
            forward(&to, received).await
        }
    })
    .await;
    let run = move || {
        let arguments = ["--url", &url, "--data", data.to_str().unwrap(), "--wait", "10", "--patience", "4"];
        lines("http-ingestion", &arguments, &[])
    };
    let lines = tokio::task::spawn_blocking(run).await.unwrap();
    let expected = ["Third-party webhooks", "Events must be stored reliably for later consumption"];
    assert_eq!(with_verdict(&lines, "FAIL"), expected, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_slowly_is_not_accepted() {
    let url = serve(|received| async move {
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        accepts_everything(received).await
    })
    .await;
    for (recipe, line) in [
        ("event-bridge", "Requires 2xx response within 500ms"),
        (
            "robust-data-processor",
            "The flood: 1,000 requests per minute, mixed JSON and TXT: API responds instantly (202 Accepted)",
        ),
    ] {
        let url = url.clone();
        let run = move || lines(recipe, &["--url", &url], &[]);
        let lines = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(with_verdict(&lines, "FAIL").contains(&line), "{recipe}: {lines:?}");
    }
}
