//! Dispatch: whether it is deployed as tidegate.toml says, and the dispatcher's mapping, queues and counter. Its variables and its
//! role are compared with those of the other functions.

use dispatch_fn::{RECEIVES, VISIBILITY};
use shared::config::Config;
use shared::limits;

use super::facts::{DeployedDispatch, DeployedStack, RedrivePolicy};
use super::report::{DoctorReport, option};

pub(super) fn check(deployment: &DeployedStack, config: &Config, report: &mut DoctorReport) {
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    let (is, should) = (deployment.dispatch.is_some(), config.dispatch.enabled);
    let again = "deploy the stack again with this tidegate.toml";
    if is != should {
        report.about("dispatch").equals("dispatch", on(is), on(should), again);
    }
    let Some(DeployedDispatch { function, mappings, queue, dead_letters, rate }) = &deployment.dispatch
    else {
        return;
    };

    let mut about = report.about("dispatcher's mapping");
    let ours: Vec<_> = mappings.iter().filter(|mapping| mapping.source == queue.arn).collect();
    about.equals("mappings of the dispatch queue", ours.len(), 1, "deploy the stack again");
    for mapping in ours {
        let update =
            |change: &str| format!("aws lambda update-event-source-mapping --uuid {} {change}", mapping.id);
        about.equals("State", &mapping.state, "Enabled", update("--enabled"));
        let most = limits::BATCH_MESSAGES;
        about.holds(
            "BatchSize",
            mapping.batch_size,
            mapping.batch_size <= most,
            format_args!("at most {most}"),
            update(&option("BatchSize", most)),
        );
        let setting = "ReportBatchItemFailures";
        about.is_on(
            setting,
            mapping.report_batch_item_failures,
            update(&option("FunctionResponseTypes", setting)),
        );
    }

    let set = |attribute: String| {
        format!("aws sqs set-queue-attributes --queue-url {} --attributes {attribute}", queue.url)
    };
    let mut about = report.about("dispatch queue");
    let least = VISIBILITY.max(6 * function.timeout).as_secs();
    about.at_least(
        "VisibilityTimeout",
        queue.visibility.as_secs(),
        least,
        &format!(": six times the {} s time-out of `{}`", function.timeout.as_secs(), function.name),
        set(format!("VisibilityTimeout={least}")),
    );
    let retention = limits::DISPATCH_RETENTION.as_secs();
    about.at_least(
        "MessageRetentionPeriod",
        queue.retention.as_secs(),
        retention,
        ": the dispatcher makes older events dead letters a day before",
        set(format!("MessageRetentionPeriod={retention}")),
    );
    let policy =
        |RedrivePolicy { target, receives }: &RedrivePolicy| format!("after {receives} receives to {target}");
    let should = RedrivePolicy { target: dead_letters.arn.clone(), receives: RECEIVES };
    about.holds(
        "RedrivePolicy",
        queue.redrive.as_ref().map_or("not set".to_owned(), policy),
        queue.redrive.as_ref() == Some(&should),
        policy(&should),
        "deploy the stack again: it sets the redrive policy",
    );
    about.is_on("encryption", queue.is_encrypted, set("SqsManagedSseEnabled=true".to_owned()));

    report.about("rate table").equals("TableStatus", &rate.status, "ACTIVE", "wait, or ask AWS");
}
