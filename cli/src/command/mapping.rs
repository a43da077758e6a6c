//! `tidegate mapping`: an event source mapping between a stream and a function of AWS, or of an emulator.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use aws::mapping::{StandIn, deployed_mapping, settings, start};
use aws::stack;
use clap::Args;
use local::event_source_mapping::Drained;
use shared::mapping::Rules;
use shared::telemetry::{LogFormat, init_logs};
use uuid::Uuid;

use crate::terminal::{Stop, print};

/// Region and credentials come from the environment, as for every AWS tool.
#[derive(Args, Debug)]
pub(crate) struct MappingOptions {
    /// Replace the event source mapping of this CloudFormation stack
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mapping", "stream", "function", "failure_destination"])]
    stack: Option<String>,
    /// Replace this event source mapping
    #[arg(long, value_name = "UUID", conflicts_with_all = ["stream", "function", "failure_destination"])]
    mapping: Option<Uuid>,
    /// Name of the stream
    #[arg(long, value_name = "NAME", required_unless_present_any = ["stack", "mapping"])]
    stream: Option<String>,
    /// Name of the function
    #[arg(long, value_name = "NAME", required_unless_present_any = ["stack", "mapping"])]
    function: Option<String>,
    /// Bucket for batches that failed permanently
    #[arg(long, value_name = "BUCKET", required_unless_present_any = ["stack", "mapping"])]
    failure_destination: Option<String>,
    /// Endpoint of AWS's APIs [default: `AWS_ENDPOINT_URL`, else AWS]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Folder of the checkpoints
    #[arg(long, value_name = "DIR", default_value = ".tidegate")]
    data: PathBuf,
    /// Most records in one invocation [default: the mapping's, else 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_size: Option<u16>,
    /// Milliseconds to gather records [default: the mapping's, else 3000]
    #[arg(long, value_name = "MS")]
    window_ms: Option<u64>,
    /// Retries of one and the same batch [default: the mapping's, else 30]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Process what is on the stream, then stop
    #[arg(long)]
    drain: bool,
}

/// How long a drain may take: ten minutes besides two invocations of the longest time-out, 900 s each.
const DRAIN: Duration = Duration::from_mins(40);

/// Runs the mapping until a signal stops it, then processes what is on the stream. With `--drain` it does only that.
pub(crate) async fn run(options: MappingOptions) -> anyhow::Result<()> {
    init_logs(LogFormat::Text, "info");
    let sdk = aws::sdk(options.endpoint_url.as_deref()).await;
    let replaced = match (&options.stack, options.mapping) {
        (Some(name), _) => Some(stack::find(&sdk, name).await?.mapping),
        (None, id) => id,
    };
    let mut stand_in = match replaced {
        Some(id) => {
            let mapping = deployed_mapping(&sdk, id).await?;
            ensure!(
                !mapping.is_on(),
                "the event source mapping {id} is enabled, and two mappings would deliver everything twice; \
                 first disable it: aws lambda update-event-source-mapping --no-enabled --uuid {id}"
            );
            StandIn::of(&mapping)
                .with_context(|| format!("the event source mapping {id} cannot be replaced"))?
        }
        None => named(&options)?,
    };
    change(&mut stand_in.rules, &options);
    let mut settings = settings(&sdk, &stand_in).await?;
    settings.mapping_id = replaced.unwrap_or(settings.mapping_id);
    let id = settings.mapping_id;

    let mut stop = Stop::new()?;
    let StandIn { stream, function, failures, .. } = &stand_in;
    print(format_args!("Mapping {id} reads the stream `{stream}` and invokes `{function}`."))?;
    print(described(&settings.rules))?;
    print(format_args!("Batches that fail permanently go to s3://{failures}/aws/lambda/{id}/"))?;
    let (mapping, _lock) = start(&sdk, stand_in, settings, &options.data)?;
    if !options.drain {
        print("Press Ctrl-C to stop it. It first processes what is on the stream.")?;
        stop.received().await;
    }
    report(mapping.drain(DRAIN).await)
}

fn named(options: &MappingOptions) -> anyhow::Result<StandIn> {
    let needed = |option: &Option<String>| option.clone().context("needed without --stack and --mapping");
    Ok(StandIn {
        stream: needed(&options.stream)?,
        function: needed(&options.function)?,
        failures: needed(&options.failure_destination)?,
        rules: Rules::default(),
    })
}

fn change(rules: &mut Rules, options: &MappingOptions) {
    rules.batch_size = options.batch_size.map_or(rules.batch_size, usize::from);
    rules.batching_window = options.window_ms.map_or(rules.batching_window, Duration::from_millis);
    rules.maximum_retry_attempts = options.retries.or(rules.maximum_retry_attempts);
}

fn described(rules: &Rules) -> String {
    let retries = rules.maximum_retry_attempts.map_or("unlimited".to_owned(), |retries| retries.to_string());
    let age = rules
        .maximum_record_age
        .map_or("any age".to_owned(), |age| format!("at most {} s old", age.as_secs()));
    let yes = |is_on| if is_on { "yes" } else { "no" };
    format!(
        "Batches of {} within {} ms; retries: {retries}; records {age}; bisect: {}; partial responses: {}.",
        rules.batch_size,
        rules.batching_window.as_millis(),
        yes(rules.bisect_on_error),
        yes(rules.report_batch_item_failures),
    )
}

fn report(drained: Drained) -> anyhow::Result<()> {
    let Drained { complete, batches, records, discarded, remaining } = drained;
    print(format_args!("Drained {records} records in {batches} batches."))?;
    if discarded > 0 {
        print(format_args!("{discarded} records failed permanently and were saved."))?;
    }
    if !complete {
        anyhow::bail!("at least {remaining} records are still on the stream: run it again");
    }
    Ok(())
}
