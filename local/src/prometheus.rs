//! The metrics as Prometheus text, for `/metrics`. In Lambda the same metrics go to CloudWatch. Here they have the
//! names that Prometheus users expect: `EventsStored` becomes `tidegate_events_stored_total`.

use std::collections::HashMap;
use std::time::Duration;

use ingest_fn::health::Report;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use shared::health::Gauge as HealthGauge;
use shared::metric::Metric;

/// How often new values of distributions are sorted into them.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Prometheus(PrometheusHandle);

impl Prometheus {
    /// Installs the recorder of this process. Fails if it has one already.
    pub fn install() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(Renamed::new(recorder))
            .map_err(|_| anyhow::anyhow!("this process has a metrics recorder already"))?;
        Metric::describe_all();
        for gauge in HealthGauge::ALL.iter().filter(|gauge| is_published(**gauge)) {
            if gauge.is_total() {
                metrics::describe_counter!(gauge.name(), gauge.meaning());
            } else {
                metrics::describe_gauge!(gauge.name(), gauge.meaning());
            }
        }
        Ok(Self(handle))
    }

    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Sorts new values of distributions into them, until it is aborted. Without this, memory would hold each value until
    /// something reads `/metrics`.
    pub(crate) async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

/// Sets what a report has seen.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a total is a count")]
pub(crate) fn publish(report: &Report) {
    for (gauge, amount) in report.gauges.iter().filter(|(gauge, _)| is_published(*gauge)) {
        if gauge.is_total() {
            metrics::counter!(gauge.name()).absolute(amount.value() as u64);
        } else {
            metrics::gauge!(gauge.name()).set(amount.value());
        }
    }
}

/// The metric of the same name has the others already.
fn is_published(gauge: HealthGauge) -> bool {
    gauge != HealthGauge::EventsQuarantined
}

/// A recorder that renames metrics. The functions look up a metric at each request, so the names are computed once.
struct Renamed {
    recorder: PrometheusRecorder,
    keys: HashMap<&'static str, Key>,
}

impl Renamed {
    fn new(recorder: PrometheusRecorder) -> Self {
        let names = Metric::ALL.iter().map(|metric| metric.name());
        let names = names.chain(HealthGauge::ALL.iter().map(|gauge| gauge.name()));
        Self { recorder, keys: names.map(|name| (name, Key::from_name(renamed(name)))).collect() }
    }

    fn key<'a>(&'a self, key: &'a Key) -> &'a Key {
        self.keys.get(key.name()).unwrap_or(key)
    }
}

/// Every name that `/metrics` may have, without labels, in the order of the data.
pub fn names() -> impl Iterator<Item = String> {
    let metrics = Metric::ALL.iter().map(|metric| metric.name());
    let gauges = HealthGauge::ALL.iter().filter(|gauge| is_published(**gauge)).map(|gauge| gauge.name());
    metrics.chain(gauges).map(renamed)
}

/// A metric's name in `/metrics`, without its beginning: `events_stored_total`.
pub fn name(metric: Metric) -> String {
    renamed(metric.name()).split_off("tidegate_".len())
}

/// `EventsStored` → `tidegate_events_stored_total`.
fn renamed(name: &str) -> String {
    if let Some(gauge) = HealthGauge::ALL.iter().find(|gauge| gauge.name() == name) {
        return format!("tidegate_{name}{}", if gauge.is_total() { "_total" } else { "" });
    }
    let words = name.chars().flat_map(|c| {
        let word_begins = c.is_ascii_uppercase().then_some('_');
        word_begins.into_iter().chain([c.to_ascii_lowercase()])
    });
    format!("tidegate{}{}", words.collect::<String>(), suffix(name))
}

/// Prometheus users expect a sum to end in `_total`, and a distribution to end in its unit.
fn suffix(name: &str) -> &'static str {
    match Metric::named(name) {
        Some(Metric::PublishLatency | Metric::DrainLatency | Metric::Freshness) => "_milliseconds",
        // `ObjectBytes` and `BatchEvents` name their unit already.
        Some(metric) if metric.is_distribution() => "",
        _ => "_total",
    }
}

impl Recorder for Renamed {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_counter(renamed(name.as_str()).into(), unit, description);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_gauge(renamed(name.as_str()).into(), unit, description);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder.describe_histogram(renamed(name.as_str()).into(), unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.recorder.register_counter(self.key(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.recorder.register_gauge(self.key(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.recorder.register_histogram(self.key(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: Metric, expected: &str) {
        assert_eq!(renamed(metric.name()), expected);
    }

    #[test]
    fn metrics_have_prometheus_names() {
        check(Metric::EventsStored, "tidegate_events_stored_total");
        check(Metric::Freshness, "tidegate_freshness_milliseconds");
        check(Metric::ObjectBytes, "tidegate_object_bytes");
        assert_eq!(renamed("oldest_record_age_seconds"), "tidegate_oldest_record_age_seconds");
        assert_eq!(renamed("batches_failed"), "tidegate_batches_failed_total");
        let all: Vec<_> = names().collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
