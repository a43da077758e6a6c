//! `tidegate verify`: makes the checks, prints what they find, and has everything deleted that they made.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use aws::verify::{CHECKS, Finding, Left, Options, Summary, TENANT, Verification};
use clap::Args;
use serde_json::json;
use shared::id::TenantId;

use crate::options::ConfigOption;
use crate::terminal::{Stop, note, print};

/// Region and credentials come from the environment, as for every AWS tool.
#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    /// CloudFormation name of the stack, such as `Tidegate-dev`
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    stack: Option<String>,
    /// Print the checks, and what each does; needs no account
    #[arg(long, conflicts_with = "clean")]
    list: bool,
    /// Only these checks, such as encodings,alarm
    #[arg(long, value_name = "CHECKS", value_delimiter = ',', value_parser = check)]
    only: Vec<String>,
    /// Only delete what earlier runs have left
    #[arg(long, conflicts_with = "only")]
    clean: bool,
    /// Write the findings into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File with headers for each request, such as `X-Api-Key: …`
    ///
    /// One on a line. It is needed where the stack asks for keys, or for the
    /// secret header of a gateway. It must name the tier, if the credential
    /// does not. With `-c auth=iam` requests are signed without it.
    #[arg(long, value_name = "FILE", requires = "tenant", verbatim_doc_comment)]
    headers: Option<PathBuf>,
    /// The tenant of the events [default: verify-tidegate]
    ///
    /// With credentials, the tenant that they are of.
    #[arg(long, value_name = "TENANT", value_parser = TenantId::parse, verbatim_doc_comment)]
    tenant: Option<TenantId>,
    /// Where ingest is [default: the stack's Function URL]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where dispatch is on: send events even so; they go to its target
    #[arg(long)]
    dispatch: bool,
    #[command(flatten)]
    config: ConfigOption,
    /// Endpoint of AWS's APIs [default: `AWS_ENDPOINT_URL`, else AWS]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The longest that a check waits for something
    #[arg(long, value_name = "SECONDS", hide = true)]
    limit: Option<u64>,
}

/// Something was not checked, and nothing differs.
const NOT_ALL: u8 = 3;

/// An error if it could not be run, or if not everything was deleted.
pub(crate) async fn run(options: VerifyOptions) -> anyhow::Result<ExitCode> {
    if options.list {
        return list();
    }
    let name = options.stack.as_deref().context("--stack is needed")?;
    let headers = options.headers.as_deref().map(headers).transpose()?;
    let sdk = aws::sdk(options.endpoint_url.as_deref()).await;
    let tenant = options.tenant.unwrap_or_else(|| TenantId::parse(TENANT).expect("it is a tenant's id"));
    let run = Verification::open(
        &sdk,
        name,
        Options {
            config: options.config.load()?,
            url: options.url,
            headers: headers.unwrap_or_default(),
            tenant,
            limit: options.limit.map(Duration::from_secs),
            only: options.only,
            may_dispatch: options.dispatch || options.clean,
        },
    )
    .await?;
    let mut stop = Stop::new()?;
    if options.clean {
        clean(&run, Left::ByAllRuns, &mut stop).await?;
        return Ok(ExitCode::SUCCESS);
    }
    print(format_args!("# {} on {name}\n", run.name()))?;
    let findings = RefCell::new(Vec::new());
    let found = |finding: Finding| {
        // A reader that is gone does not keep the run from deleting what it made.
        let _gone = print(format_args!("{finding}\n"));
        findings.borrow_mut().push(finding);
    };
    let was_stopped = tokio::select! {
        () = run.run(&found) => false,
        () = stop.received() => true,
    };
    if was_stopped {
        note("tidegate: stopped. What was made is deleted; a second Ctrl-C leaves it for `--clean`.");
    }
    let cleaned = clean(&run, Left::ByThisRun, &mut stop).await;
    if let Some(stays) = run.stays() {
        print(stays)?;
        print(
            "An audit of the time of this run names the items and records that were deleted: begin later, by --from.",
        )?;
    }
    let findings = findings.into_inner();
    let mut summary = Summary::default();
    for finding in &findings {
        summary.count(finding);
    }
    if let Some(file) = &options.json {
        write(file, name, run.name(), &findings, summary)?;
    }
    print(format_args!("\n{name}: {summary}"))?;
    cleaned?;
    ensure!(!was_stopped, "stopped before all was checked");
    Ok(code(summary))
}

fn code(summary: Summary) -> ExitCode {
    match summary {
        Summary { differ: 1.., .. } => ExitCode::FAILURE,
        Summary { not_checked: 1.., .. } => ExitCode::from(NOT_ALL),
        _ => ExitCode::SUCCESS,
    }
}

/// A signal ends it.
async fn clean(run: &Verification, left: Left, stop: &mut Stop) -> anyhow::Result<()> {
    let say = |text: String| {
        let _gone = print(text);
    };
    tokio::select! {
        cleaned = run.clean(left, &say) => cleaned,
        () = stop.received() => anyhow::bail!("stopped before all was deleted: run it again with --clean"),
    }
}

fn list() -> anyhow::Result<ExitCode> {
    for check in CHECKS {
        print(format_args!("{}\n    answers   {}\n    does      {}", check.name, check.answers, check.does))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(name: &str) -> Result<String, String> {
    let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no check `{name}` (known: {})", names.join(", ")))
}

fn headers(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("--headers {shown}"))?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let header = |(at, line): (usize, &str)| {
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.trim().is_empty())
            // The line itself may hold a key.
            .with_context(|| format!("line {} of {shown} is not `NAME: VALUE`", at + 1))?;
        Ok((name.trim().to_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.map(header).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!headers.is_empty(), "{shown} has no header");
    Ok(headers)
}

fn write(file: &Path, stack: &str, run: &str, findings: &[Finding], summary: Summary) -> anyhow::Result<()> {
    let json = json!({"stack": stack, "run": run, "findings": findings, "summary": summary});
    let text = serde_json::to_string_pretty(&json)? + "\n";
    std::fs::write(file, text).with_context(|| format!("--json {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_verdict() {
        let check = |as_documented, differ, not_checked| code(Summary { as_documented, differ, not_checked });
        assert_eq!(check(9, 0, 0), ExitCode::SUCCESS);
        assert_eq!(check(9, 1, 1), ExitCode::FAILURE);
        assert_eq!(check(9, 0, 1), ExitCode::from(3));
    }

    #[test]
    fn an_unknown_check_is_refused_with_the_known_ones() {
        assert_eq!(check("alarm").as_deref(), Ok("alarm"));
        let error = check("alarms").unwrap_err();
        assert!(error.starts_with("there is no check `alarms` (known: stack, encodings,"), "{error}");
    }

    #[test]
    fn headers_are_read_by_line_and_an_error_shows_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let file = folder.path().join("headers");
            std::fs::write(&file, text).unwrap();
            headers(&file).map_err(|error| error.to_string())
        };
        let [key, tier] = [("x-api-key", "a:b"), ("x-customer-tier", "pro")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read("X-Api-Key: a:b\n\nX-Customer-Tier:pro\n"), Ok(vec![key, tier]));
        let error = read("X-Customer-Tier: pro\nsecret-key\n").unwrap_err();
        assert!(error.starts_with("line 2 of ") && !error.contains("secret"), "{error}");
        assert!(read("\n").unwrap_err().ends_with("has no header"));
    }
}
