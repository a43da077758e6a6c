//! How a local run or a deployed stack stands, as text: the numbers of the page and of `/metrics`, in their order.
//!
//! | file | has |
//! |---|---|
//! | `history.rs` | the metrics of the last minutes, and what follows from them |
//! | `parts.rs` | which numbers are shown of each part of the pipeline |
//! | `stack.rs` | the same of a deployed stack, from what AWS says of it |
//! | `screen.rs` | the text |

mod history;
mod parts;
mod screen;
mod stack;

pub use ingest_fn::health::Status as Health;
pub use screen::Style;
pub use stack::{Minutes, RaisedAlarm, StackFacts};

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::time::Timestamp;

use self::history::History;
use self::parts::Part;

/// What the page of a local run reads of it, `/_/api/state`.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// Of a stack, CloudFormation's word for how it stands.
    version: String,
    /// In Unix milliseconds, as `now`. `None` if it is not known.
    started: Option<i64>,
    now: i64,
    pub status: Health,
    reasons: Vec<Reason>,
    shards: Vec<Shard>,
    /// Of a stack, in place of the shards: AWS does not say what waits on each.
    #[serde(default)]
    open_shards: Option<usize>,
    settings: Settings,
    history: History,
}

/// Something that is wrong.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Reason {
    code: String,
    message: String,
    runbook: String,
}

/// What waits on a shard.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Shard {
    id: String,
    waiting: u64,
    oldest_age_seconds: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Settings {
    dispatch: bool,
    freshness_ms: f64,
}

impl State {
    pub fn read(json: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(json).context("it answers something else than the state of a local run")
    }

