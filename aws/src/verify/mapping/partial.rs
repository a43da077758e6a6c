//! An answer that reports one record of a batch as failed: which records come again, and how often.

use std::time::Duration;

use super::super::probe::{Probe, ProbeMapping};
use super::super::report::{Check, Finding};
use super::super::site::Site;
use super::failed::{Layout, layout};
use super::{Seen, finished, probed, sizes};

pub(in super::super) const PARTIAL: Check = Check {
    name: "partial",
    answers: "which records come again after an answer with batchItemFailures, and how often",
    does: "as retries, and at the same time",
};

pub(super) const MAPPING: ProbeMapping = ProbeMapping { name: "Partial", retries: COUNT, record_age: -1 };

const COUNT: i32 = 3;
/// In its batch, then alone: the first and each retry.
const REPORTED: usize = 5;
const RECORDS: [&str; 3] = ["ok-1", "ok-2", "report"];
const LIMIT: Duration = Duration::from_mins(6);

pub(in super::super) async fn partial(site: &Site, probe: &Probe) -> anyhow::Result<Vec<Finding>> {
    let seen = probed(site, probe, &MAPPING, &RECORDS, LIMIT).await?;
    Ok(judge(&seen, &probe.mapping_id(&MAPPING)?))
}

fn judge(Seen { invocations, failed }: &Seen, mapping: &str) -> Vec<Finding> {
    let before = RECORDS[..2].iter().filter(|record| finished(invocations, record) == 1).count();
    let reported = finished(invocations, "report");
    let mut findings = vec![
        PARTIAL.finding(
            "the records before the reported one",
            "2 delivered once",
            format_args!("{before} delivered once"),
            before == 2,
        ),
        PARTIAL.finding(
            "the reported record",
            format_args!("{REPORTED} times: the part after the split counts from zero"),
            format_args!("{reported} times; records of each invocation: {}", sizes(invocations)),
            reported == REPORTED,
        ),
    ];
    let expected = Layout {
        mapping,
        condition: "RetryAttemptsExhausted",
        invocations: REPORTED as u64 - 1,
        has_response: true,
    };
    findings.extend(layout(&PARTIAL, failed.as_ref(), &expected));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Verdict::AsDocumented;
    use super::super::failed::tests as failed;
    use super::*;

    fn wrong(alone: usize, count: u64) -> Vec<String> {
        let mut invocations = vec![RECORDS.map(str::to_owned).to_vec()];
        invocations.extend((0..alone).map(|_| vec!["report".to_owned()]));
        let seen = Seen { invocations, failed: Some(failed::object("RetryAttemptsExhausted", count, true)) };
        let findings = judge(&seen, failed::MAPPING);
        findings.into_iter().filter(|found| found.verdict != AsDocumented).map(|found| found.what).collect()
    }

    #[test]
    fn the_reported_record_comes_five_times_at_three_retries() {
        assert!(wrong(4, 4).is_empty());
        assert_eq!(wrong(3, 3), ["the reported record", "approximateInvokeCount"]);
    }
}
