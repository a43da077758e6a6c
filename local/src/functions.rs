//! Runs a function as a child process of the local run: the code that is deployed to Lambda, on the embedded adapters,
//! called through the Lambda Runtime API.

use std::path::Path;
use std::sync::Arc;

use consumer_fn::Consumer;
use dispatch_fn::secret::Secret;
use dispatch_fn::target::http::HttpTarget;
use dispatch_fn::{Dispatcher, Ports};
use ingest_fn::credentials::Credentials;
use ingest_fn::drain::{self, Drain};
use ingest_fn::{EventReader, IngestPorts, IngestState};
use shared::config::{Config, ConfigSource};
use shared::environment::DISPATCH_SECRET;
use shared::id::Ids;
use shared::telemetry::EmbeddedMetrics;
use shared::time::Clock;
use shared::traces::Traces;

use crate::adapters::Adapters;
use crate::data::DataFolder;
use crate::embedded::{
    EmbeddedItems, EmbeddedLedger, EmbeddedReader, EmbeddedSlots, EmbeddedStream, LocalQueue,
};
use crate::logs::Logs;
use crate::runtime_api;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Receives the events of a Function URL.
    Ingest,
    /// Receives messages of the spill queue.
    Drain,
    /// Receives batches of the stream.
    Consumer,
    /// Receives messages of the dispatch queue.
    Dispatch,
}

impl Function {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Drain, Self::Consumer, Self::Dispatch];

    /// The name of the deployed binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest-fn",
            Self::Drain => "spill-drain",
            Self::Consumer => "consumer-fn",
            Self::Dispatch => "dispatch-fn",
        }
    }

    /// Runs the function on the data folder `data` until the parent process ends.
    pub async fn run(
        self,
        data: &Path,
        config: &ConfigSource,
        logs: &Logs,
        adapters: &impl Adapters,
    ) -> anyhow::Result<()> {
        runtime_api::exit_with_parent();
        let config = Arc::new(config.load_here()?);
        logs.start(&config.telemetry.log_level);
        let metrics = EmbeddedMetrics::install(self.name()).map_err(anyhow::Error::from_boxed)?;
        let data = DataFolder::open(data)?;
        let clock = Clock::system();
        let served = match self {
            Self::Ingest => {
                let stream = EmbeddedStream::open(data.database()?, 1, clock.clone()).await?;
                let queue = data.queue(LocalQueue::Spill, &clock)?;
                let (stream, queue) = (adapters.stream(stream), adapters.spill(queue));
                let reader = reader(&config, &data, adapters)?;
                let credentials = Credentials::in_file(&config, clock.clone()).await?;
                let ports = IngestPorts { stream, objects: data.objects()?, queue, reader };
                let state = IngestState::new(config, credentials, ports, clock, Ids::system());
                ingest_fn::lambda::serve(state, metrics).await
            }
            Self::Drain => {
                let stream = EmbeddedStream::open(data.database()?, 1, clock).await?;
                let stream = stream.away_while(data.stream_away_file());
                let traces = Traces::of(&config.telemetry, "drain");
                let drain = Drain::traced(adapters.stream(stream), &config.publish, traces);
                drain::serve(drain, metrics).await
            }
            Self::Consumer => {
                let mut config = Config::clone(&config);
                config.reads.enabled = Some(config.reads.on_this_machine());
                let items = adapters.items(EmbeddedItems(data.database()?));
                let ledger = adapters.ledger(EmbeddedLedger(data.database()?));
                let queue = if config.dispatch.enabled {
                    Some(adapters.dispatch(data.queue(LocalQueue::Dispatch, &clock)?))
                } else {
                    None
                };
                let consumer =
                    Consumer::new(config.into(), items, adapters.objects(data.objects()?), ledger, clock)?;
                consumer_fn::lambda::serve(consumer.dispatching(queue), metrics).await
            }
            Self::Dispatch => {
                let secret = target_secret(&config, &clock).await?;
                let ports = Ports {
                    items: adapters.dispatched(EmbeddedItems(data.database()?)),
                    inbox: data.queue(LocalQueue::Dispatch, &clock)?,
                    slots: EmbeddedSlots(data.database()?),
                    target: HttpTarget::new(&config.dispatch, secret)?,
                    objects: data.objects()?,
                };
                dispatch_fn::lambda::serve(Dispatcher::new(&config, ports, clock), metrics).await
            }
        };
        served.map_err(anyhow::Error::from_boxed)
    }
}

/// Reads the files that the configuration names: what the pipeline needs of them, before it answers anything.
pub async fn read_secrets(config: &Config, clock: &Clock) -> anyhow::Result<Credentials> {
    if config.dispatch.enabled {
        target_secret(config, clock).await?;
    }
    // Its text has that of its source, too.
    Credentials::in_file(config, clock.clone())
        .await
        .map_err(|error| anyhow::anyhow!("configuration: {error}"))
}

async fn target_secret(config: &Config, clock: &Clock) -> anyhow::Result<Secret> {
    let variable = std::env::var(DISPATCH_SECRET).ok();
    Secret::read_local(&config.dispatch, variable, clock.clone())
        .await
        .map_err(|error| anyhow::anyhow!("configuration: dispatch: {error}"))
}

/// Ingest's reader, where events can be read back.
pub(crate) fn reader<'a, A: Adapters>(
    config: &Config,
    data: &DataFolder,
    adapters: &'a A,
) -> anyhow::Result<Option<impl EventReader + use<'a, A>>> {
    let is_on = config.reads.on_this_machine();
    is_on.then(|| Ok(adapters.reader(EmbeddedReader(data.database()?)))).transpose()
}
