//! The target of dispatch: it refuses, is slow, is away, and takes events without a clear answer. What it gets is judged at once where
//! that can be: it never gets more calls than its rate, nor an event without an item.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use dispatch_fn::target::{Answer, Call};
use serde_json::Value;
use shared::id::{EventId, TenantId};
use tokio::time::{Instant, sleep};

use crate::client::Name;
use crate::scenario::pick;
use crate::world::{Process, State};

const SECOND: Duration = Duration::from_secs(1);
/// As the configuration has it.
const TIMEOUT: Duration = Duration::from_secs(2);
/// An invocation may have seen the item so long ago: the dispatcher's time-out, and what an attempt goes on after its end.
const SEEN: Duration = Duration::from_secs(90);
/// Codes that say: later.
const BUSY: [u16; 9] = [401, 403, 408, 409, 425, 429, 500, 502, 503];

/// The answer to an event that was taken.
const TAKEN: &str = r#"{"data":{"dispatch":{"id":"1"}}}"#;

/// What the target does for a while.
#[derive(Debug)]
pub(crate) struct Spell {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) kind: SpellKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpellKind {
    /// No connection.
    Away,
    /// Another time, it says by its status, or in a 200.
    Busy,
    Throttles,
    /// It says how long to wait.
    Pauses,
    /// It refuses events for good that it takes later.
    Refuses,
    Slow,
    /// No answer, and the event is not taken.
    Stalls,
    /// No answer, or half of one, and the event is taken.
    TakesAndStalls,
    TakesAndBreaks,
}

impl SpellKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Away,
        Self::Busy,
        Self::Throttles,
        Self::Pauses,
        Self::Refuses,
        Self::Slow,
        Self::Stalls,
        Self::TakesAndStalls,
        Self::TakesAndBreaks,
    ];

    fn counter(self) -> &'static str {
        match self {
            Self::Away => "connections that the target refused",
            Self::Busy => "calls to a busy target",
            Self::Throttles => "calls that the target throttled",
            Self::Pauses => "calls that were told to wait",
            Self::Refuses => "calls refused for good",
            Self::Slow => "calls to a slow target",
            Self::Stalls => "calls that the target did not answer",
            Self::TakesAndStalls => "calls that the target took and did not answer",
            Self::TakesAndBreaks => "calls that the target took and answered by half",
        }
    }
}

/// What the target got.
#[derive(Debug, Default)]
pub(crate) struct Target {
    /// The texts that it took of each event.
    pub(crate) taken: BTreeMap<Name, BTreeSet<String>>,
    /// The last calls.
    calls: VecDeque<Instant>,
}

#[derive(Clone)]
pub(crate) struct SimTarget(pub(crate) Process);

impl SimTarget {
    fn spell(&self) -> Option<SpellKind> {
        let world = self.0.world();
        let (elapsed, plan) = (world.elapsed(), world.scenario().dispatch.as_ref()?);
        let mut state = world.state();
        if !state.is_failing() {
            return None;
        }
        let spell = plan.spells.iter().find(|spell| (spell.from..spell.until).contains(&elapsed));
        let kind = spell.map(|spell| spell.kind);
        kind.or_else(|| {
            let fails = state.random.u64(..1_000) < plan.failing_calls;
            fails.then(|| *pick(&mut state.random, &SpellKind::ALL))
        })
    }

    async fn travel(&self) {
        let most = self.0.world().scenario().latency_ms;
        sleep(self.0.world().random(|random| Duration::from_millis(random.u64(..=most)))).await;
        self.0.while_alive().await;
    }

    /// Takes the event.
    fn take(&self, event: &Dispatched) {
        let mut state = self.0.world().state();
        state.count("events that the target took");
        state.data.target.taken.entry(event.name.clone()).or_default().insert(event.text.clone());
    }

    /// A call has come.
    fn judge(&self, event: &Dispatched) {
        let world = self.0.world();
        let scenario = world.scenario();
        let rate = scenario.dispatch.as_ref().expect("this run dispatches").rate();
        let mut state = world.state();
        let calls = &mut state.data.target.calls;
        calls.push_back(Instant::now());
        while calls.front().is_some_and(|call| call.elapsed() >= SECOND) {
            calls.pop_front();
        }
        let is_too_many = calls.len() > rate;
        // A clock that is set moves the slots.
        if is_too_many && scenario.clock_jumps.is_empty() {
            state.violation(format_args!("the target gets more than {rate} calls in a second"));
        }
        if !has_item(&state, &event.name) {
            state.violation(format_args!("the target gets {:?}, which has no item", event.name));
        }
    }
}

