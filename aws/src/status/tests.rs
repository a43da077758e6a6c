//! Against answers of AWS, one after the other.

use shared::replay::{StaticReplayClient, replay};

use super::*;
use crate::verify::tests::{OPENED_STACK, opened_stack};

const NO_ALARMS: &str = "<DescribeAlarmsResult><MetricAlarms/></DescribeAlarmsResult>";
const STREAM: &str = r#"{"StreamDescriptionSummary":{"StreamName":"events","StreamARN":"arn","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1,"EnhancedMonitoring":[],"OpenShardCount":2}}"#;
const SEVEN: &str =
    r#"{"Attributes":{"ApproximateNumberOfMessages":"4","ApproximateNumberOfMessagesNotVisible":"3"}}"#;
const NONE: &str =
    r#"{"Attributes":{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"0"}}"#;

/// In the last minute that is read, if it is 09:31:30.
const METRICS: &str = "<GetMetricDataResult><MetricDataResults>\
    <member><Id>m0</Id><Label>RequestsReceived</Label><Timestamps><member>2026-11-21T09:29:00Z</member></Timestamps><Values><member>120.0</member></Values><StatusCode>Complete</StatusCode></member>\
    <member><Id>m1</Id><Label>RequestsFiltered</Label><Timestamps/><Values/><StatusCode>Complete</StatusCode></member>\
    </MetricDataResults></GetMetricDataResult>";

async fn status(answers: &[&'static str]) -> (StackStatus, StaticReplayClient) {
    let all: Vec<_> = opened_stack().iter().chain(answers).map(|answer| (200, *answer)).collect();
    let (sdk, requests) = replay(&all);
    let mut status = StackStatus::open(&sdk, "Tidegate-dev").await.unwrap();
    status.clock = Clock::fixed(Timestamp::first_at("2026-11-21T09:31:30Z").unwrap());
    (status, requests)
}

#[tokio::test]
async fn metrics_queues_and_shards_become_the_state_of_a_stack() {
    let (mut status, requests) = status(&[METRICS, STREAM, SEVEN, NONE]).await;
    let state = status.state().await.unwrap().json(status.name());
    assert_eq!(state["name"], "Tidegate-dev");
    assert_eq!(state["status"], "ok");
    assert_eq!(state["parts"]["ingest"]["requests_per_second"], 2.0);
    assert_eq!(state["parts"]["refused"]["requests_filtered_total"], 0.0);
    assert_eq!(state["parts"]["spill"]["spill_depth"], 7.0);
    assert_eq!(state["open_shards"], 2);
    let asked = requests.actual_requests().nth(OPENED_STACK).unwrap();
    let form = String::from_utf8(asked.body().bytes().unwrap().to_vec()).unwrap();
    for part in [
        "Action=GetMetricData&",
        "StartTime=2026-11-21T08%3A30%3A00.000Z&EndTime=2026-11-21T09%3A30%3A00.000Z",
        "MetricDataQueries.member.1.MetricStat.Metric.Dimensions.member.1.Value=dev",
        "Metric.Dimensions.member.1.Value=311b9e2f-04cd-44d8-a523-ab8cbf427e87",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
}

#[tokio::test]
async fn metrics_are_read_once_a_minute_and_the_rest_each_time() {
    let (mut status, requests) = status(&[METRICS, STREAM, SEVEN, NONE, STREAM, NONE, NONE]).await;
    status.state().await.unwrap();
    let state = status.state().await.unwrap().json("x");
    assert_eq!(state["parts"]["ingest"]["requests_per_second"], 2.0);
    assert_eq!(state["parts"]["spill"]["spill_depth"], 0.0);
    assert_eq!(requests.actual_requests().count(), OPENED_STACK + 7);
}

#[tokio::test]
async fn an_alarm_is_asked_for_by_its_name_and_tells_why_if_it_is_raised() {
    let raised = "<DescribeAlarmsResult><MetricAlarms><member><AlarmName>late</AlarmName><AlarmDescription>Late. Runbook: docs/runbooks/freshness.md</AlarmDescription><StateValue>ALARM</StateValue></member></MetricAlarms></DescribeAlarmsResult>";
    for (answer, expected) in [(raised, "degraded"), (NO_ALARMS, "ok")] {
        let (mut status, _) = status(&[METRICS, answer, STREAM, NONE, NONE]).await;
        status.stack.alarms = vec!["late".to_owned()];
        let state = status.state().await.unwrap().json("x");
        assert_eq!(state["status"], expected);
    }
}

#[tokio::test]
async fn every_number_of_a_stack_has_its_metric() {
    let (status, _) = status(&[]).await;
    let names: Vec<_> = watched(&status.stack, Some("dev")).into_iter().map(|watched| watched.name).collect();
    for name in [
        "events_stored_total",
        "freshness_milliseconds{quantile=\"0.99\"}",
        "batch_events_count",
        "spill_depth",
    ] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(!names.iter().any(|name| name.contains("dispatch")), "dispatch is off");
    assert!(names.len() <= 33, "docs/status.md says what a read of so many costs");
}
