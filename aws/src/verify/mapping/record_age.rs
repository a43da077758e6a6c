//! A record that becomes too old while it fails: what is saved of it.

use std::time::Duration;

use super::super::probe::{Probe, ProbeMapping};
use super::super::report::{Check, Finding};
use super::super::site::Site;
use super::failed::{Layout, layout};
use super::{Seen, probed};

pub(in super::super) const RECORD_AGE: Check = Check {
    name: "record-age",
    answers: "what is saved of a record that becomes too old, and how its invocations are counted",
    does: "as retries, and at the same time",
};

/// The least that Lambda allows.
const AGE: i32 = 60;

pub(super) const MAPPING: ProbeMapping = ProbeMapping { name: "Age", retries: -1, record_age: AGE };

const LIMIT: Duration = Duration::from_mins(6);

pub(in super::super) async fn record_age(site: &Site, probe: &Probe) -> anyhow::Result<Vec<Finding>> {
    let seen = probed(site, probe, &MAPPING, &["crash"], LIMIT).await?;
    Ok(judge(&seen, &probe.mapping_id(&MAPPING)?))
}

/// As recorded on AWS: no `responseContext`. The count is that of the invocations, which differ from run to run.
fn judge(Seen { invocations, failed }: &Seen, mapping: &str) -> Vec<Finding> {
    let expected = Layout {
        mapping,
        condition: "RecordAgeExceeded",
        invocations: invocations.len() as u64,
        has_response: false,
    };
    layout(&RECORD_AGE, failed.as_ref(), &expected)
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Verdict::AsDocumented;
    use super::super::failed::tests as failed;
    use super::*;

    fn wrong(condition: &str, has_response: bool) -> Vec<String> {
        let failed = Some(failed::object(condition, 8, has_response));
        let seen = Seen { invocations: vec![vec!["crash".to_owned()]; 8], failed };
        let findings = judge(&seen, failed::MAPPING);
        findings.into_iter().filter(|found| found.verdict != AsDocumented).map(|found| found.what).collect()
    }

    #[test]
    fn a_record_that_is_too_old_is_saved_without_a_response() {
        assert!(wrong("RecordAgeExceeded", false).is_empty());
        assert_eq!(wrong("RecordAgeExceeded", true), ["responseContext"]);
        assert_eq!(wrong("RetryAttemptsExhausted", false), ["condition of the failed batch"]);
    }
}
