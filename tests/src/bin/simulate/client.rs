//! The clients: they send requests, and note what was answered. And foreign producers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use fastrand::Rng;
use ingest_fn::{EventStream, Put, StreamRecord};
use serde_json::{Value, json};
use shared::config::Config;
use shared::noise::noise;
use tokio::time::sleep;

use crate::configured::TIER;
use crate::credentials;
use crate::host::{Answer, Site};
use crate::scenario::{pick, within};
use crate::stores::SimStream;
use crate::world::{Caller, Process, World};

/// An event that was sent before, as a client does that saw no answer.
pub(crate) const AGAIN: &str = "events sent again";
/// Another event with the id of one that was sent before.
pub(crate) const REUSED: &str = "ids used again";
/// An id that a request has several times.
pub(crate) const TWICE: &str = "ids twice in a request";

/// Every so many seconds some requests come at once.
const TOGETHER: u64 = 5;

/// Tenant and id of an event.
pub(crate) type Name = (String, String);

/// The name under which an event was sent, if it was redriven under another one.
pub(crate) fn first_name((tenant, id): &Name) -> Name {
    (tenant.clone(), id.split('#').next().unwrap_or_default().to_owned())
}

/// What was sent, and whether it was accepted.
#[derive(Debug, Default)]
pub(crate) struct ClientLog {
    pub(crate) events: BTreeMap<Name, Vec<Sent>>,
    /// Bytes that no one can read and that the stream took.
    pub(crate) garbage: Vec<Bytes>,
}

/// Contents that were sent under one name.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) text: String,
    pub(crate) n: u64,
    pub(crate) is_accepted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: Name,
    pub(crate) text: String,
    pub(crate) n: u64,
}

impl Event {
    fn json(&self) -> Value {
        json!({"tenant_id": self.name.0, "id": self.name.1, "text": self.text, "n": self.n})
    }
}

/// How a request shows who sends it.
pub(crate) struct Sender {
    tier: String,
    key: Option<String>,
}

impl Sender {
    /// As a tenant sends usually.
    pub(crate) fn usual(world: &World, event: &Event) -> Self {
        let rotating = world.scenario().credentials.as_ref();
        let key = rotating.map(|rotating| rotating.newest(&event.name.0, world.elapsed()));
        Self { tier: TIER.to_owned(), key }
    }

    /// Where keys are asked for, the tier is theirs.
    fn any(world: &World, tier: &str, event: &Event) -> Self {
        let Some(rotating) = &world.scenario().credentials else {
            return Self { tier: tier.to_owned(), key: None };
        };
        let elapsed = world.elapsed();
        let key = world.random(|random| rotating.any(random, &event.name.0, elapsed));
        Self { tier: TIER.to_owned(), key: Some(key) }
    }

    /// Of the key.
    fn tenant(&self) -> Option<&str> {
        self.key.as_deref().map(credentials::tenant)
    }
}

