//! Whether metrics arrive in CloudWatch: those that the functions write into their logs (EMF), and the mapping's own.

use std::time::Duration;

use serde::Deserialize;
use shared::metric::{DIMENSION, Metric, NAMESPACE};
use shared::time::Clock;

use super::report::{Check, Finding};
use super::site::Site;
use crate::query::{Members, Service, call};

pub(super) const METRICS: Check = Check {
    name: "metrics",
    answers: "whether the functions' metrics arrive in CloudWatch, and those of the event source mapping",
    does: "waits until this run's events are counted; about 2 minutes",
};

const LIMIT: Duration = Duration::from_mins(5);
const BETWEEN: Duration = Duration::from_secs(10);
const MINUTE_MS: i64 = 60_000;

/// A metric by the name and value of its one dimension.
struct Watched<'a> {
    namespace: &'a str,
    name: &'a str,
    dimension: (&'a str, &'a str),
}

pub(super) async fn metrics(site: &Site) -> anyhow::Result<Vec<Finding>> {
    site.any_event().await?;
    let mapping = site.stack.mapping.to_string();
    let of_stage = |metric: Metric| Watched {
        namespace: NAMESPACE,
        name: metric.name(),
        dimension: (DIMENSION, &site.stage),
    };
    let of_mapping = |name| Watched {
        namespace: "AWS/Lambda",
        name,
        dimension: ("EventSourceMappingUUID", mapping.as_str()),
    };
    let (accepted, stored, invoked) = tokio::try_join!(
        watch(site, of_stage(Metric::EventsAccepted)),
        watch(site, of_stage(Metric::EventsStored)),
        watch(site, of_mapping("InvokedEventCount")),
    )?;
    Ok(vec![accepted, stored, invoked])
}

async fn watch(site: &Site, watched: Watched<'_>) -> anyhow::Result<Finding> {
    // Several events may be one record of the stream.
    let least = if watched.namespace == NAMESPACE { site.accepted().len() } else { 1 };
    let mut seen = 0.0;
    let enough = site
        .wait(LIMIT, BETWEEN, async || {
            seen = sum(site, &watched).await?;
            Ok(is_enough(seen, least).then_some(()))
        })
        .await?;
    let what = format!("{} {}", watched.namespace, watched.name);
    let expected = format!("{least} or more since this run began");
    Ok(METRICS.finding(&what, expected, seen, enough.is_some()))
}

#[expect(clippy::cast_precision_loss, reason = "a run sends a few dozen events")]
fn is_enough(seen: f64, least: usize) -> bool {
    seen >= least as f64
}

/// Since the minute in which this run began.
async fn sum(site: &Site, watched: &Watched<'_>) -> anyhow::Result<f64> {
    let begun = site.begun.unix_ms();
    let minute = shared::time::Timestamp::from_unix_ms(begun - begun.rem_euclid(MINUTE_MS)).to_string();
    let end = Clock::system().now().plus(Duration::from_mins(1)).to_string();
    let parameters = [
        ("Namespace", watched.namespace),
        ("MetricName", watched.name),
        ("Dimensions.member.1.Name", watched.dimension.0),
        ("Dimensions.member.1.Value", watched.dimension.1),
        ("StartTime", minute.as_str()),
        ("EndTime", end.as_str()),
        ("Period", "60"),
        ("Statistics.member.1", "Sum"),
    ];
    let read: Statistics = call(&site.sdk, Service::CloudWatch, "GetMetricStatistics", &parameters).await?;
    // Not `sum()`: the sum of nothing is -0.
    Ok(read.datapoints.members.iter().fold(0.0, |sum, point| sum + point.sum))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    #[serde(default)]
    datapoints: Members<Datapoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datapoint {
    #[serde(default)]
    sum: f64,
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::super::tests::site;
    use super::*;

    const NONE: &str = "<GetMetricStatisticsResult><Datapoints/></GetMetricStatisticsResult>";
    const TWO: &str = "<GetMetricStatisticsResult><Datapoints><member><Sum>1.0</Sum></member><member><Sum>2.0</Sum></member></Datapoints></GetMetricStatisticsResult>";

    async fn check(answers: &[&'static str]) -> Finding {
        let (site, _) = site(answers).await;
        site.accepted().extend(["a", "b", "c"].map(str::to_owned));
        let accepted =
            Watched { namespace: NAMESPACE, name: "EventsAccepted", dimension: (DIMENSION, "dev") };
        watch(&site, accepted).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_metric_is_waited_for_until_it_counts_all_events_of_the_run() {
        let finding = check(&[NONE, TWO]).await;
        assert_eq!((finding.verdict, finding.seen.as_str()), (Verdict::AsDocumented, "3"));
        assert_eq!(finding.expected, "3 or more since this run began");
    }

    #[tokio::test(start_paused = true)]
    async fn a_metric_that_does_not_arrive_differs_after_the_limit() {
        let finding = check(&[NONE; 40]).await;
        assert_eq!((finding.verdict, finding.seen.as_str()), (Verdict::Differs, "0"));
    }
}
