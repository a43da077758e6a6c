//! Requests: any request is answered by the rules, and every event that was answered 202 is stored.
//!
//! | file | has |
//! |---|---|
//! | `input.rs` | a request as text, so that a mutation changes little of it |
//! | `ports.rs` | stream, objects and spill queue in memory, which fail if the input says so |
//! | `answer.rs` | the rules for every answer |
//! | `cloudevents.rs` | what is stored of a CloudEvent |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use ingest_fn::credentials::Credentials;
use ingest_fn::{IngestPorts, IngestState, NoReader, router};
use shared::config::Config;
use shared::format::event_line::Event;
use shared::format::facts::Source;
use shared::format::record::{self, Content};
use shared::id::{Ids, TenantId};
use shared::time::{Clock, Timestamp};
use tower::ServiceExt;
use uuid::Uuid;

use crate::members;
use answer::FuzzAnswer;
pub use input::Input;
pub(crate) use ports::Ports;

mod answer;
mod cloudevents;
pub mod input;
mod ports;

/// Pieces of requests.
pub const WORDS: &[&str] = &[
    "POST ",
    "GET ",
    "HEAD ",
    "PUT ",
    "/ingest",
    "/events",
    "/v1/webhooks/acme/events/new",
    "/health",
    "%2e",
    "%ff",
    " coded",
    " swollen",
    "\u{1e}",
    " small",
    " spread",
    " defaults",
    " stream-hangs",
    " stream-refuses",
    " stream-flaky",
    " queue-refuses",
    " objects-refuse",
    "\n",
    "\n\n",
    "content-type: application/json\n",
    "content-type: application/x-ndjson\n",
    "content-type: text/plain; charset=utf-8\n",
    "content-type: application/json; charset=utf-16\n",
    "content-type: text/plain; charset=iso-8859-1\n",
    "content-type: application/json-seq\n",
    "content-type: application/cloudevents+json\n",
    "content-type: application/cloudevents-batch+json\n",
    "content-type: application/octet-stream\n",
    "ce-specversion: 1.0\n",
    "ce-type: t\n",
    "ce-source: /s\n",
    "ce-id: 1\n",
    "ce-time: 2018-04-05T17:31:00Z\n",
    "ce-x: %E2%82%AC\n",
    "\"specversion\":\"1.0\"",
    "\"type\":\"t\"",
    "\"source\":\"/s|\"",
    "\"datacontenttype\":\"text/plain\"",
    "\"data\":",
    "\"data_base64\":\"aGVsbG8=\"",
    "\"cloudevent\":",
    "content-encoding: gzip\n",
    "content-encoding: deflate\n",
    "content-encoding: zstd\n",
    "x-tenant-id: acme\n",
    "x-customer-tier: pro\n",
    "idempotency-key: k\n",
    "webhook-id: w\n",
    "content-length: 1\n",
    "expect: 100-continue\n",
    "traceparent: 00-a-b-01\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\ud800",
    "\\u0000",
    "\"tenant_id\":\"acme\"",
    "\"event_id\":",
    "\"log_id\":",
    "\"id\":",
    "\"text\":",
    "\"payload\":",
    "\"body\":",
    "\"message\":",
    "\"timestamp\":",
    "\"event_time\":\"9999-12-31T23:59:59-23:59\"",
    "null",
    "1e400",
    "-0",
    "18446744073709551616",
    "\u{feff}",
    "(\u{b5}/\u{fd}",
];

/// `input` is a request as [`Input`] reads it.
pub fn check(input: &[u8]) {
    // Log records are answered in another form ([`crate::otlp`]).
    let Some(input) = Input::read(input).filter(|input| !input.has_logs()) else { return };
    let ports = Ports::new(&input);
    let (status, headers, body) = send(&input, ports.clone());
    let answer = FuzzAnswer::new(status, input.is_head(), &headers, &body);
    answer.check();
    if answer.status >= 500 {
        assert_eq!(answer.status, 503);
        assert!(ports.may_fail(), "no port fails: {answer:?}");
    }
    check_stored(&input, &answer, &ports);
}