/// Whether the event has an item, or had one when the call was prepared.
fn has_item(state: &State, (tenant, id): &Name) -> bool {
    let (Ok(tenant), Ok(id)) = (TenantId::parse(tenant), EventId::parse(id.as_str())) else { return false };
    let name = (tenant, id);
    let removed = state.data.removed.get(&name);
    state.data.items.contains_key(&name) || removed.is_some_and(|at| at.elapsed() < SEEN)
}

/// The event of a call.
struct Dispatched {
    name: Name,
    text: String,
}

impl Dispatched {
    fn of(call: &Call) -> Self {
        let body: Value = serde_json::from_slice(&call.body).expect("a call is JSON");
        let event = &body["variables"]["event"];
        let [id, text] =
            [&event["id"], &event["body"]].map(|value| value.as_str().unwrap_or_default().to_owned());
        let tenant = call.idempotency_key.split('/').next().unwrap_or_default().to_owned();
        Self { name: (tenant, id), text }
    }

    /// Whether the target never takes it.
    fn is_refused(&self, one_in: u64) -> bool {
        let number = self.name.1.trim_start_matches('e').parse::<u64>();
        one_in > 0 && number.is_ok_and(|number| number.is_multiple_of(one_in))
    }
}

impl dispatch_fn::Target for SimTarget {
    type Connection = Option<SpellKind>;

    async fn connect(&self) -> Result<Self::Connection, String> {
        self.0.while_alive().await;
        self.travel().await;
        let kind = self.spell();
        if kind == Some(SpellKind::Away) {
            self.0.world().count(SpellKind::Away.counter());
            return Err("connection refused".to_owned());
        }
        Ok(kind)
    }

    async fn call(&self, kind: Self::Connection, call: &Call) -> Answer {
        self.0.while_alive().await;
        let (world, event) = (self.0.world(), Dispatched::of(call));
        self.travel().await;
        world.note(format_args!("the target gets {}: {kind:?}", call.idempotency_key));
        self.judge(&event);
        if let Some(kind) = kind {
            world.count(kind.counter());
        }
        let answer = |status: u16, retry_after: Option<u64>, body: &str| Answer::Response {
            status,
            retry_after: retry_after.map(|seconds| seconds.to_string()),
            location: None,
            body: body.to_owned().into(),
        };
        let error = |code: &str| {
            format!(r#"{{"data":null,"errors":[{{"message":"no","extensions":{{"code":"{code}"}}}}]}}"#)
        };
        if event.is_refused(world.scenario().dispatch.as_ref().map_or(0, |plan| plan.refuses_one_in)) {
            self.travel().await;
            return answer(200, None, &error("BAD_USER_INPUT"));
        }
        let answer = match kind {
            None | Some(SpellKind::Away) => {
                self.take(&event);
                answer(200, None, TAKEN)
            }
            Some(SpellKind::Busy) => answer(world.random(|random| *pick(random, &BUSY)), None, "busy"),
            Some(SpellKind::Throttles) => answer(200, None, &error("THROTTLED")),
            Some(SpellKind::Pauses) => {
                answer(429, Some(world.random(|random| random.u64(1..8))), "slow down")
            }
            Some(SpellKind::Refuses) => answer(400, None, &error("BAD_USER_INPUT")),
            Some(SpellKind::Slow) => {
                sleep(TIMEOUT / 2).await;
                self.take(&event);
                answer(200, None, TAKEN)
            }
            Some(SpellKind::Stalls) => {
                sleep(TIMEOUT).await;
                Answer::None("no answer in time".to_owned())
            }
            Some(SpellKind::TakesAndStalls) => {
                self.take(&event);
                sleep(TIMEOUT).await;
                Answer::None("no answer in time".to_owned())
            }
            Some(SpellKind::TakesAndBreaks) => {
                self.take(&event);
                if world.random(fastrand::Rng::bool) {
                    answer(200, None, "<html>")
                } else {
                    Answer::None("connection reset".to_owned())
                }
            }
        };
        self.travel().await;
        answer
    }
}
