//! Dispatch: what is drawn for a run, the consumer's port to the queue, the queue's mapping, and the dispatcher's ports.

use std::time::Duration;

use consumer_fn::dispatch::{DispatchFailure, DispatchQueue, OutgoingDispatch};
use dispatch_fn::inbox::InboxFailure;
use dispatch_fn::items::{ItemFailure, Noted};
use dispatch_fn::slots::{CounterFailure, Micros, Slot, next};
use dispatch_fn::standing::{Standing, Status};
use dispatch_fn::{
    CONCURRENCY, DispatchItems, Dispatcher, Inbox, Ports, SlotCounter, TIMEOUT, batch_messages,
};
use fastrand::Rng;
use serde_json::json;
use shared::config::Config;
use shared::format::dispatch_message::DispatchMessage;
use shared::id::{EventId, TenantId};
use tokio::time::{Instant, sleep};

use crate::configured::Deployed;
use crate::mapping::{done, in_sandbox};
use crate::scenario::{pick, within};
use crate::stores::SimObjects;
use crate::target::{SimTarget, Spell, SpellKind};
use crate::world::{Caller, Process, State, Store};

/// How long a received message is hidden: shorter than the dispatcher may take, so that some are received twice.
const VISIBILITY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_secs(1);

/// What a seed decides about dispatch. It is the same by all configurations of a run, so that each stored event is to be sent.
#[derive(Debug)]
pub(crate) struct Dispatching {
    rate_per_second: u32,
    max_attempts: u32,
    /// After so many receives a message is a dead letter. The dispatcher usually makes it one earlier.
    receives: u32,
    /// How many of a thousand calls the target does not just take.
    pub(crate) failing_calls: u64,
    pub(crate) spells: Vec<Spell>,
    /// Of so many events the target refuses one for good; zero for none.
    pub(crate) refuses_one_in: u64,
}

impl Dispatching {
    pub(crate) fn new(random: &mut Rng, length: Duration) -> Self {
        let count = random.u64(..4);
        let spells = (0..count).map(|_| {
            let from = within(random, length);
            let until = from + Duration::from_millis(random.u64(100..30_000));
            Spell { from, until, kind: *pick(random, &SpellKind::ALL) }
        });
        Self {
            spells: spells.collect(),
            rate_per_second: *pick(random, &[5, 20, 100]),
            max_attempts: *pick(random, &[1, 2, 4, 25]),
            receives: *pick(random, &[dispatch_fn::RECEIVES, dispatch_fn::RECEIVES, 5]),
            failing_calls: *pick(random, &[0, 50, 400]),
            refuses_one_in: *pick(random, &[0, 5]),
        }
    }

    pub(crate) fn configure(&self, config: &mut Config) {
        let dispatch = &mut config.dispatch;
        (dispatch.enabled, dispatch.rate_per_second) = (true, self.rate_per_second.into());
        dispatch.max_attempts = self.max_attempts;
        (dispatch.timeout_ms, dispatch.connect_timeout_ms) = (2_000, 500);
        (dispatch.backoff_ms, dispatch.backoff_most_ms) = (200, 4_000);
        for days in config.items.days_to_live.values_mut() {
            *days = 90.max(*days);
        }
    }

    /// How many calls the target takes in a second.
    pub(crate) fn rate(&self) -> usize {
        self.rate_per_second as usize
    }
}

/// The queue, for the consumer.
#[derive(Clone)]
pub(crate) struct SimDispatchQueue(pub(crate) Process);

impl DispatchQueue for SimDispatchQueue {
    async fn send(&self, messages: &[OutgoingDispatch]) -> Vec<Result<(), DispatchFailure>> {
        let (world, batch) = (self.0.world().clone(), messages.to_vec());
        let send = move |state: &mut State, in_part: bool| {
            let send_one = |message: OutgoingDispatch| {
                if in_part && state.random.bool() {
                    return Err(DispatchFailure("refused".to_owned()));
                }
                state.data.dispatch.send(&message.body, world.now());
                state.count("messages for the dispatcher");
                Ok(())
            };
            batch.into_iter().map(send_one).collect()
        };
        let what = format!("send {} messages for the dispatcher", messages.len());
        let answers = self.0.write_some(Store::Spill, what, send).await;
        answers.unwrap_or_else(|failure| vec![Err(DispatchFailure(failure.to_string())); messages.len()])
    }
}

/// The mapping of the queue, until it is aborted.
pub(crate) async fn dispatch_queue(host: Process, deployed: Deployed) {
    let poll = || async {
        loop {
            match deliver(&host, &deployed).await {
                Ok(true) => {}
                _ => sleep(POLL).await,
            }
        }
    };
    futures::future::join_all((0..CONCURRENCY).map(|_| poll())).await;
}

