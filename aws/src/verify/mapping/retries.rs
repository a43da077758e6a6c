//! A record that crashes the function: how the batch is halved, what the retry count counts, and where the record goes.

use std::time::Duration;

use super::super::probe::{Probe, ProbeMapping};
use super::super::report::{Check, Finding};
use super::super::site::Site;
use super::failed::{Layout, layout};
use super::{Seen, finished, probed, sizes};

pub(in super::super) const RETRIES: Check = Check {
    name: "retries",
    answers: "how a failing batch is halved, what the retry count counts, and the layout at the failure destination",
    does: "makes a function, a bucket and a stream beside the stack, and deletes them; about 6 minutes",
};

pub(super) const MAPPING: ProbeMapping = ProbeMapping { name: "Retries", retries: COUNT, record_age: -1 };

const COUNT: i32 = 2;
/// The first and each retry.
const ALONE: usize = 3;
const RECORDS: [&str; 8] = ["ok-1", "ok-2", "ok-3", "ok-4", "crash", "ok-5", "ok-6", "ok-7"];
const LIMIT: Duration = Duration::from_mins(6);

pub(in super::super) async fn retries(site: &Site, probe: &Probe) -> anyhow::Result<Vec<Finding>> {
    let seen = probed(site, probe, &MAPPING, &RECORDS, LIMIT).await?;
    Ok(judge(&seen, &probe.mapping_id(&MAPPING)?))
}

fn judge(Seen { invocations, failed }: &Seen, mapping: &str) -> Vec<Finding> {
    let alone = invocations.iter().filter(|records| *records == &["crash"]).count();
    let others = || RECORDS.iter().filter(|record| record.starts_with("ok"));
    let once = others().filter(|record| finished(invocations, record) == 1).count();
    let mut findings = vec![
        RETRIES.finding(
            "invocations of the failing record alone",
            format_args!("{ALONE}: halving a batch counts as no retry"),
            format_args!("{alone}; records of each invocation: {}", sizes(invocations)),
            alone == ALONE,
        ),
        RETRIES.finding(
            "the other records",
            format_args!("{} delivered once to an invocation that succeeds", others().count()),
            format_args!("{once} delivered once"),
            once == others().count(),
        ),
    ];
    let expected = Layout {
        mapping,
        condition: "RetryAttemptsExhausted",
        invocations: ALONE as u64,
        has_response: true,
    };
    findings.extend(layout(&RETRIES, failed.as_ref(), &expected));
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Verdict::{AsDocumented, Differs};
    use super::super::failed::tests as failed;
    use super::*;

    fn verdicts(invocations: &[&[&str]], object: Option<(&str, u64)>) -> Vec<(String, bool)> {
        let owned = |records: &&[&str]| records.iter().map(|record| (*record).to_owned()).collect();
        let seen = Seen {
            invocations: invocations.iter().map(owned).collect(),
            failed: object.map(|(condition, count)| failed::object(condition, count, true)),
        };
        let findings = judge(&seen, failed::MAPPING);
        findings.into_iter().map(|found| (found.what, found.verdict == AsDocumented)).collect()
    }

    /// As our own mapping delivers them.
    const DOCUMENTED: [&[&str]; 9] = [
        &RECORDS,
        &["ok-1", "ok-2", "ok-3", "ok-4"],
        &["crash", "ok-5", "ok-6", "ok-7"],
        &["crash", "ok-5"],
        &["crash"],
        &["crash"],
        &["crash"],
        &["ok-5"],
        &["ok-6", "ok-7"],
    ];

    #[test]
    fn halving_costs_no_retry_and_the_others_are_delivered_once() {
        let found = verdicts(&DOCUMENTED, Some(("RetryAttemptsExhausted", 3)));
        assert!(found.iter().all(|(_, is_so)| *is_so) && found.len() == 7, "{found:?}");
    }

    #[test]
    fn a_mapping_whose_halves_cost_retries_differs() {
        let found = verdicts(&DOCUMENTED[..5], Some(("RetryAttemptsExhausted", 1)));
        let wrong: Vec<_> = found.into_iter().filter(|(_, is_so)| !is_so).map(|(what, _)| what).collect();
        assert_eq!(
            wrong,
            ["invocations of the failing record alone", "the other records", "approximateInvokeCount"]
        );
    }

    #[test]
    fn a_mapping_that_does_not_halve_differs_with_what_it_did() {
        let seen = Seen { invocations: vec![RECORDS.map(str::to_owned).to_vec(); 3], failed: None };
        let findings = judge(&seen, failed::MAPPING);
        assert!(findings.iter().all(|found| found.verdict == Differs), "{findings:?}");
        assert_eq!(findings[0].seen, "0; records of each invocation: 8, 8, 8");
    }
}
