//! The ingest function: an invocation's event as JSON to its answer as JSON.

use std::sync::{Arc, Mutex};

use ingest_fn::credentials::Credentials;
use ingest_fn::lambda::Invocations;
use ingest_fn::{
    EventStream, IngestPorts, IngestState, NoReader, Put, SpillFailure, SpillMessage, SpillQueue,
    StreamFailure, StreamRecord,
};
use lambda_http::{Context, LambdaEvent};
use shared::config::Config;
use shared::id::Ids;
use shared::objects::memory::MemoryObjects;
use shared::time::Clock;

/// A stream that takes all records, and keeps them until they are taken.
#[derive(Clone, Debug, Default)]
struct Stream(Arc<Mutex<Vec<StreamRecord>>>);

impl EventStream for Stream {
    async fn put(&self, records: &[StreamRecord]) -> Result<Vec<Put>, StreamFailure> {
        self.0.lock().unwrap().extend_from_slice(records);
        Ok(vec![Put::Taken; records.len()])
    }
}

/// A queue that takes nothing: nothing is spilled.
#[derive(Clone, Copy, Debug)]
struct NoQueue;

impl SpillQueue for NoQueue {
    async fn send(&self, messages: &[SpillMessage]) -> Vec<Result<(), SpillFailure>> {
        unreachable!("the stream takes all, and yet {} messages are spilled", messages.len())
    }
}

/// The ingest function, with a stream in memory.
#[derive(Debug)]
pub struct Ingest {
    invocations: Invocations<Stream, MemoryObjects, NoQueue, NoReader>,
    stream: Stream,
}

impl Default for Ingest {
    fn default() -> Self {
        Self::new()
    }
}

impl Ingest {
    pub fn new() -> Self {
        let mut config = Config::default();
        // A run sends as fast as it can.
        config.quotas.default = shared::config::Quota::default();
        // A busy machine is no slow stream.
        (config.publish.budget_ms, config.publish.attempt_ms) = (60_000, 60_000);
        let stream = Stream::default();
        let ports = IngestPorts {
            stream: stream.clone(),
            objects: MemoryObjects::default(),
            queue: NoQueue,
            reader: None::<NoReader>,
        };
        let state =
            IngestState::new(Arc::new(config), Credentials::none(), ports, Clock::system(), Ids::system());
        Self { invocations: Invocations::new(state), stream }
    }

    /// Answers one invocation.
    pub async fn answer(&self, event: &str) -> String {
        let request = serde_json::from_str(event).unwrap();
        // In a box, as in `lambda::serve`.
        let answer = Box::pin(self.invocations.answer(LambdaEvent::new(request, Context::default()))).await;
        let answer = answer.unwrap_or_else(|_| unreachable!("every request has an answer"));
        serde_json::to_string(&answer).unwrap()
    }

    /// The records that the events become, `packed` of them in each request and record; each with its partition key.
    pub async fn records(&self, objects: &[String], packed: usize) -> Vec<(String, Vec<u8>)> {
        let mut records = Vec::new();
        for objects in objects.chunks(packed) {
            let body =
                if let [object] = objects { object.clone() } else { format!("[{}]", objects.join(",")) };
            accepted(&self.answer(&event(&body)).await);
            records.extend(self.put());
        }
        records
    }

    /// Takes the records that were put on the stream, each with its partition key.
    pub fn put(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let put = std::mem::take(&mut *self.stream.0.lock().unwrap());
        put.into_iter().map(|record| (record.partition_key, record.data.to_vec()))
    }
}

/// Ends the run if an answer is not 202.
pub fn accepted(answer: &str) {
    assert!(answer.contains("\"statusCode\":202"), "{answer}");
}

/// The event of a Function URL with this body.
pub fn event(body: &str) -> String {
    serde_json::json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/ingest",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "x-customer-tier": "pro",
            "x-amzn-trace-id": "Root=1-6747a5a2-4d1a2f3b4c5d6e7f8a9b0c1d",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws",
            "user-agent": "curl/8.11.0",
            "accept": "*/*",
            "content-length": body.len().to_string(),
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghijklmnopqrstuvwxyz012345",
            "domainName": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws",
            "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
            "http": {
                "method": "POST", "path": "/ingest", "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7", "userAgent": "curl/8.11.0",
            },
            "requestId": "0d8e3c1a-5a53-4a7e-9f07-0f3f4f0a1b2c",
            "routeKey": "$default", "stage": "$default",
            "time": "28/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_860_000_000_u64,
        },
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}
