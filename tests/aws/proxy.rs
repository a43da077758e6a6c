//! A proxy in front of the emulator. It makes planned faults that AWS has under load and no emulator has. Calls are
//! counted from 0.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::emulator;

#[derive(Clone, Debug)]
pub(crate) enum ProxyFault {
    /// The call has no effect. The answer is this status, headers and body.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// The call has its effect. The answer is a 500.
    LoseAnswer,
    /// The call has no effect and no answer.
    Hang,
    /// The second, fourth, … element have their effect. The others are refused with this error.
    RefuseSome(Value),
    /// `BatchGetItem` reads half of the keys and returns the rest as unprocessed.
    ReadHalf,
}

pub(crate) struct Proxy {
    url: String,
    state: Arc<ProxyState>,
}

struct ProxyState {
    client: reqwest::Client,
    plan: Vec<(usize, ProxyFault)>,
    calls: Mutex<Vec<String>>,
}

impl Proxy {
    /// `plan` has faults by the number of the call.
    pub(crate) async fn new(plan: &[(usize, ProxyFault)]) -> Self {
        let state = Arc::new(ProxyState {
            client: reqwest::Client::new(),
            plan: plan.to_vec(),
            calls: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(Arc::clone(&state));
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, state }
    }

    pub(crate) fn sdk(&self) -> aws_config::SdkConfig {
        emulator::sdk(&self.url)
    }

    /// The calls so far: operation, or method and path.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.calls.lock().unwrap().clone()
    }
}

async fn handle(State(state): State<Arc<ProxyState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let target =
        parts.headers.get("x-amz-target").and_then(|target| target.to_str().unwrap().split('.').nth(1));
    let call = target.map_or_else(|| format!("{} {}", parts.method, parts.uri.path()), str::to_owned);
    let number = {
        let mut calls = state.calls.lock().unwrap();
        calls.push(call);
        calls.len() - 1
    };
    let fault = state.plan.iter().find(|(at, _)| *at == number).map(|(_, fault)| fault.clone());
    let forward = async |body: Bytes| state.forward(&parts, body).await;
    match fault {
        None => {
            let (status, headers, body) = forward(body).await;
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            // The body is sent whole, but the emulator may have sent it in chunks.
            response.headers_mut().remove("transfer-encoding");
            response
        }
        Some(ProxyFault::Answer(status, headers, body)) => {
            let response =
                headers.iter().fold(Response::builder(), |response, (k, v)| response.header(*k, *v));
            response.status(status).body(Body::from(body)).unwrap()
        }
        Some(ProxyFault::LoseAnswer) => {
            forward(body).await;
            answer(500, &json!({"__type": "InternalFailure", "message": "the answer was lost"}))
        }
        Some(ProxyFault::Hang) => std::future::pending().await,
        Some(ProxyFault::RefuseSome(error)) => {
            let mut asked: Value = serde_json::from_slice(&body).unwrap();
            let elements = if asked["Records"].is_array() { "Records" } else { "Statements" };
            let all = asked[elements].as_array().unwrap().len();
            let mut index = 0;
            asked[elements].as_array_mut().unwrap().retain(|_| {
                index += 1;
                index % 2 == 0
            });
            let (_, _, taken) = forward(asked.to_string().into()).await;
            let mut taken: Value = serde_json::from_slice(&taken).unwrap();
            let answers = if elements == "Records" { "Records" } else { "Responses" };
            let mut some = taken[answers].as_array().unwrap().clone().into_iter();
            let merged = (0..all).map(|at| if at % 2 == 1 { some.next().unwrap() } else { error.clone() });
            taken[answers] = merged.collect();
            taken["FailedRecordCount"] = all.div_ceil(2).into();
            answer(200, &taken)
        }
        Some(ProxyFault::ReadHalf) => {
            let mut asked: Value = serde_json::from_slice(&body).unwrap();
            let mut unread = asked["RequestItems"].clone();
            for (table, request) in asked["RequestItems"].as_object_mut().unwrap() {
                let keys = request["Keys"].as_array_mut().unwrap();
                unread[table]["Keys"] = keys.split_off(keys.len() / 2).into();
            }
            let (_, _, read) = forward(asked.to_string().into()).await;
            let mut read: Value = serde_json::from_slice(&read).unwrap();
            read["UnprocessedKeys"] = unread;
            answer(200, &read)
        }
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(Body::from(body.to_string())).unwrap()
}

impl ProxyState {
    async fn forward(
        &self,
        parts: &axum::http::request::Parts,
        body: Bytes,
    ) -> (axum::http::StatusCode, axum::http::HeaderMap, Bytes) {
        let mut headers = parts.headers.clone();
        // These describe the incoming connection and body.
        for name in ["host", "content-length", "transfer-encoding", "connection"] {
            headers.remove(name);
        }
        let url = format!("{}{}", emulator::url(), parts.uri);
        let request = self.client.request(parts.method.clone(), url).headers(headers).body(body);
        let response = request.send().await.unwrap();
        (response.status(), response.headers().clone(), response.bytes().await.unwrap())
    }
}
