//! The state of a deployed stack: what AWS says of it, under the names that a local run has for the same.

use std::collections::BTreeMap;

use shared::health;

use super::history::{History, MINUTE_MS};
use super::{Health, Reason, Settings, State};

/// What is known of a stack.
#[derive(Clone, Debug, Default)]
pub struct StackFacts {
    /// CloudFormation's word, such as `UPDATE_COMPLETE`.
    pub status: String,
    pub alarms: Vec<RaisedAlarm>,
    pub open_shards: usize,
    pub has_dispatch: bool,
    pub minutes: Minutes,
    /// Numbers of this moment, by their names in `/metrics`.
    pub now: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug)]
pub struct RaisedAlarm {
    pub name: String,
    /// In which `Runbook: …` ends it.
    pub description: String,
}

/// Metrics, minute by minute, by their names in `/metrics`. Of a minute without one, a sum is 0 and anything else unknown.
#[derive(Clone, Debug, Default)]
pub struct Minutes {
    /// Where each minute ends, in Unix milliseconds.
    pub ends: Vec<i64>,
    /// What was counted in each minute: `…_total`, and `…_count` of a distribution.
    pub sums: BTreeMap<String, Vec<f64>>,
    /// Percentiles and gauges.
    pub values: BTreeMap<String, Vec<Option<f64>>>,
}

impl State {
    /// `now` is in Unix milliseconds.
    pub fn of_stack(facts: StackFacts, now: i64) -> Self {
        let reason = |RaisedAlarm { name, description }: RaisedAlarm| {
            let (message, runbook) = description.rsplit_once(" Runbook: ").unwrap_or((&description, ""));
            let file = runbook.rsplit('/').next().unwrap_or_default().trim_end_matches(".md");
            let code = if file.is_empty() { name } else { file.replace('-', "_") };
            Reason { code, message: message.to_owned(), runbook: runbook.to_owned() }
        };
        let reasons: Vec<_> = facts.alarms.into_iter().map(reason).collect();
        Self {
            version: facts.status,
            started: None,
            now,
            status: if reasons.is_empty() { Health::Ok } else { Health::Degraded },
            reasons,
            shards: Vec::new(),
            open_shards: Some(facts.open_shards),
            settings: Settings {
                dispatch: facts.has_dispatch,
                freshness_ms: health::FRESHNESS.as_secs_f64() * 1_000.0,
            },
            history: facts.minutes.history(&facts.now, now),
        }
    }
}

impl Minutes {
    /// Samples at the ends of the minutes, as a run of the same time would have them; the last one has what is known now.
    fn history(self, now: &BTreeMap<&'static str, u64>, time: i64) -> History {
        let Self { ends, sums, values } = self;
        let Some(start) = ends.first().map(|end| end - MINUTE_MS) else {
            return History::by_the_minute(vec![time], of_now(now, BTreeMap::new(), 1));
        };
        let at: Vec<_> = [start].into_iter().chain(ends).collect();
        let total = |(name, counted): (String, Vec<f64>)| {
            let sum = |sum: &mut f64, counted: f64| {
                *sum += counted;
                Some(Some(*sum))
            };
            (name, [Some(0.0)].into_iter().chain(counted.into_iter().scan(0.0, sum)).collect())
        };
        let value = |(name, values)| (name, [None].into_iter().chain(values).collect());
        let series = sums.into_iter().map(total).chain(values.into_iter().map(value)).collect();
        let samples = at.len();
        History::by_the_minute(at, of_now(now, series, samples))
    }
}

type Series = BTreeMap<String, Vec<Option<f64>>>;