impl ClientLog {
    fn sent(&mut self, event: &Event, is_accepted: bool) {
        let contents = self.events.entry(event.name.clone()).or_default();
        match contents.iter_mut().find(|sent| sent.text == event.text && sent.n == event.n) {
            Some(sent) => sent.is_accepted |= is_accepted,
            None => contents.push(Sent { text: event.text.clone(), n: event.n, is_accepted }),
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.events.values().flatten().filter(|sent| sent.is_accepted).count() as u64
    }
}

/// Sends requests at random times, several at once.
pub(crate) async fn requests(site: &Site, world: &World, log: &RefCell<ClientLog>) {
    let scenario = world.scenario();
    let one = |_| async {
        let at = world.random(|random| within(random, scenario.length));
        // Some come at the same moment, and find credentials that are due.
        let together = Duration::from_secs(at.as_secs() / TOGETHER * TOGETHER);
        let is_together = scenario.credentials.is_some() && at.as_millis().is_multiple_of(2);
        sleep(if is_together { together } else { at }).await;
        let mut tries = world.random(|random| random.u64(1..4));
        let (events, is_batch) = world.random(|random| choose(random, scenario.repeats, &log.borrow()));
        count_repeats(world, &events, &log.borrow());
        let tier = world
            .random(|random| if random.u64(..8) > 0 { TIER } else { *pick(random, &["free", "enterprise"]) });
        let sender = || Sender::any(world, tier, &events[0]);
        while tries > 0 && !send(site, world, log, &events, is_batch, &sender()).await {
            tries -= 1;
            sleep(world.random(|random| within(random, Duration::from_secs(3)))).await;
        }
    };
    futures::future::join_all((0..scenario.requests).map(one)).await;
}

/// Sends a request. Returns whether everything was accepted.
pub(crate) async fn send(
    site: &Site,
    world: &World,
    log: &RefCell<ClientLog>,
    events: &[Event],
    is_batch: bool,
    sender: &Sender,
) -> bool {
    let body: Value = if is_batch { events.iter().map(Event::json).collect() } else { events[0].json() };
    let body = body.to_string();
    let mut request = Request::post("/ingest")
        .header("content-type", "application/json")
        .header("x-customer-tier", &*sender.tier);
    if let Some(key) = &sender.key {
        request = request.header("x-api-key", &**key);
    }
    let request = request.body(Body::from(body.clone())).expect("it is a request");
    world.count("requests");
    let sent_at = world.elapsed();
    let accepted: Vec<bool> = match site.request(request).await {
        Answer::NotSent => return false,
        Answer::Unanswered => vec![false; events.len()],
        Answer::Answered(status, answer, config) => {
            world.note(format_args!(
                "answered {status}: {:?}",
                events.iter().map(|event| &event.name.1).collect::<Vec<_>>()
            ));
            let code = || {
                let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
                answer["code"].as_str().unwrap_or_default().to_owned()
            };
            if let Some(key) = &sender.key
                && !credentials::judge(world, key, sent_at, status == StatusCode::UNAUTHORIZED)
            {
                return false;
            }
            let has_quota =
                |tenant: &str| config.quotas.tenants.keys().any(|limited| limited.as_str() == tenant);
            // A key says which tenant is charged, before the body is read.
            if status == StatusCode::TOO_MANY_REQUESTS && sender.tenant().is_some_and(has_quota) {
                world.count("requests over a quota");
                return false;
            }
            let is_of_key = |event: &Event| sender.tenant().is_none_or(|tenant| tenant == event.name.0);
            if let Some(expected) = refused_by(&config, &sender.tier, events.len(), body.len()) {
                world.count("requests refused by the configuration");
                if code() != expected {
                    world.violation(format_args!("answered {status} {} and not {expected}", code()));
                }
                return false;
            }
            match status.as_u16() {
                429 | 422 if events.iter().any(|event| has_quota(&event.name.0)) => {
                    world.count("requests over a quota");
                    vec![false; events.len()]
                }
                202 => vec![true; events.len()],
                207 => {
                    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
                    let status = |index: usize| answer["events"][index]["status"] == "accepted";
                    (0..events.len()).map(status).collect()
                }
                503 => vec![false; events.len()],
                403 | 422 if !events.iter().all(is_of_key) => vec![false; events.len()],
                other => {
                    world.violation(format_args!("answered {other} {}", String::from_utf8_lossy(&answer)));
                    vec![false; events.len()]
                }
            }
        }
    };
    let mut log = log.borrow_mut();
    for (event, is_accepted) in events.iter().zip(&accepted) {
        // What a key does not allow is not sent: then it must not be stored.
        if sender.tenant().is_none_or(|tenant| tenant == event.name.0) {
            log.sent(event, *is_accepted);
        } else if *is_accepted {
            world.violation(format_args!(
                "{:?} was accepted with the key of {:?}",
                event.name,
                sender.tenant()
            ));
        }
    }
    world.count(if accepted.iter().all(|is| *is) { "requests accepted" } else { "requests not accepted" });
    accepted.iter().all(|is| *is)
}

/// The code with which this configuration refuses a request, if it does. Nothing of such a request is stored.
fn refused_by(config: &Config, tier: &str, events: usize, body_bytes: usize) -> Option<&'static str> {
    if config.tiers.allowed.iter().all(|allowed| allowed.as_str() != tier) {
        return Some("tier_not_allowed");
    }
    if body_bytes > config.limits.body_bytes {
        return Some("body_too_large");
    }
    (events > config.limits.batch_events).then_some("batch_too_large")
}

