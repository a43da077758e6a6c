//! The ports of the event source mapping, and the queue's mapping with its drain.

use std::time::Duration;

use bytes::Bytes;
use consumer_fn::{Batch, Consumer, Deadline};
use ingest_fn::drain::{Drain, TIMEOUT};
use local::event_source_mapping::ports::{
    Checkpoints, InvokeFailure, Invoker, ReadLimit, ShardRead, ShardTail, StreamReader, StreamShard,
};
use serde_json::{Value, json};
use shared::queue::QueueResponse;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::configured::Deployed;
use crate::data::{SimMessage, SimShard};
use crate::dispatch::SimDispatchQueue;
use crate::stores::{SimItems, SimLedger, SimObjects, SimStream};
use crate::world::{Caller, Process, State, Store, World};

/// How long a received message is hidden: shorter than the drain may take, so that some are received twice.
const VISIBILITY: Duration = Duration::from_secs(20);
/// After so many receives a message is a dead letter.
const RECEIVES: u32 = 4;
const POLL: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct SimReader(pub(crate) Process);

impl StreamReader for SimReader {
    async fn shards(&self) -> anyhow::Result<Vec<StreamShard>> {
        let list = |state: &mut State| {
            let listed = |shard: &SimShard| StreamShard {
                id: shard.id.clone(),
                parents: shard.parent.iter().cloned().collect(),
            };
            state.data.shards.iter().map(listed).collect()
        };
        Ok(self.0.read(Store::Mapping, "list shards", list).await?)
    }

    async fn read(&self, shard: &str, after: Option<&str>, limit: ReadLimit) -> anyhow::Result<ShardRead> {
        let (name, after) = (shard.to_owned(), after.map(str::to_owned));
        let read = move |state: &mut State| {
            let shard = state.data.shard(&name).expect("it was listed");
            let from = shard.index_after(after.as_deref());
            let records: Vec<_> = shard.records[from..].iter().take(limit.records).cloned().collect();
            let tail = match from + records.len() < shard.records.len() {
                true => ShardTail::More,
                false if shard.is_closed => ShardTail::Closed,
                false => ShardTail::Tip,
            };
            ShardRead { records, tail }
        };
        Ok(self.0.read(Store::Mapping, format!("read {shard}"), read).await?)
    }
}

impl Checkpoints for SimReader {
    async fn load(&self, shard: &str) -> anyhow::Result<Option<String>> {
        let name = shard.to_owned();
        let load = move |state: &mut State| state.data.checkpoint(&name).cloned();
        Ok(self.0.read(Store::Mapping, format!("load the checkpoint of {shard}"), load).await?)
    }

    async fn save(&self, shard: &str, sequence_number: &str) -> anyhow::Result<()> {
        let (name, number) = (shard.to_owned(), sequence_number.to_owned());
        let save = move |state: &mut State| state.data.checkpoints.entry(name).or_default().push(number);
        let what = format!("save the checkpoint {sequence_number} of {shard}");
        Ok(self.0.write(Store::Mapping, what, save).await?)
    }
}

/// Runs the consumer, each invocation in a process of its own.
pub(crate) struct SimLambda {
    pub(crate) host: Process,
    pub(crate) deployed: Deployed,
}

impl Invoker for SimLambda {
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        let world = self.host.world().clone();
        if self.host.is_dead() {
            std::future::pending::<()>().await;
        }
        let process = Process::new(&world, Caller::Consumer);
        let process = if is_poisoned(&world, &payload) {
            process.dies_after(world.random(|random| random.i64(0..12)))
        } else {
            process
        };
        world.count("invocations");
        let batch: Batch = serde_json::from_slice(&payload).expect("the mapping sends what Lambda sends");
        let [items, objects, ledger] = [(); 3].map(|()| process.clone());
        let (config, _) = self.deployed.of_a_call("calls of the old consumer");
        let timeout = config.consumer.timeout();
        let run = async move {
            let (items, objects, ledger) = (SimItems(items), SimObjects(objects), SimLedger(ledger));
            let clock = objects.0.world().clock();
            let deadline = Deadline::after(timeout, &config);
            let queue = config.dispatch.enabled.then(|| SimDispatchQueue(objects.0.clone()));
            let consumer =
                Consumer::new(config, items, objects, ledger, clock).expect("no pattern is configured");
            consumer.dispatching(queue).handle(batch, deadline).await
        };
        let answer = in_sandbox(process, timeout, run).await?;
        Ok(serde_json::to_vec(&answer).expect("an answer always serialises").into())
    }
}

