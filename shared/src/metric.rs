//! Every metric, by one enum: its name in the namespace `Tidegate`, its unit, what it counts. They go through the
//! `metrics` facade: CloudWatch Embedded Metric Format in Lambda, Prometheus text on the local run.

use metrics::Unit;

/// The CloudWatch namespace.
pub const NAMESPACE: &str = "Tidegate";

/// One of Tidegate's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `POST` requests on a route that takes events, before anything else is looked at.
    RequestsReceived,
    /// Requests refused for their tier.
    RequestsFiltered,
    /// Events that were answered as accepted.
    EventsAccepted,
    /// Events, or requests that could not be cut into events, that were answered with an error.
    EventsRejected,
    /// Bytes of accepted bodies, after decompression.
    BytesAccepted,
    /// How long the stream took to take a put, in milliseconds.
    PublishLatency,
    /// Records that were sent again.
    PublishRetries,
    /// Events that now have their item and are archived.
    EventsStored,
    /// Events seen again that had been admitted once: our own resends.
    EventsRedelivered,
    /// Events with an id and a content that were there already.
    EventsDeduplicated,
    /// Events and records put into quarantine.
    EventsQuarantined,
    /// Archive objects written.
    ObjectsWritten,
    /// The size of an archive object, in bytes.
    ObjectBytes,
    /// Events in an invocation's batch.
    BatchEvents,
    /// From received at the door to durable in the archive, in milliseconds.
    Freshness,
}

impl Metric {
    /// All of them, in the order of the flow.
    pub const ALL: [Self; 15] = [
        Self::RequestsReceived,
        Self::RequestsFiltered,
        Self::EventsAccepted,
        Self::EventsRejected,
        Self::BytesAccepted,
        Self::PublishLatency,
        Self::PublishRetries,
        Self::EventsStored,
        Self::EventsRedelivered,
        Self::EventsDeduplicated,
        Self::EventsQuarantined,
        Self::ObjectsWritten,
        Self::ObjectBytes,
        Self::BatchEvents,
        Self::Freshness,
    ];

    /// The name, as dashboards and alarms spell it.
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// The unit, and whether single values are kept (a distribution) or a sum.
    fn facts(self) -> (&'static str, Unit, Kind) {
        use Kind::{Distribution, Sum};
        use Unit::{Bytes, Count, Milliseconds};
        match self {
            Self::RequestsReceived => ("RequestsReceived", Count, Sum),
            Self::RequestsFiltered => ("RequestsFiltered", Count, Sum),
            Self::EventsAccepted => ("EventsAccepted", Count, Sum),
            Self::EventsRejected => ("EventsRejected", Count, Sum),
            Self::BytesAccepted => ("BytesAccepted", Bytes, Sum),
            Self::PublishLatency => ("PublishLatency", Milliseconds, Distribution),
            Self::PublishRetries => ("PublishRetries", Count, Sum),
            Self::EventsStored => ("EventsStored", Count, Sum),
            Self::EventsRedelivered => ("EventsRedelivered", Count, Sum),
            Self::EventsDeduplicated => ("EventsDeduplicated", Count, Sum),
            Self::EventsQuarantined => ("EventsQuarantined", Count, Sum),
            Self::ObjectsWritten => ("ObjectsWritten", Count, Sum),
            Self::ObjectBytes => ("ObjectBytes", Bytes, Distribution),
            Self::BatchEvents => ("BatchEvents", Count, Distribution),
            Self::Freshness => ("Freshness", Milliseconds, Distribution),
        }
    }

    /// Adds `amount` to a sum.
    pub fn add(self, amount: usize) {
        debug_assert_eq!(self.facts().2, Kind::Sum);
        if amount > 0 {
            metrics::counter!(self.name()).increment(amount as u64);
        }
    }

    /// Records one value of a distribution.
    #[expect(clippy::cast_precision_loss, reason = "no metric comes near 2^52")]
    pub fn record(self, value: u64) {
        debug_assert_eq!(self.facts().2, Kind::Distribution);
        metrics::histogram!(self.name()).record(value as f64);
    }

    /// Tells the recorder each metric's unit. Call it once, after the recorder is installed.
    pub fn describe_all() {
        for metric in Self::ALL {
            match metric.facts() {
                (name, unit, Kind::Sum) => metrics::describe_counter!(name, unit, ""),
                (name, unit, Kind::Distribution) => metrics::describe_histogram!(name, unit, ""),
            }
        }
    }

    /// Whether single values are kept.
    pub fn is_distribution(self) -> bool {
        self.facts().2 == Kind::Distribution
    }

    /// The metric of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Distribution,
}

/// `values` by at most `most` of them, evenly chosen by rank, so that percentiles survive: an Embedded Metric Format
/// document holds 100 values of a metric.
pub fn sample(mut values: Vec<u64>, most: usize) -> Vec<u64> {
    if values.len() <= most {
        return values;
    }
    values.sort_unstable();
    let last = values.len() - 1;
    (0..most).map(|rank| values[rank * last / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_the_ends_and_the_middle() {
        let sample = sample((0..=10_000).collect(), 101);
        assert_eq!((sample.len(), sample[0], sample[50], sample[100]), (101, 0, 5_000, 10_000));
    }

    #[test]
    fn every_metric_is_found_by_its_name() {
        for metric in Metric::ALL {
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
    }
}
