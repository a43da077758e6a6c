//! The metrics of the last ten minutes, for the charts of the page. They are the lines of `/metrics`, under the same names.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shared::time::Clock;

use crate::lock;
use crate::prometheus::Prometheus;

const BETWEEN: Duration = Duration::from_secs(2);
/// Ten minutes.
const MOST: usize = 300;
/// Of a distribution.
const QUANTILES: [&str; 3] = ["{quantile=\"0.5\"}", "{quantile=\"0.99\"}", "{quantile=\"1\"}"];

/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Samples>>);

#[derive(Default)]
struct Samples {
    /// In Unix milliseconds.
    at: VecDeque<i64>,
    /// By the names in `/metrics`. Each has a value for each time; `None` where the metric was not there yet.
    series: BTreeMap<String, VecDeque<Option<f64>>>,
}

impl History {
    /// Takes a sample every two seconds, until it is aborted.
    pub(crate) async fn record(self, prometheus: Prometheus, clock: Clock) {
        loop {
            lock(&self.0).add(clock.now().unix_ms(), &prometheus.render());
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// The samples after a time, as JSON: `at`, and a list for each name. Without the time, all.
    pub(super) fn after(&self, time: Option<i64>) -> Value {
        let samples = lock(&self.0);
        let old = time.map_or(0, |time| samples.at.partition_point(|at| *at <= time));
        let at: Vec<_> = samples.at.range(old..).collect();
        let series: serde_json::Map<_, _> = samples
            .series
            .iter()
            .map(|(name, values)| (name.clone(), values.range(old..).copied().collect::<Value>()))
            .collect();
        json!({ "at": at, "series": series })
    }
}

impl Samples {
    fn add(&mut self, at: i64, metrics: &str) {
        let before = self.at.len();
        self.at.push_back(at);
        for (name, value) in metrics.lines().filter_map(sample) {
            if !self.series.contains_key(name) {
                self.series.insert(name.to_owned(), std::iter::repeat_n(None, before).collect());
            }
            if let Some(values) = self.series.get_mut(name).filter(|values| values.len() == before) {
                values.push_back(Some(value));
            }
        }
        let is_full = self.at.len() > MOST;
        if is_full {
            self.at.pop_front();
        }
        for values in self.series.values_mut() {
            values.resize(before + 1, None);
            if is_full {
                values.pop_front();
            }
        }
    }
}

/// Name and value of a line that is charted.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    let is_charted = name.find('{').is_none_or(|labels| QUANTILES.contains(&&name[labels..]));
    Some((name, value.parse().ok()?)).filter(|_| is_charted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP tidegate_events_accepted_total Events.\n# TYPE tidegate_events_accepted_total counter\n\
        tidegate_events_accepted_total 6\n\ntidegate_freshness_milliseconds{quantile=\"0.9\"} 4\n\
        tidegate_freshness_milliseconds{quantile=\"0.99\"} 4013.5\ntidegate_freshness_milliseconds_count 5\n";

    #[test]
    fn a_metric_that_comes_later_has_no_values_before() {
        let history = History::default();
        lock(&history.0).add(1_000, "a 1\n");
        lock(&history.0).add(3_000, METRICS);
        let expected = json!({
            "at": [1_000, 3_000],
            "series": {
                "a": [1.0, null],
                "tidegate_events_accepted_total": [null, 6.0],
                "tidegate_freshness_milliseconds_count": [null, 5.0],
                "tidegate_freshness_milliseconds{quantile=\"0.99\"}": [null, 4013.5],
            }
        });
        assert_eq!(history.after(None), expected);
        assert_eq!(history.after(Some(1_000))["series"]["tidegate_events_accepted_total"], json!([6.0]));
        assert_eq!(history.after(Some(3_000))["at"], json!([]));
    }

    #[test]
    fn only_the_last_ten_minutes_are_there() {
        let history = History::default();
        for n in 0..=MOST {
            lock(&history.0).add(n.try_into().unwrap(), &format!("a {n}"));
        }
        let all = history.after(None);
        let (at, values) = (all["at"].as_array().unwrap(), all["series"]["a"].as_array().unwrap());
        assert_eq!((at.len(), values.len(), &at[0], &values[0]), (MOST, MOST, &json!(1), &json!(1.0)));
    }
}
