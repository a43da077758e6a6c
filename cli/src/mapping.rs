//! `tidegate mapping`: the event source mapping between a stream and a function that are AWS's, or an emulator's.

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use local::aws::{RemoteMapping, deployed_mapping, describe, sdk, stack};
use local::event_source_mapping::{Drained, Rules, StandIn};
use shared::telemetry::{LogFormat, init_logs};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::arguments::MappingOptions;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_mins(10);

/// Runs the mapping until it is told to stop, then processes what is on the stream; with `--drain`, does only that.
pub(crate) async fn run(options: MappingOptions) -> anyhow::Result<()> {
    init_logs(LogFormat::Text, "info");
    let sdk = sdk(options.endpoint_url.as_deref()).await;
    let deployed = match (&options.stack, options.mapping) {
        (Some(name), _) => Some(stack::find(&sdk, name).await?.mapping),
        (None, id) => id,
    };
    let stand_in = match deployed {
        Some(id) => read(&sdk, id).await?,
        None => named(&options)?,
    };
    let StandIn { stream, function, on_failure, rules } = stand_in;
    let mapped = describe(&sdk, stream, function).await?;
    let mut settings = mapped.settings(sdk.endpoint_url().unwrap_or("aws"), with(rules, &options));
    settings.mapping_id = deployed.unwrap_or(settings.mapping_id);
    let id = settings.mapping_id;

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("Mapping {id} reads the stream `{}` and invokes `{}`.", mapped.stream, mapped.function);
    println!("{}", told(&settings.rules));
    println!("What fails for good goes to s3://{on_failure}/aws/lambda/{id}/");
    let mapping = RemoteMapping::start(&sdk, &mapped, settings, on_failure, &options.data)?;
    if !options.drain {
        println!("Ctrl-C stops it, once what is on the stream is processed.");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    report(mapping.running.drain(DRAIN).await)
}

/// What Lambda's own mapping does, if it does not do it at this time.
async fn read(sdk: &SdkConfig, id: Uuid) -> anyhow::Result<StandIn> {
    let deployed = deployed_mapping(sdk, id).await?;
    ensure!(
        !deployed.is_on(),
        "the event source mapping {id} is enabled: Lambda invokes the function already, and two at a time would \
         deliver everything twice; first disable it: aws lambda update-event-source-mapping --no-enabled --uuid {id}"
    );
    deployed.stand_in().with_context(|| format!("the event source mapping {id} cannot be stood in for"))
}

fn named(options: &MappingOptions) -> anyhow::Result<StandIn> {
    let needed = |option: &Option<String>| option.clone().context("needed without --stack and --mapping");
    Ok(StandIn {
        stream: needed(&options.stream)?,
        function: needed(&options.function)?,
        on_failure: needed(&options.on_failure)?,
        rules: Rules::default(),
    })
}

fn with(mut rules: Rules, options: &MappingOptions) -> Rules {
    rules.batch_size = options.batch_size.map_or(rules.batch_size, usize::from);
    rules.batching_window = options.window_ms.map_or(rules.batching_window, Duration::from_millis);
    rules.maximum_retry_attempts = options.retries.or(rules.maximum_retry_attempts);
    rules
}

/// The rules, for a person.
fn told(rules: &Rules) -> String {
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
    println!("Drained {records} records in {batches} batches.");
    if discarded > 0 {
        println!("{discarded} records failed for good and were kept.");
    }
    if !complete {
        anyhow::bail!("at least {remaining} records are still on the stream: the next run takes them up");
    }
    Ok(())
}