/// With what is known now in the last sample.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^52")]
fn of_now(now: &BTreeMap<&'static str, u64>, mut series: Series, samples: usize) -> Series {
    for (name, value) in now {
        let values = series.entry((*name).to_owned()).or_insert_with(|| vec![None; samples]);
        if let Some(last) = values.last_mut() {
            *last = Some(*value as f64);
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Style;
    use super::*;

    fn facts() -> StackFacts {
        let sums = [
            ("requests_received_total", [600.0, 1_200.0]),
            ("events_accepted_total", [600.0, 1_800.0]),
            ("events_stored_total", [600.0, 1_740.0]),
            ("objects_written_total", [20.0, 20.0]),
            ("freshness_milliseconds_count", [100.0, 100.0]),
            ("records_arrived_total", [60.0, 120.0]),
        ];
        let values = [
            ("freshness_milliseconds{quantile=\"0.99\"}", [Some(4_000.0), Some(4_200.0)]),
            ("oldest_record_age_seconds", [None, Some(3.25)]),
        ];
        StackFacts {
            status: "UPDATE_COMPLETE".to_owned(),
            alarms: Vec::new(),
            open_shards: 2,
            has_dispatch: false,
            minutes: Minutes {
                ends: vec![60_000, 120_000],
                sums: sums.map(|(name, sums)| (name.to_owned(), sums.to_vec())).into(),
                values: values.map(|(name, values)| (name.to_owned(), values.to_vec())).into(),
            },
            now: [("spill_depth", 7), ("spill_dead_letters", 0)].into(),
        }
    }

    fn plain(_: Style, text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_stack_has_the_screen_of_a_run_with_rates_of_a_minute_and_totals_of_the_hour() {
        let state = State::of_stack(facts(), 185_000);
        insta::assert_snapshot!(state.screen("Tidegate-dev", &plain), @r"
        Tidegate-dev  UPDATE_COMPLETE: ok

        ingest      20 requests/s, 30 events/s accepted, 0 B/s
                    2400 accepted in the last hour
        refused     0 in the last minute, by tier 0, by credential 0, by quota 0
                    events rejected 0, not stored (503) 0
        stream      oldest 3.3 s, 2 records/s, 2 open shards, throttled 0
        spill       7 messages waiting, spilled lately 0, in the last hour 0
                    dead letters 0
        consumer    0 batches in the last minute, – events in a batch (p50)
                    failures of a batch 0, failed for good 0
        quarantine  0 in the last hour, 0 in the last minute, objects written 0
        items       29 events stored/s, 2340 stored in the last hour, deduplicated 0
                    redelivered 0
        dispatch    off
        archive     20 objects in the last minute, written in the last hour 40
                    size – (p50), parts of large texts 0
        freshness   p99 4.2 s, promised 5.0 s, p50 –, longest –
        ");
        let json = state.json("Tidegate-dev");
        assert_eq!(json["parts"]["ingest"]["events_per_second"], 30.0);
        assert_eq!(json["parts"]["items"]["events_stored_total"], 2_340.0);
        assert_eq!(json["parts"]["stream"]["oldest_record_age_seconds"], 3.25);
        assert_eq!(json["open_shards"], 2);
    }

    #[test]
    fn an_alarm_is_a_reason_with_its_runbook() {
        let alarm = RaisedAlarm {
            name: "Tidegate-dev-SpillStuck1A2B".to_owned(),
            description: "The spill queue is not emptied. Runbook: docs/runbooks/spill-stuck.md".to_owned(),
        };
        let of_someone = RaisedAlarm { name: "mine".to_owned(), description: "hot".to_owned() };
        let state = State::of_stack(StackFacts { alarms: vec![alarm, of_someone], ..facts() }, 185_000);
        assert_eq!(state.status, Health::Degraded);
        assert_eq!(
            state.json("x")["reasons"],
            json!([
                {"code": "spill_stuck", "message": "The spill queue is not emptied.", "runbook": "docs/runbooks/spill-stuck.md"},
                {"code": "mine", "message": "hot", "runbook": ""},
            ])
        );
    }

    #[test]
    fn a_stack_without_metrics_has_what_the_services_say_now() {
        let state = State::of_stack(StackFacts { minutes: Minutes::default(), ..facts() }, 1_000);
        let json = state.json("x");
        assert_eq!(json["parts"]["spill"]["spill_depth"], 7.0);
        assert_eq!(json["parts"]["ingest"].get("events_per_second"), None);
    }
}
