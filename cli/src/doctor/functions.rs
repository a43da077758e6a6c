//! The functions: what they run on, what they are told, and which version serves.

use std::time::Duration;

use local::pipeline::CONSUMER_TIMEOUT;
use shared::config::{Config, VARIABLE};

use super::facts::{Deployment, Function};
use super::report::Report;

/// What `cargo lambda build` makes binaries for.
const RUNTIME: &str = "provided.al2023";
/// Metric documents have no level and count as INFO: what is filtered above that takes every metric with it.
const LOG_LEVELS: [&str; 3] = ["INFO", "DEBUG", "TRACE"];
/// What stands before a variable that overrides a key of `tidegate.toml`.
const OVERRIDE: &str = "TIDEGATE__";
const MIB: u64 = 1024 * 1024;

pub(super) fn check(deployment: &Deployment, config: &Config, fingerprint: &str, report: &mut Report) {
    let Deployment { ingest, consumer, redriver, .. } = deployment;
    let limits = &config.limits;
    // Bodies are held once as they came and once as events.
    let ingest_mb = 2 * limits.bodies_in_memory_bytes as u64 / MIB;
    let consumer_mb =
        (2 * (limits.batch_bytes + limits.claim_check_bytes) as u64 / MIB).max(shared::limits::PROCESSOR_MB);
    let ingest_time = config.publish.request() + shared::limits::ANSWER;
    let redriver_time = ingest_fn::redrive::TIMEOUT;
    let ingest_names = ingest_fn::environment::ENVIRONMENT;
    let redriver_names = ingest_fn::environment::REDRIVER_ENVIRONMENT;
    let consumer_names = &consumer_fn::environment::ENVIRONMENT;

    function(deployment, ingest, ingest_names, Least { mb: ingest_mb, time: ingest_time }, report);
    function(deployment, redriver, redriver_names, Least { mb: 0, time: redriver_time }, report);
    function(deployment, consumer, consumer_names, Least { mb: consumer_mb, time: CONSUMER_TIMEOUT }, report);
    together(deployment, report);
    serving(deployment, fingerprint, report);
}

/// What a function has at least.
#[derive(Clone, Copy)]
struct Least {
    mb: u64,
    time: Duration,
}

fn function(deployment: &Deployment, function: &Function, names: &[&str], least: Least, report: &mut Report) {
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
        format_args!("at least {mb}, for what tidegate.toml lets it hold"),
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
        let told = function.variables.get(*name).map_or("", String::as_str);
        let (should, is_good) = match resource(deployment, name) {
            Some(resource) => (resource, told == resource),
            None => ("set", !told.is_empty()),
        };
        let is = if told.is_empty() { "not set" } else { told };
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
        "more than 0: the function is closed",
        format!("aws lambda delete-function-concurrency --function-name {}", function.name),
    );
}

/// The resource that a variable names.
fn resource<'a>(deployment: &'a Deployment, variable: &str) -> Option<&'a str> {
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

/// What the functions must have in common.
fn together(deployment: &Deployment, report: &mut Report) {
    let Deployment { ingest, consumer, redriver, .. } = deployment;
    let overrides = |function: &Function| {
        let set =
            function.variables.iter().filter(|(name, _)| name.starts_with(OVERRIDE) || *name == VARIABLE);
        set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    let shown = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    for other in [redriver, consumer] {
        let mut about = report.about(&other.name);
        about.equals(
            "overrides of tidegate.toml",
            &shown(overrides(other)),
            &shown(overrides(ingest)),
            format!(
                "what one function is told, all are: give `{}` and this one the same variables",
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

fn serving(deployment: &Deployment, fingerprint: &str, report: &mut Report) {
    let door = &deployment.door;
    let mut about = report.about("door");
    about.equals(
        "code behind the alias `live`",
        &door.live_code,
        &door.newest_code,
        "wait for the deployment to end; or deploy the stack again, which makes a version of the newest code",
    );
    let ok = "200 with version and configuration";
    match &door.health {
        Err(why) => about.holds("GET /health", why, false, ok, "look at the function's log"),
        Ok(health) => {
            about.holds("GET /health", ok, true, ok, "");
            about.holds(
                "version",
                &health.version,
                health.version == env!("CARGO_PKG_VERSION"),
                format_args!("{}, which this `tidegate` is", env!("CARGO_PKG_VERSION")),
                "deploy this version, or look with the `tidegate` of that one",
            );
            about.holds(
                "configuration",
                &health.config,
                health.config == fingerprint,
                format_args!("{fingerprint}, which is this tidegate.toml"),
                "deploy with this tidegate.toml, or name the deployed one by --config",
            );
        }
    }
}
