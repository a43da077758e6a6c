//! The spill queue and its dead-letter queue, compared with the drain's constants.

use ingest_fn::drain as spill_drain;
use shared::limits::MESSAGE_BYTES;

use super::facts::{DeployedQueue, DeployedStack, RedrivePolicy};
use super::report::DoctorReport;

pub(super) fn check(deployment: &DeployedStack, report: &mut DoctorReport) {
    let DeployedStack { spill, dead_letters, drain, .. } = deployment;
    queue("spill queue", spill, report);
    queue("dead letters", dead_letters, report);

    let mut about = report.about("spill queue");
    let least = (6 * drain.timeout).max(spill_drain::VISIBILITY);
    about.at_least(
        "VisibilityTimeout",
        spill.visibility.as_secs(),
        least.as_secs(),
        &format!(": six times the {} s time-out of `{}`", drain.timeout.as_secs(), drain.name),
        set(spill, &format!("VisibilityTimeout={}", least.as_secs())),
    );
    let policy =
        |RedrivePolicy { target, receives }: &RedrivePolicy| format!("after {receives} receives to {target}");
    let should = RedrivePolicy { target: dead_letters.arn.clone(), receives: spill_drain::RECEIVES };
    about.holds(
        "RedrivePolicy",
        spill.redrive.as_ref().map(policy).unwrap_or_default(),
        spill.redrive.as_ref() == Some(&should),
        policy(&should),
        "deploy the stack again: it sets the redrive policy",
    );
    let receives = spill_drain::VISIBILITY * spill_drain::RECEIVES;
    about.holds(
        "MessageRetentionPeriod",
        spill.retention.as_secs(),
        (receives..=dead_letters.retention).contains(&spill.retention),
        format_args!(
            "at least {} for all receives, and at most the {} s for which dead letters are retained",
            receives.as_secs(),
            dead_letters.retention.as_secs()
        ),
        "deploy the stack again: it sets both",
    );
}

fn queue(title: &str, queue: &DeployedQueue, report: &mut DoctorReport) {
    let mut about = report.about(title);
    let size = "MaximumMessageSize";
    about.at_least(
        size,
        queue.message_bytes,
        MESSAGE_BYTES,
        "",
        set(queue, &format!("{size}={MESSAGE_BYTES}")),
    );
    about.is_on("encryption", queue.is_encrypted, set(queue, "SqsManagedSseEnabled=true"));
}

fn set(queue: &DeployedQueue, attribute: &str) -> String {
    format!("aws sqs set-queue-attributes --queue-url {} --attributes {attribute}", queue.url)
}