/// One event, or a batch.
fn choose(random: &mut Rng, repeats: u64, log: &ClientLog) -> (Vec<Event>, bool) {
    let is_batch = random.u64(..4) == 0;
    let count = if is_batch { random.u64(1..6) } else { 1 };
    let mut events: Vec<Event> = Vec::new();
    for _ in 0..count {
        let mut event = event(random, repeats, log);
        // Some have the id of the one before in the same request, and some of these are the same event.
        if let Some(before) = events.last().filter(|_| repeats > 0 && event.n.is_multiple_of(8)) {
            event = if event.n.is_multiple_of(16) {
                before.clone()
            } else {
                Event { name: before.name.clone(), ..event }
            };
        }
        events.push(event);
    }
    (events, is_batch)
}

/// Counts what was sent before. A request that is tried again is not counted.
fn count_repeats(world: &World, events: &[Event], log: &ClientLog) {
    for (index, event) in events.iter().enumerate() {
        if events[..index].iter().any(|other| other.name == event.name) {
            world.count(TWICE);
        }
        let Some(contents) = log.events.get(&event.name) else { continue };
        let is_same = contents.iter().any(|sent| sent.text == event.text && sent.n == event.n);
        world.count(if is_same { AGAIN } else { REUSED });
    }
}

fn event(random: &mut Rng, repeats: u64, log: &ClientLog) -> Event {
    let n = random.u64(..1_000_000);
    let size = *pick(random, &[0, 0, 0, 0, 300, 300, 1_500, 4_500]);
    let fresh = Event {
        name: (format!("t{}", random.u64(..3)), format!("e{n}")),
        text: format!("call 555-0199 about {n} {}", noise(size, n)),
        n,
    };
    if log.events.is_empty() {
        return fresh;
    }
    let (name, contents) = log.events.iter().nth(random.usize(..log.events.len())).expect("it is within");
    match random.u64(..10) {
        fresh_from if fresh_from >= repeats => fresh,
        // The same again.
        0 | 1 => Event { name: name.clone(), text: contents[0].text.clone(), n: contents[0].n },
        // Another event with the id of this one.
        _ => Event { name: name.clone(), ..fresh },
    }
}

/// Puts records on the stream without ingest: objects, and bytes that are none.
pub(crate) async fn foreign_records(world: &World, log: &RefCell<ClientLog>) {
    let one = |_| async {
        sleep(world.random(|random| within(random, world.scenario().length))).await;
        let (events, is_garbage) = world.random(|random| {
            let repeats = world.scenario().repeats;
            let count = random.u64(1..4);
            let events: Vec<_> = (0..count).map(|_| event(random, repeats, &log.borrow())).collect();
            (events, random.u64(..4) == 0)
        });
        let objects: Vec<_> = events.iter().map(|event| event.json().to_string()).collect();
        let data = if is_garbage { format!("\u{0}\u{1}{}", events[0].text) } else { objects.join("\n") };
        let data = Bytes::from(data);
        let record = StreamRecord { partition_key: events[0].name.0.clone(), data: data.clone() };
        let stream = SimStream(Process::new(world, Caller::Foreign));
        let put = tokio::time::timeout(Duration::from_secs(5), stream.put(&[record])).await;
        let is_taken = matches!(put, Ok(Ok(answers)) if answers == [Put::Taken]);
        world.count(if is_garbage { "records that cannot be read" } else { "foreign records" });
        if !is_garbage {
            count_repeats(world, &events, &log.borrow());
        }
        let mut log = log.borrow_mut();
        match is_garbage {
            true if is_taken => log.garbage.push(data),
            true => {}
            false => events.iter().for_each(|event| log.sent(event, is_taken)),
        }
    };
    futures::future::join_all((0..world.scenario().foreign_records).map(one)).await;
}