/// The answer to a request.
pub(crate) fn send(input: &Input, ports: Ports) -> (u16, HeaderMap, Bytes) {
    let mut config = Config::default();
    if input.has("small") {
        config.limits.body_bytes = 1_000;
        config.limits.batch_events = 8;
        config.limits.inflate_ratio = 20;
        config.limits.bodies_in_memory_bytes = 2_000;
    }
    if input.has("defaults") {
        config.tiers.default = Some(config.tiers.allowed[0].clone());
        config.tenants.default = Some(TenantId::parse("acme").unwrap());
    }
    if input.has("named") {
        "t".clone_into(&mut config.otlp.tenant_attribute);
    }
    if input.has("spread") {
        config.tenants.spread.insert(TenantId::parse("acme").unwrap(), 3);
    }
    let clock = Clock::fixed(Timestamp::from_unix_ms(1_795_253_400_123));
    let reader = None::<NoReader>;
    let objects = ports.objects();
    let ingest_ports = IngestPorts { stream: ports.clone(), objects, queue: ports, reader };
    let state = IngestState::new(Arc::new(config), Credentials::none(), ingest_ports, clock, counting_ids());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (head, body) = router(state).oneshot(input.request()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, body)
    })
}

/// Ids that count up.
pub(crate) fn counting_ids() -> Ids {
    let next = AtomicU64::new(1);
    Ids::new(move || Uuid::from_u128(u128::from(next.fetch_add(1, Ordering::Relaxed))))
}

/// The accepted events of the answer are exactly the stored events, and each is stored as it was sent.
fn check_stored(input: &Input, answer: &FuzzAnswer, ports: &Ports) {
    let stored = stored(ports);
    let accepted = answer.accepted();
    let ids: Vec<_> = stored.iter().map(|event| event.facts.id.as_str()).collect();
    assert_eq!(ids, accepted.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), "{answer:?}");
    for (event, (index, _)) in stored.iter().zip(&accepted) {
        check_event(input, event, *index, ports);
    }
}

/// The events on the stream and in the spill queue, in the order of the request. Each has its tenant's key.
pub(crate) fn stored(ports: &Ports) -> Vec<Event> {
    let mut stored = Vec::new();
    for (partition_key, data) in ports.packed() {
        for entry in record::unpack(&data, &[]).unwrap().entries {
            match entry {
                Ok(Content::Event(event)) => {
                    let tenant = event.facts.tenant.as_str();
                    let spread = partition_key.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('#'));
                    assert!(partition_key == tenant || spread.is_some_and(|key| "012".contains(key)));
                    stored.push(*event);
                }
                other => panic!("a line that is not an event: {other:?}"),
            }
        }
    }
    // Sorts by the order of the request, in which ids are assigned.
    stored.sort_by_key(|event| event.facts.admission_id);
    stored
}

fn check_event(input: &Input, event: &Event, index: usize, ports: &Ports) {
    let stored = event.claim_check.as_ref().map(|claim_check| ports.stored(claim_check));
    let event = stored.as_ref().unwrap_or(event);
    if (input.is_structured() || input.is_binary()) && !input.is_named() {
        cloudevents::check_id(event);
    }
    // The client's bytes. If the client compressed them itself, we do not have them here.
    let Some(body) = input.plain_body().filter(|_| !input.is_recoded()) else { return };
    if event.facts.source == Source::TextUpload {
        assert_eq!(event.text.as_bytes(), body);
    } else if input.is_structured() {
        let json = input.event(index);
        let envelope = json.and_then(|json| serde_json::from_slice(&json).ok());
        envelope.inspect(|envelope| cloudevents::check(envelope, event));
    } else if input.is_binary() {
        cloudevents::check_binary(body, event);
    } else if let Some(json) = input.event(index) {
        members::check(&json, Some(&event.facts.tenant), &event.text, &event.fields);
    }
}
