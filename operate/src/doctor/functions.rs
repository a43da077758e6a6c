//! The functions: runtime, memory, variables, and the live version.

use std::time::Duration;

use shared::config::Config;
use shared::environment;

use super::facts::{DeployedFunction, DeployedStack};
use super::report::{DoctorReport, option};

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
    reads: bool,
    report: &mut DoctorReport,
) {
    let DeployedStack { ingest, consumer, drain, .. } = deployment;
    let limits = &config.limits;
    let ingest_mb = shared::limits::ingest_mb(limits.body_bytes) as u64;
    let consumer_mb =
        (2 * (limits.batch_bytes + limits.claim_check_bytes) as u64 / MIB).max(shared::limits::PROCESSOR_MB);
    let ingest_time = config.publish.request() + shared::limits::ANSWER;
    let drain_time = ingest_fn::drain::TIMEOUT;
    let read_names = if reads { ingest_fn::environment::READS_ENVIRONMENT } else { &[] };
    let ingest_names = &[&ingest_fn::environment::variables(config)[..], read_names].concat();
    let drain_names = ingest_fn::environment::DRAIN_ENVIRONMENT;
    let consumer_names = &consumer_fn::environment::ENVIRONMENT;

    function(deployment, ingest, ingest_names, ingest_mb, ingest_time, report);
    function(deployment, drain, drain_names, 0, drain_time, report);
    function(deployment, consumer, consumer_names, consumer_mb, config.consumer.timeout(), report);
    if let Some(dispatch) = &deployment.dispatch {
        let (names, time) = (dispatch_fn::environment::ENVIRONMENT, dispatch_fn::TIMEOUT);
        function(deployment, &dispatch.function, names, 0, time, report);
        let names = [environment::DISPATCH_QUEUE];
        function(deployment, consumer, &names, 0, Duration::ZERO, report);
    }
    together(deployment, report);
    serving(deployment, fingerprint, report);
}

/// `mb` and `time` are the least that the function needs.
fn function(
    deployment: &DeployedStack,
    function: &DeployedFunction,
    names: &[&str],
    mb: u64,
    time: Duration,
    report: &mut DoctorReport,
) {
    let update = |option: &str| {
        format!("aws lambda update-function-configuration --function-name {} {option}", function.name)
    };
    let mut about = report.about(&function.name);
    about.equals("Runtime", &function.runtime, RUNTIME, update(&option("Runtime", RUNTIME)));
    let why = ", by the limits in tidegate.toml";
    about.at_least("MemorySize", function.memory_mb, mb, why, update(&option("MemorySize", mb)));
    let seconds = time.as_millis().div_ceil(1_000);
    let is = function.timeout.as_secs().into();
    about.at_least("Timeout", is, seconds, "", update(&option("Timeout", seconds)));
    for name in names {
        let value = function.variables.get(*name).map_or("", String::as_str);
        let (should, is_good) = match resource(deployment, name) {
            Some(resource) => (resource, value == resource),
            None => ("set", !value.is_empty()),
        };
        about.holds(name, value, is_good, should, "deploy the stack again: it sets the variables");
    }
    about.equals("LogFormat", &function.log_format, "JSON", update("--logging-config LogFormat=JSON"));
    let level = function.log_level.as_deref().unwrap_or("INFO");
    about.holds(
        "ApplicationLogLevel",
        level,
        LOG_LEVELS.contains(&level),
        "INFO: metric documents count as INFO, and anything above drops them",
        update("--logging-config LogFormat=JSON,ApplicationLogLevel=INFO"),
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
        environment::STREAM => name(&deployment.stream.arn),
        environment::ITEMS_TABLE => name(&deployment.items.arn),
        environment::LEDGER_TABLE => name(&deployment.ledger.arn),
        environment::BUCKET => Some(&deployment.bucket.name),
        environment::SPILL_QUEUE => Some(&deployment.spill.url),
        environment::DISPATCH_QUEUE => Some(&deployment.dispatch.as_ref()?.queue.url),
        environment::DISPATCH_DEAD_LETTERS => Some(&deployment.dispatch.as_ref()?.dead_letters.url),
        environment::RATE_TABLE => name(&deployment.dispatch.as_ref()?.rate.arn),
        _ => None,
    }
}

/// What must be the same for all functions.
fn together(deployment: &DeployedStack, report: &mut DoctorReport) {
    let DeployedStack { ingest, consumer, drain, .. } = deployment;
    let overrides = |function: &DeployedFunction| {
        let set = function
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with(OVERRIDE) || *name == environment::CONFIG);
        let set: Vec<_> = set.map(|(name, value)| format!("{name}={value}")).collect();
        if set.is_empty() { "none".to_owned() } else { set.join(" ") }
    };
    for other in [drain, consumer] {
        let mut about = report.about(&other.name);
        about.equals(
            "overrides of tidegate.toml",
            overrides(other),
            overrides(ingest),
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
    let wait = "wait for the deployment to end, or deploy the stack again";
    about.equals("code of the alias `live`", &live.live_code, &live.newest_code, wait);
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
