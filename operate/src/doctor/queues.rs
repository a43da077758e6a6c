//! The spill queue, against the redriver that empties it.

use ingest_fn::redrive;
use shared::limits::MESSAGE_BYTES;

use super::facts::{Deployment, Queue, Redrive};
use super::report::Report;

pub(super) fn check(deployment: &Deployment, report: &mut Report) {
    let Deployment { spill, dead_letters, redriver, .. } = deployment;
    queue("spill queue", spill, report);
    queue("dead letters", dead_letters, report);

    let mut about = report.about("spill queue");
    let least = (6 * redriver.timeout).max(redrive::VISIBILITY);
    about.holds(
        "VisibilityTimeout",
        spill.visibility.as_secs(),
        spill.visibility >= least,
        format_args!(
            "at least {}: six times the {} s that `{}` may take",
            least.as_secs(),
            redriver.timeout.as_secs(),
            redriver.name
        ),
        set(spill, &format!("VisibilityTimeout={}", least.as_secs())),
    );
    let policy = |Redrive { target, receives }: &Redrive| format!("after {receives} receives to {target}");
    let should = Redrive { target: dead_letters.arn.clone(), receives: redrive::RECEIVES };
    about.holds(
        "RedrivePolicy",
        spill.redrive.as_ref().map_or("not set".to_owned(), policy),
        spill.redrive.as_ref() == Some(&should),
        policy(&should),
        "deploy the stack again: it sets the redrive policy",
    );
    about.holds(
        "MessageRetentionPeriod",
        spill.retention.as_secs(),
        spill.retention <= dead_letters.retention
            && spill.retention >= redrive::VISIBILITY * redrive::RECEIVES,
        format_args!(
            "at least {}, for as many receives, and at most the {} s that dead letters are kept",
            (redrive::VISIBILITY * redrive::RECEIVES).as_secs(),
            dead_letters.retention.as_secs()
        ),
        "deploy the stack again: it sets both",
    );
}

fn queue(title: &str, queue: &Queue, report: &mut Report) {
    let mut about = report.about(title);
    about.holds(
        "MaximumMessageSize",
        queue.message_bytes,
        queue.message_bytes >= MESSAGE_BYTES,
        format_args!("at least {MESSAGE_BYTES}"),
        set(queue, &format!("MaximumMessageSize={MESSAGE_BYTES}")),
    );
    about.is_on("encryption", queue.is_encrypted, set(queue, "SqsManagedSseEnabled=true"));
}

fn set(queue: &Queue, attribute: &str) -> String {
    format!("aws sqs set-queue-attributes --queue-url {} --attributes {attribute}", queue.url)
}
