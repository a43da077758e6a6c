//! Every metric, in one enum: its name in the namespace `Tidegate`, its unit and its meaning. The `metrics` facade emits
//! them: as CloudWatch Embedded Metric Format in Lambda, as Prometheus text on the local run.

use metrics::{Key, Level, Metadata, Unit};

pub const NAMESPACE: &str = "Tidegate";
/// The dimension of all metrics, where [`STAGE`](crate::environment::STAGE) is set. With it several stages of one account are apart.
pub const DIMENSION: &str = "Stage";

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Makes the enum. A metric's doc comment is its help in Prometheus, and its meaning in the CDK's contract.
macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $metric:ident: $unit:ident, $kind:ident;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $($(#[doc = $doc])+ $metric,)+
        }

        impl Metric {
            /// In the order of the data.
            pub const ALL: &[Self] = &[$(Self::$metric,)+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => stringify!($metric),)+
                }
            }

            /// Made and hashed once, not for each value.
            fn key(self) -> &'static Key {
                match self {
                    $(Self::$metric => {
                        static KEY: Key = Key::from_static_name(stringify!($metric));
                        &KEY
                    })+
                }
            }

            fn facts(self) -> (Unit, Kind, &'static str) {
                match self {
                    $(Self::$metric => (Unit::$unit, Kind::$kind, concat!($($doc,)+).trim_ascii_start()),)+
                }
            }
        }
    };
}

metrics! {
    /// `POST` requests on a route that takes events, before any check.
    RequestsReceived: Count, Sum;
    /// Requests refused for their tier.
    RequestsFiltered: Count, Sum;
    /// Requests refused for their credential: none, a wrong one, or another tenant's.
    CredentialsRefused: Count, Sum;
    /// Requests refused because their tenant had used up its quota.
    QuotasExceeded: Count, Sum;
    /// Times that the credentials could not be read again. The old ones are used.
    CredentialRefreshFailures: Count, Sum;
    /// Events that were answered as accepted.
    EventsAccepted: Count, Sum;
    /// Events, or requests that could not be cut into events, that were answered with an error.
    EventsRejected: Count, Sum;
    /// Halves of surrogate pairs in JSON, each replaced by U+FFFD. A retried batch of the consumer counts them again.
    SurrogatesReplaced: Count, Sum;
    /// Bytes of accepted bodies, after decompression.
    BytesAccepted: Bytes, Sum;
    /// How long a put of ingest took, in milliseconds. A put that was cancelled counts until then.
    PublishLatency: Milliseconds, Distribution;
    /// The same for the spill queue's drain, whose attempts may take seconds.
    DrainLatency: Milliseconds, Distribution;
    /// Records that were sent again.
    PublishRetries: Count, Sum;
    /// Events that went to the spill queue because the stream did not take them in time.
    EventsSpilled: Count, Sum;
    /// Events that now have their item and are archived.
    EventsStored: Count, Sum;
    /// Events seen again with the same admission: our own resends.
    EventsRedelivered: Count, Sum;
    /// Events whose id and content were stored already.
    EventsDeduplicated: Count, Sum;
    /// Events and records put into quarantine.
    EventsQuarantined: Count, Sum;
    /// Archive objects written to S3.
    ObjectsWritten: Count, Sum;
    /// Parts of claim checks written to S3: lines too large for a stream record.
    ClaimPartsWritten: Count, Sum;
    /// Parts written to S3 of archive lines that are too large for an archive object.
    TextPartsWritten: Count, Sum;
    /// Quarantine objects written to S3.
    QuarantineObjectsWritten: Count, Sum;
    /// Sidecars of manifest rows written to S3.
    SidecarsWritten: Count, Sum;
    /// The size of an archive object, in bytes.
    ObjectBytes: Bytes, Distribution;
    /// Events in an invocation's batch.
    BatchEvents: Count, Distribution;
    /// From received by ingest to durable in the archive, in milliseconds.
    Freshness: Milliseconds, Distribution;
    /// Messages for the dispatcher that the consumer sent. A retried batch sends them again.
    DispatchesQueued: Count, Sum;
    /// Events that the target took.
    EventsDispatched: Count, Sum;
    /// Calls to the target that failed and are repeated later.
    DispatchRetries: Count, Sum;
    /// Events that became dead letters of the dispatch queue.
    EventsUndelivered: Count, Sum;
    /// How long a call to the target took, in milliseconds.
    DispatchLatency: Milliseconds, Distribution;
    /// From received by ingest to taken by the target, in milliseconds.
    DispatchAge: Milliseconds, Distribution;
    /// Spans that were not sent: the collector did not take them, or too many waited.
    SpansDropped: Count, Sum;
}

impl Metric {
    /// Adds `amount` to a sum.
    pub fn add(self, amount: usize) {
        debug_assert_eq!(self.facts().1, Kind::Sum);
        if amount > 0 {
            metrics::with_recorder(|recorder| recorder.register_counter(self.key(), &METADATA))
                .increment(amount as u64);
        }
    }

    /// Records one value of a distribution.
    #[expect(clippy::cast_precision_loss, reason = "no metric comes near 2^52")]
    pub fn record(self, value: u64) {
        debug_assert_eq!(self.facts().1, Kind::Distribution);
        metrics::with_recorder(|recorder| recorder.register_histogram(self.key(), &METADATA))
            .record(value as f64);
    }

    /// Gives the recorder each metric's unit and meaning. Call it once, after the recorder is installed.
    pub fn describe_all() {
        for metric in Self::ALL {
            match metric.facts() {
                (unit, Kind::Sum, meaning) => metrics::describe_counter!(metric.name(), unit, meaning),
                (unit, Kind::Distribution, meaning) => {
                    metrics::describe_histogram!(metric.name(), unit, meaning);
                }
            }
        }
    }

    /// CloudWatch's name of the unit.
    pub fn unit(self) -> &'static str {
        self.facts().0.as_str()
    }

    pub fn meaning(self) -> &'static str {
        self.facts().2
    }

    pub fn is_distribution(self) -> bool {
        self.facts().1 == Kind::Distribution
    }

    /// Whether it has values only where dispatch is on.
    pub fn is_of_dispatch(self) -> bool {
        matches!(
            self,
            Self::DispatchesQueued
                | Self::EventsDispatched
                | Self::DispatchRetries
                | Self::EventsUndelivered
                | Self::DispatchLatency
                | Self::DispatchAge
        )
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|metric| metric.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Distribution,
}

/// At most `most` of `values`, evenly chosen by rank, so that percentiles stay the same. An Embedded Metric Format document
/// has room for 100 values of a metric.
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
            assert_eq!(Metric::named(metric.name()), Some(*metric));
        }
    }
}
