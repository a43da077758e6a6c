//! Reads how a deployed stack stands, for `status` and `top`: the functions' metrics and the services' own from CloudWatch, alarms,
//! queues, shards. It judges nothing.
//!
//! CloudWatch has one value a minute, and bills each metric that is read. So metrics are read once a minute; all else is free of charge
//! or nearly, and read each time.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use local::prometheus;
use operate::status::{Minutes, RaisedAlarm, StackFacts, State};
use serde::Deserialize;
use shared::metric::{DIMENSION, Metric, NAMESPACE};
use shared::time::{Clock, Timestamp};

use crate::deployment::sqs::depth;
use crate::doctor::{ALIAS, alarms};
use crate::kinesis;
use crate::query::{Members, Service, pages};
use crate::stack::{self, Stack};

/// How far back metrics are read.
const MINUTES: i64 = 60;
const MINUTE: Duration = Duration::from_mins(1);
const MINUTE_MS: i64 = 60_000;
/// The functions' metrics come out of their logs, and arrive so long after their minute.
const LATE: Duration = MINUTE;
/// Most metrics of one call (CloudWatch API reference).
const CALL_METRICS: usize = 500;

#[derive(Debug)]
pub struct StackStatus {
    sdk: SdkConfig,
    stack: Stack,
    /// The metrics' dimension. `None` where the functions write none.
    stage: Option<String>,
    clock: Clock,
    /// And when they were read.
    minutes: Option<(Timestamp, Minutes)>,
}

/// A metric of CloudWatch, and its name in a state.
#[derive(Debug)]
struct Watched {
    name: String,
    metric: String,
    namespace: &'static str,
    dimensions: Vec<(&'static str, String)>,
    statistic: &'static str,
    /// By which values are multiplied.
    factor: f64,
    is_sum: bool,
}

impl StackStatus {
    /// Fails if there is no such stack.
    pub async fn open(sdk: &SdkConfig, name: &str) -> anyhow::Result<Self> {
        let stack = stack::find(sdk, name).await?;
        let stage = stack::stage(sdk, &stack).await?;
        Ok(Self { sdk: sdk.clone(), stack, stage, clock: Clock::system(), minutes: None })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.stack.name
    }

    pub async fn state(&mut self) -> anyhow::Result<State> {
        let now = self.clock.now();
        if self.minutes.as_ref().is_none_or(|(read, _)| now.since(*read) >= MINUTE) {
            let minutes = self.minutes(now).await?;
            self.minutes = Some((now, minutes));
        }
        let minutes = self.minutes.as_ref().map(|(_, minutes)| minutes.clone()).unwrap_or_default();
        let raised = alarms(&self.sdk, &self.stack.alarms).await?.into_iter();
        let raised = raised.filter_map(|(name, alarm)| {
            let alarm = alarm.filter(|alarm| alarm.state == "ALARM")?;
            Some(RaisedAlarm { name, description: alarm.description })
        });
        let alarms = raised.collect();
        let stream = kinesis::describe(&self.sdk, &self.stack.resources.stream).await?;
        let facts = StackFacts {
            status: self.stack.status.clone(),
            alarms,
            open_shards: usize::try_from(stream.open_shard_count).unwrap_or_default(),
            has_dispatch: self.stack.dispatch.is_some(),
            minutes,
            now: self.depths().await?,
        };
        Ok(State::of_stack(facts, now.unix_ms()))
    }

    /// Messages in the queues, waiting or in progress.
    async fn depths(&self) -> anyhow::Result<BTreeMap<&'static str, u64>> {
        let resources = &self.stack.resources;
        let mut queues = vec![
            ("spill_depth", &resources.spill_queue),
            ("spill_dead_letters", &self.stack.spill_dead_letters),
        ];
        if let Some(dispatch) = &resources.dispatch {
            queues.push(("dispatch_depth", &dispatch.queue));
            queues.push(("dispatch_dead_letters", &dispatch.dead_letters));
        }
        let client = aws_sdk_sqs::Client::new(&self.sdk);
        let mut depths = BTreeMap::new();
        for (name, url) in queues {
            depths.insert(name, depth(&client, url).await?.all());
        }
        Ok(depths)
    }