fn is_poisoned(world: &World, payload: &[u8]) -> bool {
    let state = world.state();
    let payload = String::from_utf8_lossy(payload);
    state.data.poison.iter().any(|number| payload.contains(number.as_str()))
}

/// Runs a function's work until it is done, its process dies, or its time is over. An attempt that has ended for its mapping may
/// go on for a while.
pub(crate) async fn in_sandbox<T: Send + 'static>(
    process: Process,
    timeout: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, InvokeFailure> {
    let mut task = tokio::spawn(work);
    let killed = process.world().kill_time();
    let sandbox = Sandbox { process, work: task.abort_handle() };
    let ended = tokio::select! {
        biased;
        done = &mut task => done,
        () = sandbox.process.died() => return Err(InvokeFailure::function("Runtime.ExitError", "killed")),
        () = async { match killed { Some(time) => sleep(time).await, None => std::future::pending().await } } => {
            sandbox.process.world().count("functions killed from outside");
            return Err(InvokeFailure::function("Runtime.ExitError", "killed"));
        }
        () = sleep(timeout) => {
            sandbox.process.world().count("time-outs of a function");
            return Err(InvokeFailure::function("Sandbox.Timedout", "out of time"));
        }
    };
    ended.map_err(|failure| {
        sandbox.process.world().violation(format_args!("a function panicked: {failure}"));
        InvokeFailure::function("Runtime.ExitError", "panicked")
    })
}

struct Sandbox {
    process: Process,
    work: AbortHandle,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.work.is_finished() {
            return;
        }
        let world = self.process.world().clone();
        let goes_on = !self.process.is_dead() && world.random(fastrand::Rng::bool);
        let (process, work) = (self.process.clone(), self.work.clone());
        if goes_on {
            world.count("attempts that went on after their end");
            let time = world.random(|random| Duration::from_millis(random.u64(1..30_000)));
            tokio::spawn(async move {
                sleep(time).await;
                process.kill();
                work.abort();
            });
        } else {
            process.kill();
            work.abort();
        }
    }
}

/// Moves spilled messages to the stream, until it is aborted.
pub(crate) async fn drain_queue(host: Process, deployed: Deployed) {
    loop {
        match deliver(&host, &deployed).await {
            Ok(true) => {}
            _ => sleep(POLL).await,
        }
    }
}

async fn deliver(host: &Process, deployed: &Deployed) -> anyhow::Result<bool> {
    let world = host.world().clone();
    let receive = |state: &mut State| {
        let (messages, dead) = state.data.spill.receive(10, VISIBILITY, RECEIVES);
        state.add("dead letters", dead);
        messages
    };
    let messages = host.write(Store::Spill, "receive", receive).await?;
    if messages.is_empty() {
        return Ok(false);
    }
    let records: Vec<_> =
        messages.iter().map(|message| json!({"messageId": message.id, "body": message.body})).collect();
    let batch = serde_json::from_value(json!({ "Records": records }))?;
    let process = Process::new(&world, Caller::Drain);
    let (config, _) = deployed.of_a_call("calls of the old drain");
    let drain = Drain::new(SimStream(process.clone()), &config.publish);
    world.count("drain invocations");
    let response = in_sandbox(process, TIMEOUT, async move { drain.handle(batch).await }).await?;
    let done = done(messages, &response)?;
    let what = format!("delete {} messages", done.len());
    host.write(Store::Spill, what, move |state| state.data.spill.delete(&done)).await?;
    Ok(true)
}

/// The messages that the function did not leave in the queue.
pub(crate) fn done(messages: Vec<SimMessage>, response: &QueueResponse) -> anyhow::Result<Vec<String>> {
    let response: Value = serde_json::to_value(response)?;
    let stays = |id: &str| {
        let failures = response["batchItemFailures"].as_array();
        failures.is_some_and(|failures| failures.iter().any(|failure| failure["itemIdentifier"] == id))
    };
    Ok(messages.into_iter().map(|message| message.id).filter(|id| !stays(id)).collect())
}
