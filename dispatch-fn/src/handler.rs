//! The handler: takes each message of a batch from its item to the target's answer.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use shared::config::Dispatch;
use shared::format::archive_line::ArchiveLine;
use shared::format::dispatch_message::DispatchMessage;
use shared::format::key;
use shared::id::{EventId, TenantId};
use shared::limits;
use shared::metric::Metric;
use shared::objects::ObjectStore;
use shared::queue::{QueueBatch, QueueResponse};
use shared::time::Clock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::batch::QueuedMessage;
use crate::inbox::Inbox;
use crate::items::{DispatchItems, Noted};
use crate::outcome::{Outcome, outcome};
use crate::slots::{Micros, Slot, SlotCounter};
use crate::standing::{Next, next};
use crate::target::{Answer, Call, Target};

/// At the end of an invocation, for notes and the answer.
const MARGIN: Duration = Duration::from_secs(3);
/// A slot is taken at most this long before it begins. So a pause of the rate holds for all calls that are further away, also
/// of other functions.
const NEAR: Duration = Duration::from_secs(1);
/// Between two attempts at a note, a read or a dead letter.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a second copy of a message waits.
const SECOND_COPY: Duration = Duration::from_secs(5);
/// The longest wait for a note, a read or a dead letter.
const PATIENCE: Duration = Duration::from_secs(5);

/// The outside.
#[derive(Debug)]
pub struct Ports<I, Q, S, T, O> {
    pub items: I,
    pub inbox: Q,
    pub slots: S,
    pub target: T,
    /// For events that are too large for a message.
    pub objects: O,
}

#[derive(Debug)]
pub struct Dispatcher<I, Q, S, T, O> {
    config: Dispatch,
    /// The largest line that is fetched for a message.
    line_bytes: usize,
    ports: Ports<I, Q, S, T, O>,
    clock: Clock,
    /// Of the messages of this function, one at a time waits for a slot, in their order.
    turn: Mutex<()>,
    /// The events that this function has messages of. A second copy waits until the first is done.
    in_hand: std::sync::Mutex<HashSet<(TenantId, EventId)>>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The queue deletes it.
    Done,
    /// It is received again.
    Stays,
}

/// An event and the message that it came in.
struct Task<'a> {
    message: &'a QueuedMessage,
    dispatch: DispatchMessage,
    tenant: TenantId,
    id: EventId,
}