    /// The last hour, up to the last minute of which the metrics should be there.
    async fn minutes(&self, now: Timestamp) -> anyhow::Result<Minutes> {
        let last = now.unix_ms() - i64::try_from(LATE.as_millis()).unwrap_or_default();
        let end = last - last.rem_euclid(MINUTE_MS);
        let ends: Vec<_> = (0..MINUTES).rev().map(|back| end - back * MINUTE_MS).collect();
        let start = ends[0] - MINUTE_MS;
        let watched = watched(&self.stack, self.stage.as_deref());
        let mut minutes = Minutes { ends, ..Minutes::default() };
        for watched in watched.chunks(CALL_METRICS) {
            let read = read(&self.sdk, watched, start, end).await?;
            for (index, watched) in watched.iter().enumerate() {
                let found = read.get(&format!("m{index}"));
                let at = |end: &i64| Some(found?.get(&(end - MINUTE_MS))? * watched.factor);
                let values: Vec<_> = minutes.ends.iter().map(at).collect();
                if watched.is_sum {
                    let sums = values.into_iter().map(Option::unwrap_or_default).collect();
                    minutes.sums.insert(watched.name.clone(), sums);
                } else {
                    minutes.values.insert(watched.name.clone(), values);
                }
            }
        }
        Ok(minutes)
    }
}

/// All that `status` shows, and no more: each costs.
fn watched(stack: &Stack, stage: Option<&str>) -> Vec<Watched> {
    let stage: Vec<_> = stage.map(|stage| (DIMENSION, stage.to_owned())).into_iter().collect();
    let own = |metric: Metric, ending: &str, statistic, is_sum| Watched {
        name: prometheus::name(metric) + ending,
        metric: metric.name().to_owned(),
        namespace: NAMESPACE,
        dimensions: stage.clone(),
        statistic,
        factor: 1.0,
        is_sum,
    };
    let mut watched: Vec<_> = OWN_SUMS
        .iter()
        .filter(|metric| stack.dispatch.is_some() || !metric.is_of_dispatch())
        .map(|metric| own(*metric, "", "Sum", true))
        .collect();
    for (metric, percentiles) in OWN_PERCENTILES {
        watched.push(own(*metric, "_count", "SampleCount", true));
        let percentiles = percentiles.iter().map(|(quantile, statistic)| {
            own(*metric, &format!("{{quantile=\"{quantile}\"}}"), *statistic, false)
        });
        watched.extend(percentiles);
    }
    let sum = |name: &str, namespace, metric: &str, dimensions: Vec<_>| Watched {
        name: name.to_owned(),
        metric: metric.to_owned(),
        namespace,
        dimensions,
        statistic: "Sum",
        factor: 1.0,
        is_sum: true,
    };
    let gauge = |of: Watched, statistic, factor| Watched { statistic, factor, is_sum: false, ..of };
    let consumer = vec![("FunctionName", stack.consumer_function.clone())];
    let mapping = vec![("EventSourceMappingUUID", stack.mapping.to_string())];
    let stream = vec![("StreamName", stack.resources.stream.clone())];
    let ingest = vec![
        ("FunctionName", stack.ingest_function.clone()),
        ("Resource", format!("{}:{ALIAS}", stack.ingest_function)),
    ];
    let queue = |url: &str| vec![("QueueName", url.rsplit('/').next().unwrap_or_default().to_owned())];
    let (lambda, visible) = ("AWS/Lambda", "ApproximateNumberOfMessagesVisible");
    watched.extend([
        gauge(sum("events_refused_lately", lambda, "Url5xxCount", ingest), "Sum", 1.0),
        gauge(sum("batch_failures", lambda, "Errors", consumer.clone()), "Sum", 1.0),
        gauge(sum("oldest_record_age_seconds", lambda, "IteratorAge", consumer), "Maximum", 0.001),
        sum("batches_failed_total", lambda, "OnFailureDestinationDeliveredEventCount", mapping),
        sum("records_arrived_total", "AWS/Kinesis", "IncomingRecords", stream.clone()),
        sum("records_throttled_total", "AWS/Kinesis", "WriteProvisionedThroughputExceeded", stream),
        gauge(sum("spill_depth", "AWS/SQS", visible, queue(&stack.resources.spill_queue)), "Maximum", 1.0),
        Watched {
            name: "events_spilled_lately".to_owned(),
            is_sum: false,
            ..own(Metric::EventsSpilled, "", "Sum", true)
        },
    ]);
    if let Some(dispatch) = &stack.resources.dispatch {
        let depth = sum("dispatch_depth", "AWS/SQS", visible, queue(&dispatch.queue));
        watched.push(gauge(depth, "Maximum", 1.0));
    }
    watched
}

