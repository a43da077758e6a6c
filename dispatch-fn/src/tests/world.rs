//! The outside of the dispatcher in memory: SQS with Lambda's mapping, items, the counter, and a target that limits its rate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::config::{self, Config};
use shared::format::dispatch_message::DispatchMessage;
use shared::id::{EventId, TenantId};
use shared::objects::memory::MemoryObjects;
use shared::queue::{QueueBatch, QueueResponse};
use shared::time::{Clock, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use crate::batch::QueuedMessage;
use crate::handler::{Dispatcher, Ports};
use crate::inbox::{Inbox, InboxFailure};
use crate::items::{DispatchItems, ItemFailure, Noted};
use crate::slots::{CounterFailure, Micros, Slot, SlotCounter, next};
use crate::standing::{Standing, Status};
use crate::target::{Answer, Call, Target};
use crate::{CONCURRENCY, TIMEOUT, VISIBILITY};

/// 2026-11-21T09:30:00Z
const START_MS: i64 = 1_795_253_400_000;

/// What the target answers to a call: its number from 1, the idempotency key, the time since the start.
pub(super) type Behaviour = dyn FnMut(usize, &str, Duration) -> Reply + Send;

#[derive(Clone, Debug)]
pub(super) enum Reply {
    Ok,
    /// Status, `Retry-After`, body.
    Answer(u16, Option<&'static str>, &'static str),
    /// No connection.
    Away,
    Stalls,
}

#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    config: Config,
    started: Instant,
    state: Mutex<State>,
    objects: MemoryObjects,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) items: BTreeMap<String, (Standing, Option<String>)>,
    pub(super) queue: Vec<Queued>,
    /// Messages that were ever sent.
    sent: usize,
    pub(super) dead: Vec<DispatchMessage>,
    free: Option<Micros>,
    /// The calls that reached the target: when, and the key.
    pub(super) calls: Vec<(Duration, String)>,
    /// How often the target took each key.
    pub(super) taken: BTreeMap<String, usize>,
    behaviour: Option<Box<Behaviour>>,
    /// Operations that fail: `read`, `delivered`, `failed`, `dead_letter`, `take`. And `late attempt_failed`.
    pub(super) faults: Vec<&'static str>,
    /// The longest receive count.
    pub(super) receives: u32,
}

pub(super) struct Queued {
    id: String,
    body: String,
    sent: Timestamp,
    visible: Instant,
    receives: u32,
}

impl World {
    pub(super) fn new(toml: &str) -> Self {
        let toml = format!("[dispatch]\nenabled = true\nurl = \"http://target/\"\n{toml}");
        let config = config::parse("tidegate.toml".as_ref(), &toml, []).unwrap();
        let (started, state, objects) = (Instant::now(), Mutex::default(), MemoryObjects::default());
        Self(Arc::new(Inner { config, started, state, objects }))
    }

    pub(super) fn replies(
        self,
        behaviour: impl FnMut(usize, &str, Duration) -> Reply + Send + 'static,
    ) -> Self {
        self.state(|state| state.behaviour = Some(Box::new(behaviour)));
        self
    }