impl<I, Q, S, T, O> Dispatcher<I, Q, S, T, O>
where
    I: DispatchItems,
    Q: Inbox,
    S: SlotCounter,
    T: Target,
    O: ObjectStore,
{
    pub fn new(config: &shared::config::Config, ports: Ports<I, Q, S, T, O>, clock: Clock) -> Self {
        let (config, line_bytes) = (config.dispatch.clone(), config.limits.claim_check_bytes);
        Self {
            config,
            line_bytes,
            ports,
            clock,
            turn: Mutex::default(),
            in_hand: std::sync::Mutex::default(),
        }
    }

    /// Sends the events of a batch, side by side. The invocation is over after `remaining`. It never fails: a message that is
    /// not done stays in the queue.
    pub async fn handle(&self, batch: QueueBatch<QueuedMessage>, remaining: Duration) -> QueueResponse {
        let end = Instant::now() + remaining.saturating_sub(MARGIN);
        let fates = batch.messages.iter().map(|message| async move {
            timeout_at(end, self.message(message, end)).await.unwrap_or_else(|_| {
                tracing::warn!(message.id = %message.message_id, "the invocation ends before its message is done");
                Fate::Stays
            })
        });
        let fates = join_all(fates).await;
        let stays = batch.messages.iter().zip(fates).filter(|(_, fate)| *fate == Fate::Stays);
        stays.map(|(message, _)| message.message_id.clone()).collect()
    }

    async fn message(&self, message: &QueuedMessage, end: Instant) -> Fate {
        let read = DispatchMessage::read(&message.body).and_then(|read| Ok((read.line()?, read)));
        let (line, dispatch) = match read {
            Ok(read) => read,
            Err(error) => {
                let id = &message.message_id;
                tracing::error!(message.id = %id, %error, "a message cannot be read and will end in the dead-letter queue: {error}");
                return Fate::Stays;
            }
        };
        let (tenant, id) = (line.facts.tenant.clone(), line.facts.id.clone());
        let task = Task { message, dispatch, tenant, id };
        let Some(_in_hand) = self.take_in_hand(&task) else { return self.postpone(&task, SECOND_COPY).await };

        let standing = match patiently(end, || self.ports.items.read(&task.tenant, &task.id)).await {
            Ok(Some(standing)) => standing,
            Ok(None) => return task.gone(),
            Err(why) => return task.stays(&why),
        };
        let before = task.dispatch.after_attempts;
        match next(standing, before, self.config.max_attempts) {
            Next::Done => return Fate::Done,
            Next::Exhausted => {
                let reason = format!("no success after {} calls", standing.attempts);
                return self.bury(&task, &reason, standing.attempts, end).await;
            }
            Next::Call => {}
        }
        let waited = self.clock.now().since(message.attributes.sent_timestamp);
        if waited >= limits::DISPATCH_RETENTION.saturating_sub(limits::DISPATCH_MARGIN) {
            let reason = format!("it waited in the queue for {} days", waited.as_secs() / 86_400);
            return self.bury(&task, &reason, standing.attempts, end).await;
        }
        match self.whole(line).await {
            Ok(line) => self.send(&task, &Call::new(&line, &self.config), &line, end).await,
            Err(Outcome::Permanent(reason)) => self.bury(&task, &reason, standing.attempts, end).await,
            Err(later) => self.conclude(&task, later, end).await,
        }
    }

    /// `None` if another message of the event is in hand.
    fn take_in_hand(&self, task: &Task<'_>) -> Option<InHand<'_>> {
        let event = (task.tenant.clone(), task.id.clone());
        let is_first = lock(&self.in_hand).insert(event.clone());
        is_first.then_some(InHand { events: &self.in_hand, event })
    }

    /// The line of a head.
    async fn whole(&self, line: ArchiveLine<'static>) -> Result<ArchiveLine<'static>, Outcome> {
        let Some(claim_check) = &line.claim_check else { return Ok(line) };
        let (tenant, id) = (&line.facts.tenant, &line.facts.id);
        // A line that is too large for a message, or for an archive object.
        let of_message = claim_check.check(|sha256| key::claim(tenant, id, sha256), self.line_bytes as u64);
        let own = of_message.or_else(|why| {
            claim_check.check(|sha256| key::text(tenant, id, sha256), self.line_bytes as u64).map_err(|_| why)
        });
        own.map_err(Outcome::Permanent)?;
        let mut parts = Vec::new();
        for key in claim_check.part_keys() {
            match self.ports.objects.get(&key).await {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => return Err(Outcome::Permanent(format!("there is no object `{key}`"))),
                Err(failure) => return Err(Outcome::Retry(format!("`{key}` cannot be read: {failure}"))),
            }
        }
        let line = claim_check.line(&parts).map_err(|error| Outcome::Permanent(error.to_string()))?;
        serde_json::from_slice(&line).map_err(|error| Outcome::Permanent(format!("its stored line: {error}")))
    }

    /// Waits for a slot and makes the call in it.
    async fn send(&self, task: &Task<'_>, call: &Call, line: &ArchiveLine<'_>, end: Instant) -> Fate {
        // A call that starts later than this could still be open at the end.
        let call_time = self.config.connect_timeout() + self.config.timeout();
        let Some(latest) = end.checked_sub(call_time).filter(|latest| *latest > Instant::now()) else {
            return self.postpone(task, PAUSE).await;
        };
        let mut connection = None;
        loop {
            let slot = match timeout_at(latest, self.slot(latest)).await {
                Ok(Ok(Slot::At(slot))) => slot,
                Ok(Ok(Slot::NotBefore(begin))) => {
                    return self.postpone(task, begin.since(self.clock.now().into())).await;
                }
                Ok(Err(why)) => return task.stays(&why),
                // Others of this batch have taken all slots until then.
                Err(_) => return self.postpone(task, self.config.interval()).await,
            };
            // Also a connection attempt is in a slot, so a target that is away is not flooded with them.
            let open = match connection.take() {
                Some(connection) => connection,
                None => match self.ports.target.connect().await {
                    Ok(connection) => connection,
                    Err(why) => return self.conclude(task, Outcome::Retry(why), end).await,
                },
            };
            sleep(slot.since(self.clock.now().into())).await;
            if Micros::from(self.clock.now()).since(slot) > self.config.guard() / 2 {
                connection = Some(open);
                continue;
            }
            let started = Instant::now();
            let answer = self.ports.target.call(open, call).await;
            Metric::DispatchLatency.record(milliseconds(started.elapsed()));
            let outcome = outcome(&answer, &self.config.retry_codes, self.clock.now());
            if outcome == Outcome::Delivered {
                let age = self.clock.now().since(line.facts.received_at);
                Metric::DispatchAge.record(milliseconds(age));
            } else if let Answer::Response { status, .. } = answer {
                tracing::debug!(tenant.id = %task.tenant, event.id = %task.id, status, "the target refused a call");
            }
            return self.conclude(task, outcome, end).await;
        }
    }

    /// A slot that begins before `latest`, or when the next one begins.
    async fn slot(&self, latest: Instant) -> Result<Slot, String> {
        let _turn = self.turn.lock().await;
        loop {
            let now = Micros::from(self.clock.now());
            let interval = self.config.interval();
            let near = NEAR.min(latest.saturating_duration_since(Instant::now()));
            let taken = patiently(latest, || self.ports.slots.take(now, now + near, interval)).await?;
            let Slot::NotBefore(begin) = taken else { return Ok(taken) };
            let wait = begin.since(now);
            if Instant::now() + wait >= latest {
                return Ok(taken);
            }
            // Not all the way: near its beginning the slot can be taken.
            sleep(wait.saturating_sub(NEAR / 2).max(Duration::from_millis(1))).await;
        }
    }

    /// Does what follows from the outcome of a call.
    async fn conclude(&self, task: &Task<'_>, outcome: Outcome, end: Instant) -> Fate {
        let (tenant, id) = (&task.tenant, &task.id);
        match outcome {
            Outcome::Delivered => match patiently(end, || self.ports.items.delivered(tenant, id)).await {
                Ok(noted) => {
                    Metric::EventsDispatched.add(1);
                    tracing::debug!(tenant.id = %tenant, event.id = %id, ?noted, "event dispatched");
                    Fate::Done
                }
                // The call is made again, with the same idempotency key.
                Err(why) => task.stays(&why),
            },
            Outcome::Pause(wait, why) => {
                Metric::DispatchRetries.add(1);
                tracing::warn!(
                    wait_s = wait.as_secs(),
                    why,
                    "the target asks to wait, all calls wait for {} s: {why}",
                    wait.as_secs()
                );
                let until = Micros::from(self.clock.now()) + wait;
                if let Err(why) = patiently(end, || self.ports.slots.pause(until)).await {
                    tracing::error!(why, "the rate could not be paused: {why}");
                }
                self.postpone(task, wait).await
            }
            Outcome::Retry(why) => {
                let noted = patiently(end, || self.ports.items.attempt_failed(tenant, id, &why)).await;
                let attempts = match noted {
                    Ok(Noted::Attempts(attempts)) => attempts,
                    Ok(Noted::Delivered) => return Fate::Done,
                    Ok(Noted::Gone) => return task.gone(),
                    Err(unknown) => return task.stays(&unknown),
                };
                let counted = attempts.saturating_sub(task.dispatch.after_attempts.unwrap_or(0));
                if counted >= self.config.max_attempts {
                    return self
                        .bury(
                            task,
                            &format!("no success after {counted} calls, the last: {why}"),
                            attempts,
                            end,
                        )
                        .await;
                }
                Metric::DispatchRetries.add(1);
                let wait = self.config.backoff().jittered(counted);
                tracing::info!(tenant.id = %tenant, event.id = %id, attempts, why, "a call failed, the next is in {} ms: {why}", wait.as_millis());
                self.postpone(task, wait).await
            }
            Outcome::Permanent(why) => {
                let attempts =
                    match patiently(end, || self.ports.items.attempt_failed(tenant, id, &why)).await {
                        Ok(Noted::Attempts(attempts)) => attempts,
                        Ok(Noted::Delivered) => return Fate::Done,
                        Ok(Noted::Gone) => return task.gone(),
                        Err(unknown) => return task.stays(&unknown),
                    };
                self.bury(task, &why, attempts, end).await
            }
        }
    }

    /// Makes the event a dead letter. The letter comes first: an event that is noted as failed has one.
    async fn bury(&self, task: &Task<'_>, reason: &str, attempts: u32, end: Instant) -> Fate {
        let (tenant, id) = (&task.tenant, &task.id);
        let letter = task.dispatch.failed(reason, attempts, self.clock.now());
        if let Err(why) = patiently(end, || self.ports.inbox.dead_letter(&letter)).await {
            return task.stays(&why);
        }
        match patiently(end, || self.ports.items.failed(tenant, id, reason, attempts)).await {
            Ok(_) => {
                Metric::EventsUndelivered.add(1);
                tracing::error!(tenant.id = %tenant, event.id = %id, attempts, reason, "an event became a dead letter: {reason}");
                Fate::Done
            }
            // A second letter follows, which changes nothing.
            Err(why) => task.stays(&why),
        }
    }

    /// Hides the message for this long. If that fails, it is hidden for as long as the queue's messages are.
    async fn postpone(&self, task: &Task<'_>, wait: Duration) -> Fate {
        let wait = wait.min(limits::VISIBILITY);
        if let Err(error) = self.ports.inbox.postpone(&task.message.receipt_handle, wait).await {
            tracing::warn!(%error, message.id = %task.message.message_id, "a message could not be postponed; the queue delivers it later: {error}");
        }
        Fate::Stays
    }
}

/// An event in hand. Dropping it lets another message of the event in.
struct InHand<'a> {
    events: &'a std::sync::Mutex<HashSet<(TenantId, EventId)>>,
    event: (TenantId, EventId),
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        lock(self.events).remove(&self.event);
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Task<'_> {
    fn gone(&self) -> Fate {
        tracing::warn!(tenant.id = %self.tenant, event.id = %self.id, "an event is not dispatched: its item was deleted");
        Fate::Done
    }

    fn stays(&self, why: &str) -> Fate {
        tracing::error!(tenant.id = %self.tenant, event.id = %self.id, why, "a message stays in the queue: {why}");
        Fate::Stays
    }
}

/// Repeats a call that fails, for some seconds, but not beyond `end`.
async fn patiently<V, E: std::fmt::Display, F: Future<Output = Result<V, E>>>(
    end: Instant,
    mut call: impl FnMut() -> F,
) -> Result<V, String> {
    let until = end.min(Instant::now() + PATIENCE);
    loop {
        match timeout_at(until, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if Instant::now() + PAUSE >= until => return Err(error.to_string()),
            Ok(Err(_)) => sleep_until(until.min(Instant::now() + PAUSE)).await,
            Err(_) => return Err("no answer in time".to_owned()),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