const OWN_SUMS: &[Metric] = &[
    Metric::RequestsReceived,
    Metric::RequestsFiltered,
    Metric::CredentialsRefused,
    Metric::QuotasExceeded,
    Metric::EventsAccepted,
    Metric::EventsRejected,
    Metric::BytesAccepted,
    Metric::EventsSpilled,
    Metric::EventsStored,
    Metric::EventsRedelivered,
    Metric::EventsDeduplicated,
    Metric::EventsQuarantined,
    Metric::QuarantineObjectsWritten,
    Metric::ObjectsWritten,
    Metric::TextPartsWritten,
    Metric::EventsDispatched,
    Metric::DispatchRetries,
];

type Percentiles = &'static [(&'static str, &'static str)];

const OWN_PERCENTILES: &[(Metric, Percentiles)] = &[
    (Metric::BatchEvents, &[("0.5", "p50")]),
    (Metric::ObjectBytes, &[("0.5", "p50")]),
    (Metric::Freshness, &[("0.5", "p50"), ("0.99", "p99"), ("1", "Maximum")]),
];

/// Of each metric, by its id, the values of the minutes, by where they begin.
async fn read(
    sdk: &SdkConfig,
    watched: &[Watched],
    start: i64,
    end: i64,
) -> anyhow::Result<BTreeMap<String, BTreeMap<i64, f64>>> {
    let time = |ms| Timestamp::from_unix_ms(ms).to_string();
    let mut parameters = vec![("StartTime".to_owned(), time(start)), ("EndTime".to_owned(), time(end))];
    for (index, watched) in watched.iter().enumerate() {
        let query = format!("MetricDataQueries.member.{}", index + 1);
        let statistic = format!("{query}.MetricStat");
        parameters.extend([
            (format!("{query}.Id"), format!("m{index}")),
            (format!("{statistic}.Period"), "60".to_owned()),
            (format!("{statistic}.Stat"), watched.statistic.to_owned()),
            (format!("{statistic}.Metric.Namespace"), watched.namespace.to_owned()),
            (format!("{statistic}.Metric.MetricName"), watched.metric.clone()),
        ]);
        for (at, (name, value)) in watched.dimensions.iter().enumerate() {
            let dimension = format!("{statistic}.Metric.Dimensions.member.{}", at + 1);
            parameters.push((format!("{dimension}.Name"), (*name).to_owned()));
            parameters.push((format!("{dimension}.Value"), value.clone()));
        }
    }
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut found: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    let gather = |page: MetricData| {
        for result in page.metric_data_results.members {
            let times = result.timestamps.members.iter().filter_map(|time| Timestamp::first_at(time));
            let values = times.map(Timestamp::unix_ms).zip(result.values.members);
            found.entry(result.id).or_default().extend(values);
        }
        page.next_token
    };
    pages(sdk, Service::CloudWatch, "GetMetricData", &parameters, gather).await?;
    Ok(found)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricData {
    #[serde(default)]
    metric_data_results: Members<MetricDataResult>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDataResult {
    id: String,
    #[serde(default)]
    timestamps: Members<String>,
    #[serde(default)]
    values: Members<f64>,
}