    pub(super) fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.state.lock().unwrap())
    }

    pub(super) fn objects(&self) -> &MemoryObjects {
        &self.0.objects
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn clock(&self) -> Clock {
        let started = self.0.started;
        Clock::new(move || Timestamp::from_unix_ms(START_MS).plus(started.elapsed()))
    }

    /// An event is stored, and queued as the consumer does it.
    pub(super) fn store(&self, id: &str, text: &str) {
        self.state(|state| _ = state.items.entry(format!("acme/{id}")).or_default());
        let line = line(id, text);
        let (message, parts) = DispatchMessage::of(line.to_string().as_bytes()).unwrap();
        for (key, part) in parts {
            self.0.objects.add(&key, part);
        }
        self.queue(&message.body());
    }

    pub(super) fn queue(&self, body: &str) {
        self.queue_sent(body, self.clock().now());
    }

    pub(super) fn queue_sent(&self, body: &str, sent: Timestamp) {
        self.state(|state| {
            state.sent += 1;
            let id = format!("m{}", state.sent);
            state.queue.push(Queued {
                id,
                body: body.to_owned(),
                sent,
                visible: Instant::now(),
                receives: 0,
            });
        });
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock().now()
    }

    pub(super) fn dispatcher(&self) -> Dispatcher<Self, Self, Self, Self, MemoryObjects> {
        let ports = Ports {
            items: self.clone(),
            inbox: self.clone(),
            slots: self.clone(),
            target: self.clone(),
            objects: self.0.objects.clone(),
        };
        Dispatcher::new(&self.0.config, ports, self.clock())
    }

    /// Delivers until the queue is empty. Each invocation is killed after the time that `kill` gives.
    pub(super) async fn run(&self, kill: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        let kill = Arc::new(kill);
        let loops = (0..CONCURRENCY).map(|_| {
            let (world, kill) = (self.clone(), Arc::clone(&kill));
            async move {
                while !world.state(|state| state.queue.is_empty()) {
                    if !world.invoke(kill()).await {
                        sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        });
        let all = futures::future::join_all(loops);
        timeout(Duration::from_hours(24 * 30), all).await.expect("the queue becomes empty");
    }

    pub(super) async fn run_quietly(&self) {
        self.run(|| None).await;
    }

    /// One invocation with what is visible. False if nothing is.
    pub(super) async fn invoke(&self, kill: Option<Duration>) -> bool {
        let Some(batch) = self.receive() else { return false };
        let ids: Vec<_> = batch.messages.iter().map(|message| message.message_id.clone()).collect();
        let dispatcher = self.dispatcher();
        let handled = dispatcher.handle(batch, TIMEOUT);
        let Ok(response) = timeout(kill.unwrap_or(TIMEOUT), handled).await else { return true };
        let stays = stays(&response);
        self.state(|state| {
            state.queue.retain(|queued| !ids.contains(&queued.id) || stays.contains(&queued.id));
        });
        true
    }

    fn receive(&self) -> Option<QueueBatch<QueuedMessage>> {
        let now = Instant::now();
        let records: Vec<_> = self.state(|state| {
            let visible = state.queue.iter_mut().filter(|queued| queued.visible <= now).take(10);
            visible
                .map(|queued| {
                    queued.visible = now + VISIBILITY;
                    queued.receives += 1;
                    state.receives = state.receives.max(queued.receives);
                    json!({
                        "messageId": queued.id, "receiptHandle": queued.id, "body": queued.body,
                        "attributes": {"SentTimestamp": queued.sent.unix_ms().to_string()},
                    })
                })
                .collect()
        });
        (!records.is_empty()).then(|| serde_json::from_value(json!({ "Records": records })).unwrap())
    }

    fn fault(&self, operation: &'static str) -> Result<(), String> {
        let fails = self.state(|state| state.faults.contains(&operation));
        if fails { Err(format!("{operation} fails")) } else { Ok(()) }
    }

    fn note(
        &self,
        tenant: &TenantId,
        id: &EventId,
        change: impl FnOnce(&mut Standing, &mut Option<String>),
    ) -> Noted {
        self.state(|state| match state.items.get_mut(&format!("{tenant}/{id}")) {
            None => Noted::Gone,
            Some((standing, _)) if standing.status == Some(Status::Delivered) => Noted::Delivered,
            Some((standing, reason)) => {
                change(standing, reason);
                Noted::Attempts(standing.attempts)
            }
        })
    }
}

pub(super) fn line(id: &str, text: &str) -> Value {
    json!({
        "v": 1, "id": id, "admission_id": "019aa553-4a00-7000-8000-000000000001", "tenant": "acme", "tier": "pro",
        "source": "json_upload", "received_at": "2026-11-21T09:30:00.000Z", "processed_at": "2026-11-21T09:30:01.000Z",
        "text": text, "shard": "s", "sequence_number": "9", "position": 0,
    })
}

fn stays(response: &QueueResponse) -> Vec<String> {
    let response = serde_json::to_value(response).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

impl DispatchItems for World {
    async fn read(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Standing>, ItemFailure> {
        self.fault("read").map_err(ItemFailure)?;
        Ok(self.state(|state| state.items.get(&format!("{tenant}/{id}")).map(|(standing, _)| *standing)))
    }

    async fn delivered(&self, tenant: &TenantId, id: &EventId) -> Result<Noted, ItemFailure> {
        self.fault("delivered").map_err(ItemFailure)?;
        Ok(self.note(tenant, id, |standing, reason| {
            *standing = Standing { status: Some(Status::Delivered), attempts: standing.attempts + 1 };
            *reason = None;
        }))
    }

    async fn attempt_failed(&self, tenant: &TenantId, id: &EventId, why: &str) -> Result<Noted, ItemFailure> {
        let note = || {
            self.note(tenant, id, |standing, reason| {
                *standing = Standing { status: None, attempts: standing.attempts + 1 };
                *reason = Some(why.to_owned());
            })
        };
        let noted = note();
        // Another try of the call arrives after this one was answered.
        if self.fault("late attempt_failed").is_err() {
            note();
        }
        Ok(noted)
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        why: &str,
        attempts: u32,
    ) -> Result<Noted, ItemFailure> {
        self.fault("failed").map_err(ItemFailure)?;
        Ok(self.note(tenant, id, |standing, reason| {
            *standing = Standing { status: Some(Status::Failed), attempts };
            *reason = Some(why.to_owned());
        }))
    }
}

impl Inbox for World {
    async fn postpone(&self, receipt: &str, wait: Duration) -> Result<(), InboxFailure> {
        // SQS counts in seconds.
        let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self.state(|state| {
            let queued = state.queue.iter_mut().find(|queued| queued.id == receipt);
            queued.expect("it is in the queue").visible = Instant::now() + wait;
        });
        Ok(())
    }

    async fn dead_letter(&self, message: &DispatchMessage) -> Result<(), InboxFailure> {
        self.fault("dead_letter").map_err(InboxFailure)?;
        self.state(|state| state.dead.push(message.clone()));
        Ok(())
    }
}

impl SlotCounter for World {
    async fn take(&self, now: Micros, latest: Micros, interval: Duration) -> Result<Slot, CounterFailure> {
        sleep(Duration::from_millis(3)).await;
        self.fault("take").map_err(CounterFailure)?;
        Ok(self.state(|state| {
            let (slot, free) = next(state.free, now, latest, interval);
            state.free = free;
            slot
        }))
    }

    async fn pause(&self, until: Micros) -> Result<(), CounterFailure> {
        self.state(|state| state.free = state.free.max(Some(until)));
        Ok(())
    }
}

impl Target for World {
    type Connection = ();

    async fn connect(&self) -> Result<(), String> {
        sleep(Duration::from_millis(2)).await;
        let elapsed = self.elapsed();
        let reply = self.state(|state| state.behaviour.as_mut().map(|behaviour| behaviour(0, "", elapsed)));
        if matches!(reply, Some(Reply::Away)) { Err("connection refused".to_owned()) } else { Ok(()) }
    }

    async fn call(&self, (): (), call: &Call) -> Answer {
        sleep(Duration::from_millis(fastrand::u64(1..30))).await;
        let (elapsed, key) = (self.elapsed(), call.idempotency_key.clone());
        let reply = self.state(|state| {
            state.calls.push((elapsed, key.clone()));
            let number = state.calls.len();
            let reply =
                state.behaviour.as_mut().map_or(Reply::Ok, |behaviour| behaviour(number, &key, elapsed));
            if matches!(reply, Reply::Ok) {
                *state.taken.entry(key).or_default() += 1;
            }
            reply
        });
        // The way back.
        sleep(Duration::from_millis(fastrand::u64(1..30))).await;
        let answer = |status, retry_after: Option<&str>, body: &'static str| Answer::Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            location: None,
            body: body.into(),
        };
        match reply {
            Reply::Ok => answer(200, None, r#"{"data":{"dispatch":{"id":"1"}}}"#),
            Reply::Answer(status, retry_after, body) => answer(status, retry_after, body),
            Reply::Away => Answer::None("connection reset".to_owned()),
            Reply::Stalls => {
                sleep(Duration::from_secs(10)).await;
                Answer::None("no answer within 10000 ms".to_owned())
            }
        }
    }
}