    /// What can be said of a run that has no page: from its `/health` and its `/metrics`.
    pub fn without_page(health: &[u8], metrics: &str, now: Timestamp) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Answer {
            version: String,
            status: Health,
            reasons: Vec<Reason>,
            gauges: serde_json::Map<String, Value>,
        }
        let Answer { version, status, reasons, gauges } = serde_json::from_slice(health)
            .context("it answers something else than the health of a local run")?;
        let shard = Shard {
            id: "all shards".to_owned(),
            waiting: gauges.get("records_waiting").and_then(Value::as_u64).unwrap_or_default(),
            oldest_age_seconds: gauges.get("oldest_record_age_seconds").and_then(Value::as_f64),
        };
        Ok(Self {
            version,
            started: None,
            now: now.unix_ms(),
            status,
            reasons,
            shards: vec![shard],
            open_shards: None,
            settings: Settings {
                dispatch: gauges.contains_key("dispatch_depth"),
                freshness_ms: shared::health::FRESHNESS.as_secs_f64() * 1_000.0,
            },
            history: History::of(metrics, now.unix_ms()),
        })
    }

    /// Whether it is that of a deployed stack.
    fn is_of_stack(&self) -> bool {
        self.open_shards.is_some()
    }

    /// The time after which a newer state has samples.
    pub fn last(&self) -> Option<i64> {
        self.history.last()
    }

    /// Replaces this state by a newer one, of which the samples after [`Self::last`] were read.
    pub fn replace(&mut self, newer: Self) {
        let mut history = std::mem::take(&mut self.history);
        // After a restart the samples are those of another run.
        if newer.started == self.started {
            history.add(newer.history);
        } else {
            history = newer.history;
        }
        *self = Self { history, ..newer };
    }

    /// For programs. `name` is what people call the run.
    pub fn json(&self, name: &str) -> Value {
        let numbers = |part: Part| {
            let numbers = part.numbers.iter().filter_map(|number| Some((number.key, number.value?)));
            (part.name, numbers.collect::<BTreeMap<_, _>>())
        };
        let mut all = json!({
            "name": name,
            "status": self.status,
            "reasons": self.reasons,
            "parts": parts::parts(self).into_iter().map(numbers).collect::<BTreeMap<_, _>>(),
        });
        if let Some(open) = self.open_shards {
            all["stack_status"] = json!(self.version);
            all["open_shards"] = json!(open);
        } else {
            all["version"] = json!(self.version);
            all["shards"] = json!(self.shards);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples, ten seconds apart, of a run with something wrong.
    pub(super) fn state() -> State {
        let series = json!({
            "tidegate_requests_received_total": [0.0, 124.0],
            "tidegate_events_accepted_total": [0.0, 12_345.0],
            "tidegate_bytes_accepted_total": [0.0, 1_200_000.0],
            "tidegate_requests_filtered_total": [0.0, 3.0],
            "tidegate_batch_events_count": [0.0, 4.0],
            "tidegate_batch_events{quantile=\"0.5\"}": [null, 17.0],
            "tidegate_events_stored_total": [0.0, 12_300.0],
            "tidegate_objects_written_total": [0.0, 4.0],
            "tidegate_object_bytes{quantile=\"0.5\"}": [null, 3_400.0],
            "tidegate_object_bytes_count": [0.0, 4.0],
            "tidegate_freshness_milliseconds{quantile=\"0.5\"}": [null, 1_900.0],
            "tidegate_freshness_milliseconds{quantile=\"0.99\"}": [null, 6_100.0],
            "tidegate_freshness_milliseconds{quantile=\"1\"}": [null, 6_400.0],
            "tidegate_freshness_milliseconds_count": [0.0, 12_300.0],
            "tidegate_spill_depth": [0.0, 2.0],
            "tidegate_events_spilled_total": [0.0, 40.0],
        });
        let json = json!({
            "version": "0.1.0", "started": 0, "now": 725_000, "status": "degraded",
            "reasons": [{
                "code": "spilling", "status": "degraded", "message": "the stream did not take 40 events in time",
                "runbook": "docs/runbooks/spilling.md",
            }],
            "shards": [
                { "id": "shardId-000000000000", "waiting": 45, "oldest_age_seconds": 1.25 },
                { "id": "shardId-000000000012", "waiting": 0, "oldest_age_seconds": null },
            ],
            "settings": { "auth": "none", "tiers": [], "dispatch": false, "shows_data": true, "freshness_ms": 5_000.0 },
            "history": { "at": [715_000, 725_000], "series": series },
        });
        State::read(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_newer_state_continues_the_history_unless_the_run_is_another() {
        let mut shown = state();
        let mut newer = state();
        newer.history.clear();
        shown.replace(newer.clone());
        assert_eq!(shown.last(), Some(725_000));
        newer.started = Some(1);
        shown.replace(newer);
        assert_eq!(shown.last(), None);
    }

    #[test]
    fn a_run_without_a_page_tells_what_health_and_metrics_have() {
        let health = json!({
            "status": "degraded", "version": "0.1.0", "config": "x", "covers": "pipeline",
            "reasons": [{"code": "spilling", "message": "m", "runbook": "docs/runbooks/spilling.md"}],
            "gauges": {"records_waiting": 7, "oldest_record_age_seconds": 1.5, "oldest_record_shard": "shardId-000000000000"},
        });
        let metrics = "# TYPE tidegate_events_stored_total counter\ntidegate_events_stored_total 3\n\n\
            tidegate_freshness_milliseconds{quantile=\"0.99\"} 4013.5\ntidegate_freshness_milliseconds_count 3\n";
        let at = Timestamp::from_unix_ms(1_000);
        let state = State::without_page(health.to_string().as_bytes(), metrics, at).unwrap();
        let json = state.json("here");
        assert_eq!(json["parts"]["items"]["events_stored_total"], 3.0);
        assert_eq!(json["parts"]["items"].get("stored_per_second"), None, "one sample has no rate");
        assert_eq!(json["parts"]["stream"]["oldest_record_age_seconds"], 1.5);
        assert_eq!((state.status, &json["reasons"][0]["code"]), (Health::Degraded, &json!("spilling")));
    }

    #[test]
    fn for_programs_numbers_have_names() {
        let json = state().json("http://127.0.0.1:8080");
        assert_eq!((&json["status"], &json["reasons"][0]["code"]), (&json!("degraded"), &json!("spilling")));
        assert_eq!(json["parts"]["ingest"]["requests_per_second"], 12.4);
        assert_eq!(json["parts"]["spill"]["spill_depth"], 2.0);
        assert_eq!(json["parts"]["stream"]["records_waiting"], 45.0);
        assert_eq!(json["shards"][1]["waiting"], 0);
    }
}
