//! The functions as child processes of the local run: the same code as in Lambda, on the embedded adapters, behind the
//! Lambda Runtime API.

use std::path::PathBuf;
use std::sync::Arc;

use consumer_fn::Consumer;
use ingest_fn::IngestState;
use ingest_fn::redrive::{self, Redriver};
use shared::config;
use shared::id::Ids;
use shared::telemetry::{EmbeddedMetrics, LogFormat, init_logs};
use shared::time::Clock;

use crate::adapters::Adapters;
use crate::data::DataFolder;
use crate::embedded::{EmbeddedItems, EmbeddedLedger, EmbeddedQueue, EmbeddedStream};
use crate::runtime_api;

/// A function that can run as a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `ingest-fn`, behind a Function URL's events.
    Ingest,
    /// `spill-redriver`, behind the spill queue's mapping.
    Redriver,
    /// `consumer-fn`, behind the event source mapping.
    Consumer,
}

impl Function {
    /// The function's name, as it is deployed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest-fn",
            Self::Redriver => "spill-redriver",
            Self::Consumer => "consumer-fn",
        }
    }
}

/// What a child is told.
#[derive(Clone, Debug)]
pub struct Child {
    /// Where the stream, the items and the objects are.
    pub data: PathBuf,
    /// The configuration file.
    pub config_file: Option<PathBuf>,
}

impl Child {
    /// Runs `function` on the embedded adapters until its parent is gone.
    pub async fn run(&self, function: Function, adapters: &impl Adapters) -> anyhow::Result<()> {
        runtime_api::exit_with_parent();
        let config = Arc::new(config::load_here(self.config_file.as_deref())?);
        init_logs(LogFormat::Text, &config.telemetry.log_level);
        let metrics = EmbeddedMetrics::install(function.name()).map_err(anyhow::Error::from_boxed)?;
        let data = DataFolder::open(&self.data)?;
        let clock = Clock::system();
        let served = match function {
            Function::Ingest => {
                let stream = EmbeddedStream::open(data.database()?, 1, clock.clone()).await?;
                let queue = adapters.spill(EmbeddedQueue::new(data.database()?, clock.clone()));
                let (stream, payloads) = (adapters.stream(stream), data.objects()?);
                let state = IngestState::new(config, stream, payloads, queue, clock, Ids::system());
                let calls = state.clone();
                let router = ingest_fn::router(state);
                let router = ingest_fn::lambda::with_metrics(router, metrics, move || calls.stream_calls());
                ingest_fn::lambda::serve(router).await
            }
            Function::Redriver => {
                let stream = EmbeddedStream::open(data.database()?, 1, clock).await?;
                let redriver = Redriver::new(adapters.stream(stream), &config.publish);
                redrive::serve(redriver, metrics).await
            }
            Function::Consumer => {
                let items = adapters.items(EmbeddedItems(data.database()?));
                let ledger = adapters.ledger(EmbeddedLedger(data.database()?));
                let consumer =
                    Consumer::new(config, items, adapters.objects(data.objects()?), ledger, clock)?;
                consumer_fn::lambda::serve(consumer, metrics).await
            }
        };
        served.map_err(anyhow::Error::from_boxed)
    }
}
