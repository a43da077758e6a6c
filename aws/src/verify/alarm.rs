//! One alarm that fires and clears: a record that cannot be read is put on the stream. The consumer puts it into quarantine,
//! which raises the alarm `quarantine`, and the alarm clears in the next minute.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_kinesis::primitives::Blob;
use operate::deployment::Deployment;
use serde::Deserialize;
use shared::format::key::QUARANTINE;
use shared::format::quarantine_line::QuarantineLine;
use shared::metric::Metric;
use shared::objects::ObjectStore;
use tokio::time::Instant;

use super::report::{Check, Finding};
use super::site::Site;
use crate::error::described;
use crate::query::{Members, Service, call};

pub(super) const ALARM: Check = Check {
    name: "alarm",
    answers: "whether a record that cannot be read goes to quarantine, and whether the alarm fires and clears",
    does: "puts one record on the stream; about 5 minutes, and the alarm notifies twice",
};

const STORED: Duration = Duration::from_mins(2);
/// A metric of a minute, evaluated in the minute after it; and some time for CloudWatch.
const FIRED: Duration = Duration::from_mins(6);
const CLEARED: Duration = Duration::from_mins(8);

pub(super) async fn alarm(site: &Site) -> anyhow::Result<Vec<Finding>> {
    let before = state(site).await?;
    let record = poison(site);
    let stream = &site.stack.resources.stream;
    let put = aws_sdk_kinesis::Client::new(&site.sdk).put_record().stream_name(stream);
    put.partition_key(&site.run).data(Blob::new(record.clone())).send().await.map_err(described)?;
    let since = Instant::now();
    let line = site.wait(STORED, Duration::from_secs(2), async || find(site, &record).await).await?;
    let mut findings = vec![quarantined(line.as_ref())];
    findings.extend(fired_and_cleared(site, &before, since).await?);
    Ok(findings)
}

/// Nothing that any producer sends.
pub(super) fn poison(site: &Site) -> Vec<u8> {
    [b"\0", site.run.as_bytes()].concat()
}

fn quarantined(line: Option<&QuarantineLine>) -> Finding {
    let expected = "unrecognised, with its bytes";
    let what = "the record in quarantine";
    match line {
        Some(line) => {
            let seen = format!("{}, with its bytes", line.reason);
            ALARM.equals(what, expected, seen.as_str())
        }
        None => ALARM.finding(what, expected, format_args!("nothing within {} s", STORED.as_secs()), false),
    }
}

/// The line of quarantine that has exactly these bytes.
async fn find(site: &Site, record: &[u8]) -> anyhow::Result<Option<QuarantineLine>> {
    for key in written_since(site).await? {
        let object = site.deployment.objects().get(&key).await?.unwrap_or_default();
        let line = QuarantineLine::read_each(&object).flatten().find(|line| line.bytes == record);
        if line.is_some() {
            return Ok(line);
        }
    }
    Ok(None)
}

/// Objects of quarantine that were written since this run began.
async fn written_since(site: &Site) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut after = None;
    // Keys begin with the day.
    let prefix = format!("{QUARANTINE}{}/", site.begun.day_partition());
    loop {
        let page = site.deployment.list(&prefix, after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(keys) };
        after = Some(last.key.clone());
        // S3's times are whole seconds.
        let since = site.begun.unix_ms() / 1_000 * 1_000;
        keys.extend(page.into_iter().filter(|found| found.written.unix_ms() >= since).map(|found| found.key));
    }
}

async fn fired_and_cleared(site: &Site, before: &str, since: Instant) -> anyhow::Result<Vec<Finding>> {
    let [fires, clears] = ["the alarm fires", "the alarm clears"];
    // A new alarm has no state until it is evaluated for the first time.
    if before == "ALARM" {
        let why = "the alarm is in state ALARM already".to_owned();
        return Ok(vec![ALARM.not_checked(fires, "ALARM", &why), ALARM.not_checked(clears, "OK", why)]);
    }
    let becomes = async |wanted: &'static str, limit| {
        let mut last = String::new();
        let seen = site.wait(limit, Duration::from_secs(10), async || {
            last = state(site).await?;
            Ok((last == wanted).then_some(()))
        });
        let seen = seen.await?;
        let after = since.elapsed().as_secs();
        anyhow::Ok((seen.is_some(), format!("{last}, {after} s after the record")))
    };
    let (has_fired, seen) = becomes("ALARM", FIRED).await?;
    let first = ALARM.finding(fires, "ALARM", seen, has_fired);
    if !has_fired {
        return Ok(vec![first, ALARM.not_checked(clears, "OK", "it did not fire")]);
    }
    let (has_cleared, seen) = becomes("OK", CLEARED).await?;
    Ok(vec![first, ALARM.finding(clears, "OK", seen, has_cleared)])
}

/// Of the quarantine alarm, which is found by its metric.
async fn state(site: &Site) -> anyhow::Result<String> {
    let names = &site.stack.alarms;
    let numbered: Vec<_> =
        (1..).zip(names).map(|(at, name)| (format!("AlarmNames.member.{at}"), name)).collect();
    let mut parameters: Vec<_> =
        numbered.iter().map(|(parameter, name)| (parameter.as_str(), name.as_str())).collect();
    parameters.push(("MaxRecords", "100"));
    let read: Alarms = call(&site.sdk, Service::CloudWatch, "DescribeAlarms", &parameters).await?;
    let metric = Metric::EventsQuarantined.name();
    let alarm = read.metric_alarms.members.into_iter().find(|alarm| alarm.metric_name == metric);
    Ok(alarm.with_context(|| format!("the stack has no alarm on {metric}"))?.state_value)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarms {
    #[serde(default)]
    metric_alarms: Members<DescribedAlarm>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedAlarm {
    /// An alarm on several metrics has none.
    #[serde(default)]
    metric_name: String,
    state_value: String,
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict::{AsDocumented, Differs, NotChecked};
    use super::super::tests::site;
    use super::*;

    macro_rules! described {
        ($state:literal) => {
            concat!(
                "<DescribeAlarmsResult><MetricAlarms><member><MetricName>Freshness</MetricName><StateValue>OK</StateValue></member><member><MetricName>EventsQuarantined</MetricName><StateValue>",
                $state,
                "</StateValue></member></MetricAlarms></DescribeAlarmsResult>"
            )
        };
    }
    const OK: &str = described!("OK");
    const ALARM_STATE: &str = described!("ALARM");

    async fn check(before: &str, answers: &[&'static str]) -> Vec<Finding> {
        let (site, _) = site(answers).await;
        fired_and_cleared(&site, before, Instant::now()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_fires_and_clears_with_the_time_of_each() {
        let [fired, cleared] = &check("OK", &[OK, OK, ALARM_STATE, ALARM_STATE, OK]).await[..] else {
            panic!()
        };
        assert_eq!((fired.verdict, fired.seen.as_str()), (AsDocumented, "ALARM, 20 s after the record"));
        assert_eq!((cleared.verdict, cleared.seen.as_str()), (AsDocumented, "OK, 30 s after the record"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_does_not_fire_differs_and_one_that_was_up_is_not_checked() {
        let verdicts =
            |findings: Vec<Finding>| findings.iter().map(|found| found.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(check("OK", &[OK; 40]).await), [Differs, NotChecked]);
        assert_eq!(
            verdicts(check("INSUFFICIENT_DATA", &[ALARM_STATE, OK]).await),
            [AsDocumented, AsDocumented]
        );
        assert_eq!(verdicts(check("ALARM", &[]).await), [NotChecked, NotChecked]);
    }
}
