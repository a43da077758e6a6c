//! The functions: runtime, memory, variables, and the live version.

use std::time::Duration;

use shared::config::{Config, VARIABLE};
use shared::mapping::CONSUMER_TIMEOUT;

use super::facts::{DeployedFunction, DeployedStack};
use super::report::DoctorReport;

/// The runtime that `cargo lambda build` builds for.
const RUNTIME: &str = "provided.al2023";
/// Metric documents count as INFO. A higher level drops every metric.
const LOG_LEVELS: [&str; 3] = ["INFO", "DEBUG", "TRACE"];
/// The prefix of variables that override a key of `tidegate.toml`.
const OVERRIDE: &str = "TIDEGATE__";
const MIB: u64 = 1024 * 1024;

pub(super) fn check(
    deployment: &DeployedStack,
    config: &Config,
    fingerprint: &str,
    report: &mut DoctorReport,
) {
    let DeployedStack { ingest, consumer, drain, .. } = deployment;
    let limits = &config.limits;
    // Bodies are in memory twice: as received, and as events.
    let ingest_mb = 2 * limits.bodies_in_memory_bytes as u64 / MIB;
    let consumer_mb =
        (2 * (limits.batch_bytes + limits.claim_check_bytes) as u64 / MIB).max(shared::limits::PROCESSOR_MB);
    let ingest_time = config.publish.request() + shared::limits::ANSWER;
    let drain_time = ingest_fn::drain::TIMEOUT;
    let ingest_names = ingest_fn::environment::ENVIRONMENT;
    let drain_names = ingest_fn::environment::DRAIN_ENVIRONMENT;
    let consumer_names = &consumer_fn::environment::ENVIRONMENT;

    function(deployment, ingest, ingest_names, Least { mb: ingest_mb, time: ingest_time }, report);
    function(deployment, drain, drain_names, Least { mb: 0, time: drain_time }, report);
    function(deployment, consumer, consumer_names, Least { mb: consumer_mb, time: CONSUMER_TIMEOUT }, report);
    together(deployment, report);
    serving(deployment, fingerprint, report);
}

/// The least that a function needs.
#[derive(Clone, Copy)]
struct Least {
    mb: u64,
    time: Duration,
}

fn function(
    deployment: &DeployedStack,
    function: &DeployedFunction,
    names: &[&str],
    least: Least,
    report: &mut DoctorReport,
) {
    let update = |option: String| {
        format!("aws lambda update-function-configuration --function-name {} {option}", function.name)
    };
    let mut about = report.about(&function.name);
    about.holds(
        "Runtime",
        &function.runtime,
        function.runtime == RUNTIME,
        RUNTIME,
        update(format!("--runtime {RUNTIME}")),
    );
    let Least { mb, time } = least;
    about.holds(
        "MemorySize",
        function.memory_mb,
        function.memory_mb >= mb,
        format_args!("at least {mb}, by the limits in tidegate.toml"),
        update(format!("--memory-size {mb}")),
    );
    let seconds = time.as_secs_f64().ceil();
    about.holds(
        "Timeout",
        function.timeout.as_secs(),
        function.timeout >= time,
        format_args!("at least {seconds}"),
        update(format!("--timeout {seconds}")),
    );
    for name in names {
        let value = function.variables.get(*name).map_or("", String::as_str);
        let (should, is_good) = match resource(deployment, name) {
            Some(resource) => (resource, value == resource),
            None => ("set", !value.is_empty()),
        };
        let is = if value.is_empty() { "not set" } else { value };
        about.holds(name, is, is_good, should, "deploy the stack again: it sets the variables");
    }
    about.holds(
        "LogFormat",
        &function.log_format,
        function.log_format == "JSON",
        "JSON",
        update("--logging-config LogFormat=JSON".to_owned()),
    );
    let level = function.log_level.as_deref().unwrap_or("INFO");
    about.holds(
        "ApplicationLogLevel",
        level,
        LOG_LEVELS.contains(&level),
        "INFO: metric documents count as INFO, and anything above drops them",
        update("--logging-config LogFormat=JSON,ApplicationLogLevel=INFO".to_owned()),
    );
    about.holds(
        "ReservedConcurrentExecutions",
        function.reserved_concurrency.map_or("not set".to_owned(), |limit| limit.to_string()),
        function.reserved_concurrency != Some(0),
        "more than 0: the function refuses every invocation",
        format!("aws lambda delete-function-concurrency --function-name {}", function.name),
    );
}

/// The resource that a variable names.
fn resource<'a>(deployment: &'a DeployedStack, variable: &str) -> Option<&'a str> {
    let name = |arn: &'a str| arn.rsplit('/').next();
    match variable {
        "TIDEGATE_STREAM" => name(&deployment.stream.arn),
        "TIDEGATE_ITEMS_TABLE" => name(&deployment.items.arn),
        "TIDEGATE_LEDGER_TABLE" => name(&deployment.ledger.arn),
        "TIDEGATE_BUCKET" => Some(&deployment.bucket.name),
        "TIDEGATE_SPILL_QUEUE" => Some(&deployment.spill.url),
        _ => None,
    }
}

/// What must be the same for all functions.
fn together(deployment: &DeployedStack, report: &mut DoctorReport) {
    let DeployedStack { ingest, consumer, drain, .. } = deployment;
    let overrides = |function: &DeployedFunction| {
        let set =
            function.variables.iter().filter(|(name, _)| name.starts_with(OVERRIDE) || *name == VARIABLE);
        set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let shown = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    for other in [drain, consumer] {
        let mut about = report.about(&other.name);
        about.equals(
            "overrides of tidegate.toml",
            &shown(overrides(other)),
            &shown(overrides(ingest)),
            format!(
                "all functions need the same overrides: give this one the variables of `{}`",
                ingest.name
            ),
        );
        about.equals(
            "Architectures",
            &other.architecture,
            &ingest.architecture,
            "deploy the stack again: one build makes all binaries",
        );
    }
}

fn serving(deployment: &DeployedStack, fingerprint: &str, report: &mut DoctorReport) {
    let live = &deployment.live;
    let mut about = report.about("live ingest");
    about.equals(
        "code of the alias `live`",
        &live.live_code,
        &live.newest_code,
        "wait for the deployment to end, or deploy the stack again",
    );
    let ok = "200 with version and configuration";
    match &live.health {
        Err(why) => about.holds("GET /health", why, false, ok, "read the function's log"),
        Ok(health) => {
            about.holds("GET /health", ok, true, ok, "");
            about.holds(
                "version",
                &health.version,
                health.version == env!("CARGO_PKG_VERSION"),
                format_args!("{}, the version of this `tidegate`", env!("CARGO_PKG_VERSION")),
                "deploy this version, or use the `tidegate` of the deployed one",
            );
            about.holds(
                "configuration",
                &health.config,
                health.config == fingerprint,
                format_args!("{fingerprint}, the fingerprint of this tidegate.toml"),
                "deploy with this tidegate.toml, or name the deployed one by --config",
            );
        }
    }
}