async fn deliver(host: &Process, deployed: &Deployed) -> anyhow::Result<bool> {
    let world = host.world().clone();
    // An empty receive changes nothing.
    if world.state().data.dispatch.waiting.is_empty() {
        return Ok(false);
    }
    let plan = world.scenario().dispatch.as_ref().expect("this run dispatches");
    let (most, receives) = (batch_messages(plan.rate_per_second.into()) as usize, plan.receives);
    let receive = move |state: &mut State| {
        let (messages, dead) = state.data.dispatch.receive(most, VISIBILITY, receives);
        state.add("messages of dispatch received too often", dead);
        messages
    };
    let messages = host.write(Store::Spill, "receive for the dispatcher", receive).await?;
    if messages.is_empty() {
        return Ok(false);
    }
    let records = messages.iter().map(|message| {
        json!({
            "messageId": message.id, "receiptHandle": message.id, "body": message.body,
            "attributes": {"SentTimestamp": message.sent.unix_ms().to_string()},
        })
    });
    let batch = serde_json::from_value(json!({ "Records": records.collect::<Vec<_>>() }))?;
    let process = Process::new(&world, Caller::Dispatcher);
    let (config, _) = deployed.of_a_call("calls of the old dispatcher");
    let [items, inbox, slots] = [(); 3].map(|()| SimPorts(process.clone()));
    let (target, objects) = (SimTarget(process.clone()), SimObjects(process.clone()));
    let dispatcher = Dispatcher::new(&config, Ports { items, inbox, slots, target, objects }, world.clock());
    world.count("invocations of the dispatcher");
    let response =
        in_sandbox(process, TIMEOUT, async move { dispatcher.handle(batch, TIMEOUT).await }).await?;
    let done = done(messages, &response)?;
    let what = format!("delete {} messages of dispatch", done.len());
    host.write(Store::Spill, what, move |state| state.data.dispatch.delete(&done)).await?;
    Ok(true)
}

/// Items, queues and the slot counter, for the dispatcher.
struct SimPorts(Process);

impl SimPorts {
    /// Changes what the item of an event says, unless the event is delivered.
    async fn note(
        &self,
        tenant: &TenantId,
        id: &EventId,
        what: &str,
        change: impl FnOnce(&mut Standing) + Send + 'static,
    ) -> Result<Noted, ItemFailure> {
        let name = (tenant.clone(), id.clone());
        let note = move |state: &mut State| {
            if !state.data.items.contains_key(&name) {
                return Noted::Gone;
            }
            let standing = state.data.standings.entry(name).or_default();
            if standing.status == Some(Status::Delivered) {
                return Noted::Delivered;
            }
            change(standing);
            Noted::Attempts(standing.attempts)
        };
        let what = format!("note that {tenant}/{id} {what}");
        self.0.write(Store::Items, what, note).await.map_err(|failure| ItemFailure(failure.to_string()))
    }
}

impl DispatchItems for SimPorts {
    async fn read(&self, tenant: &TenantId, id: &EventId) -> Result<Option<Standing>, ItemFailure> {
        let name = (tenant.clone(), id.clone());
        let read = move |state: &mut State| {
            let standing = state.data.standings.get(&name).copied().unwrap_or_default();
            state.data.items.contains_key(&name).then_some(standing)
        };
        let read = self.0.read(Store::Items, format!("read the standing of {tenant}/{id}"), read).await;
        read.map_err(|failure| ItemFailure(failure.to_string()))
    }

    async fn delivered(&self, tenant: &TenantId, id: &EventId) -> Result<Noted, ItemFailure> {
        let change = |standing: &mut Standing| {
            *standing = Standing { status: Some(Status::Delivered), attempts: standing.attempts + 1 };
        };
        self.note(tenant, id, "is delivered", change).await
    }

    async fn attempt_failed(&self, tenant: &TenantId, id: &EventId, _: &str) -> Result<Noted, ItemFailure> {
        let change = |standing: &mut Standing| {
            *standing = Standing { status: None, attempts: standing.attempts + 1 };
        };
        self.note(tenant, id, "is pending", change).await
    }

    async fn failed(
        &self,
        tenant: &TenantId,
        id: &EventId,
        _: &str,
        attempts: u32,
    ) -> Result<Noted, ItemFailure> {
        let change = move |standing: &mut Standing| {
            *standing = Standing { status: Some(Status::Failed), attempts };
        };
        self.note(tenant, id, "failed", change).await
    }
}

impl Inbox for SimPorts {
    async fn postpone(&self, receipt: &str, wait: Duration) -> Result<(), InboxFailure> {
        let id = receipt.to_owned();
        // SQS counts in seconds.
        let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        let postpone = move |state: &mut State| {
            let message = state.data.dispatch.waiting.iter_mut().find(|message| message.id == id);
            if let Some(message) = message {
                message.visible_at = Instant::now() + wait;
            }
        };
        let postponed = self.0.write(Store::Spill, format!("postpone {receipt} by {wait:?}"), postpone).await;
        postponed.map_err(|failure| InboxFailure(failure.to_string()))
    }

    async fn dead_letter(&self, message: &DispatchMessage) -> Result<(), InboxFailure> {
        let (world, body) = (self.0.world().clone(), message.body());
        let bury = move |state: &mut State| {
            state.count("dead letters of dispatch");
            state.data.dispatch.bury(&body, world.now());
        };
        let buried = self.0.write(Store::Spill, "send a dead letter of dispatch", bury).await;
        buried.map_err(|failure| InboxFailure(failure.to_string()))
    }
}

impl SlotCounter for SimPorts {
    async fn take(&self, now: Micros, latest: Micros, interval: Duration) -> Result<Slot, CounterFailure> {
        let take = move |state: &mut State| {
            let (slot, free) = next(state.data.free_slot, now, latest, interval);
            state.data.free_slot = free;
            slot
        };
        let taken = self.0.write(Store::Items, "take a slot", take).await;
        taken.map_err(|failure| CounterFailure(failure.to_string()))
    }

    async fn pause(&self, until: Micros) -> Result<(), CounterFailure> {
        let pause = move |state: &mut State| state.data.free_slot = state.data.free_slot.max(Some(until));
        let paused = self.0.write(Store::Items, "pause the rate", pause).await;
        paused.map_err(|failure| CounterFailure(failure.to_string()))
    }
}
