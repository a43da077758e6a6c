//! `tidegate mapping`: the event source mapping between a stream and a function that are AWS's, or an emulator's.

use std::time::Duration;

use local::aws::{RemoteMapping, describe};
use local::event_source_mapping::{Drained, Rules};
use shared::telemetry::{LogFormat, init_logs};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::MappingOptions;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_mins(10);

/// Runs the mapping until it is told to stop, then processes what is on the stream; with `--drain`, does only that.
pub(crate) async fn run(options: MappingOptions) -> anyhow::Result<()> {
    init_logs(LogFormat::Text, "info");
    let mut sdk = aws_config::from_env();
    if let Some(url) = &options.endpoint_url {
        sdk = sdk.endpoint_url(url);
    }
    let sdk = sdk.load().await;
    let mapped = describe(&sdk, options.stream.clone(), options.function.clone()).await?;
    let settings = mapped.settings(sdk.endpoint_url().unwrap_or("aws"), rules(&options));
    let id = settings.mapping_id;

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mapping = RemoteMapping::start(&sdk, &mapped, settings, options.on_failure.clone(), &options.data)?;
    println!("Mapping {id} reads the stream `{}` and invokes `{}`.", mapped.stream, mapped.function);
    println!("What fails for good goes to s3://{}/aws/lambda/{id}/", options.on_failure);
    if !options.drain {
        println!("Ctrl-C stops it, once what is on the stream is processed.");
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    report(mapping.running.drain(DRAIN).await)
}

fn rules(options: &MappingOptions) -> Rules {
    let mut rules = Rules::default();
    rules.batch_size = options.batch_size.map_or(rules.batch_size, usize::from);
    rules.batching_window = options.window_ms.map_or(rules.batching_window, Duration::from_millis);
    rules.maximum_retry_attempts = options.retries.or(rules.maximum_retry_attempts);
    rules
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
