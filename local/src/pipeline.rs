//! Starts and stops the whole pipeline on one machine: ingest on a port of this process, the embedded stream and spill
//! queue, an event source mapping for each, and the consumer and the drain as child processes.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::routing::{MethodRouter, get};
use ingest_fn::health::{Covers, Report};
pub use ingest_fn::{Fault, health};
use ingest_fn::{IngestPorts, IngestState, drain, server};
use shared::config::{Config, ConfigSource};
use shared::health::Thresholds;
use shared::id::Ids;
use shared::limits;
use shared::metric::Metric;
use shared::time::Clock;
use shared::traces::Traces;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::activity::Activity;
use crate::adapters::Adapters;
use crate::cloudwatch;
use crate::data::{DataFolder, DataLock, note_run};
use crate::embedded::{
    Database, Delivery, EmbeddedCheckpoints, EmbeddedQueue, EmbeddedStream, Expiry, Left, LocalQueue,
    Overview, StreamRows, WriteAheadLog, rising,
};
use crate::event_source_mapping::{Drained, EventSourceMapping, Rules, Running, Settings};
use crate::functions::{Function, read_secrets, reader};
use crate::guard::{Guard, Guarded, uptime};
use crate::health::Judge;
use crate::health::watch::{HealthWatch, check};
use crate::logs::Logs;
use crate::page::{self, Live, Page};
use crate::prometheus::Prometheus;
use crate::queue_mapping::{QueueMapping, RunningQueueMapping};
use crate::runtime_api::{FunctionHost, FunctionSpec, LogSink};

/// When the pipeline stops: the time limit for open requests.
const REQUESTS_END: Duration = Duration::from_secs(10);
/// When the pipeline stops: the time limit for emptying the spill queue.
const SPILL_DRAIN: Duration = Duration::from_secs(30);
/// After that: the time limit for storing the stream's records, besides simulated work.
const STREAM_DRAIN: Duration = Duration::from_mins(1);
/// After that: the time limit for emptying the dispatch queue. What is left is sent after the next start.
const DISPATCH_DRAIN: Duration = Duration::from_secs(5);
/// How often the time of the run is noted, for the next start.
const NOTES: Duration = Duration::from_mins(1);
/// How often expired records and items are deleted.
const EXPIRY: Duration = Duration::from_hours(1);

#[derive(Clone, Debug)]
pub struct Options {
    /// With port 0, the system chooses a port.
    pub listen: SocketAddr,
    pub data: PathBuf,
    pub config: Config,
    /// Where `config` came from: the children read it too.
    pub config_source: ConfigSource,
    /// The number of shards of a new stream.
    pub shards: u16,
    /// This program. It starts children as `tidegate function …`.
    pub program: PathBuf,
    /// The rules of the stream's event source mapping, except for the maximum age of records.
    pub rules: Rules,
    /// Between two reads of a shard, or of the spill queue. Lambda: one second.
    pub poll: Duration,
    /// Of the spill queue.
    pub delivery: Delivery,
    /// How long a message of the dispatch queue stays hidden.
    pub dispatch_visibility: Duration,
    /// Start even if the clock is far from the time of the last run.
    pub accept_clock: bool,
    /// How long a minute is for the thresholds of health.
    pub minute: Duration,
    /// How the functions log.
    pub logs: Logs,
}

/// The default delivery of spilled messages: as deployed, but failed messages are retried sooner, because the user is
/// waiting for them.
pub const DELIVERY: Delivery = Delivery {
    visibility: Duration::from_secs(20),
    receives: drain::RECEIVES,
    messages: limits::BATCH_MESSAGES,
};

/// How long a message of the dispatch queue stays hidden by default. It is longer than an invocation: two copies of a message
/// would make two calls.
pub const DISPATCH_VISIBILITY: Duration = Duration::from_secs(70);

pub struct Pipeline {
    address: SocketAddr,
    /// True once it stops.
    stopping: watch::Sender<bool>,
    server: JoinHandle<()>,
    mapping: Running,
    consumer: FunctionHost,
    spill: RunningQueueMapping,
    drain: FunctionHost,
    /// If dispatch is on.
    dispatch: Option<(RunningQueueMapping, FunctionHost)>,
    dispatch_queue: EmbeddedQueue,
    guard: Guard,
    health: watch::Receiver<Report>,
    activity: Option<Activity>,
    /// What ends with the pipeline.
    background: JoinSet<()>,
    stream_drain: Duration,
    /// Of ingest, if spans go anywhere.
    traces: Option<Traces>,
    _lock: DataLock,
}

#[derive(Clone, Debug)]
pub struct Stopped {
    /// Why nothing could be stored, at the end.
    pub fault: Option<Fault>,
    pub stream: Drained,
    /// Messages that are still in the spill queue and its dead-letter queue.
    pub spill: Left,
    /// The same for the dispatch queue, also if dispatch is off.
    pub dispatch: Left,
}

impl Pipeline {
    /// Requests are served once this returns.
    pub async fn start(
        options: Options,
        prometheus: Prometheus,
        adapters: &impl Adapters,
    ) -> anyhow::Result<Self> {
        let data = DataFolder::open(&options.data)?;
        let lock = data.lock()?;
        let clock = Clock::system();
        data.claim(&clock, options.accept_clock).await?;
        let credentials = read_secrets(&options.config, &clock).await?;
        let database = data.database()?;
        let stream = EmbeddedStream::open(database.clone(), options.shards, clock.clone()).await?;
        let stream = stream.away_while(data.stream_away_file());
        let objects = data.objects()?;
        let queue = data.queue(LocalQueue::Spill, &clock)?;
        let guard =
            Guard::new(data.parts(), clock.clone(), uptime).context("the data folder cannot be read")?;
        // We have the lock, so the process that received these messages has ended.
        queue.release().await?;

        let (listener, address) = listen(options.listen, &lock).await?;
        // One batch a shard is in flight. A split adds a shard, so there are twice as many.
        let environments = stream.open_shards().await?.len() * 2;
        let timeout = options.config.consumer.timeout();
        let stream_drain = stream_drain(&options.config);
        let quarantined = Arc::<AtomicU64>::default();
        let consumer = spec(&options, Function::Consumer, timeout, environments, &quarantined);
        let consumer = FunctionHost::start(consumer);
        let drain = FunctionHost::start(spec(&options, Function::Drain, drain::TIMEOUT, 1, &quarantined));
        let mapping = EventSourceMapping::new(
            mapping_settings(&options),
            StreamRows(data.database()?),
            EmbeddedCheckpoints(data.database()?),
            guarded(&consumer, &guard),
            objects.clone(),
            &clock,
        );
        let spill = QueueMapping {
            queue: data.queue(LocalQueue::Spill, &clock)?,
            invoker: guarded(&drain, &guard),
            delivery: options.delivery,
            poll: options.poll,
            concurrency: 1,
        };
        let dispatch_queue = data.queue(LocalQueue::Dispatch, &clock)?;
        dispatch_queue.release().await?;
        let dispatch = options
            .config
            .dispatch
            .enabled
            .then(|| dispatch(&options, dispatch_queue.clone(), &guard, &quarantined));
        let mut background = background(&data, &clock, &guard, &prometheus)?;
        let (stopping, mut stopped) = watch::channel(false);
        let spill_database = queue.database.clone();
        let faults = guard.check(move || database.commits() + spill_database.commits());
        let (stream, queue) = (adapters.stream(stream), adapters.spill(queue));
        let ports = IngestPorts { stream, objects, queue, reader: reader(&options.config, &data, adapters)? };
        let connections = options.config.server.clone();
        let judge = Judge::new(Thresholds::new(&options.config, options.minute));
        let config = Arc::new(options.config);
        let page = Page::new(data.objects()?, &config, &guard, &clock);
        let state =
            IngestState::checked(config, credentials, ports, faults, clock.clone(), rising(clock.clone()));
        let (mapping, spill, overview) = (mapping.run(), spill.run(), Overview(data.database()?));
        let (outcomes, traces) = (state.outcomes(), state.traces());
        let activity = Activity::new(overview, outcomes.clone(), mapping.view(), clock.clone()).await?;
        let health = HealthWatch {
            database: data.database()?,
            clock,
            guard: guard.clone(),
            outcomes: state.outcomes(),
            mapping: mapping.view(),
            consumer: consumer.clone(),
            drain: spill.view(),
            dispatch: dispatch.as_ref().map(|(mapping, _)| mapping.view()),
            quarantined,
            judge,
        };
        let (reports, reported) = watch::channel(Report::new(Covers::Pipeline));
        background.spawn(health.run(reports));
        let router = ingest_fn::router_with_health(state, &check(reported.clone(), guard.clone()));
        let router = router.route("/metrics", metrics(prometheus.clone()));
        let live = Live { reports: reported.clone(), outcomes, stopping: stopped.clone() };
        let router = router.merge(page.serve(address, prometheus, live, &mut background));
        let stopped = async move { drop(stopped.wait_for(|is_stopping| *is_stopping).await) };
        let server =
            async move { server::serve(listener, router, &connections, stopped, REQUESTS_END).await };
        Ok(Self {
            address,
            stopping,
            server: tokio::spawn(server),
            mapping,
            consumer,
            spill,
            drain,
            dispatch,
            dispatch_queue,
            guard,
            health: reported,
            activity: Some(activity),
            background,
            stream_drain,
            traces,
            _lock: lock,
        })
    }

    /// Where ingest listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the page is at `/_/`.
    pub fn has_page(&self) -> bool {
        page::is_at(self.address)
    }

    /// How it stands. A new report comes about once a second.
    pub fn health(&self) -> watch::Receiver<Report> {
        self.health.clone()
    }

    /// What it stores and refuses. Only the first call gets it.
    pub fn activity(&mut self) -> Option<Activity> {
        self.activity.take()
    }

    /// Records that were read and are not stored yet.
    pub fn records_in_progress(&self) -> u64 {
        self.mapping.progress().pending
    }

    /// The most that [`Self::drain`] takes, but for the end of the functions.
    pub fn longest_drain(&self) -> Duration {
        let dispatch = if self.dispatch.is_some() { DISPATCH_DRAIN } else { Duration::ZERO };
        REQUESTS_END + SPILL_DRAIN + self.stream_drain + dispatch
    }

    /// Ends the open requests, empties the spill queue, stores the stream's records, then stops the functions.
    pub async fn drain(self) -> Stopped {
        self.stopping.send_replace(true);
        let _ended = self.server.await;
        if let Some(traces) = self.traces {
            traces.send(shared::traces::CALL).await;
        }
        let fault = self.guard.look();
        // While there is a fault, no function runs.
        let limit = |limit| if fault.is_some() { Duration::ZERO } else { limit };
        let spill = self.spill.drain(limit(SPILL_DRAIN)).await;
        let stream = self.mapping.drain(limit(self.stream_drain)).await;
        drop(self.background);
        let grace = Duration::from_secs(2);
        if let Some((mapping, dispatcher)) = self.dispatch {
            mapping.drain(limit(DISPATCH_DRAIN)).await;
            dispatcher.shutdown(grace).await;
        }
        tokio::join!(self.drain.shutdown(grace), self.consumer.shutdown(grace));
        let dispatch = self.dispatch_queue.left().await.unwrap_or_default();
        Stopped { fault, stream, spill, dispatch }
    }
}

/// Listens, and notes the address for commands.
async fn listen(wanted: SocketAddr, lock: &DataLock) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = server::listen(wanted)
        .await
        .with_context(|| format!("cannot listen on {wanted}: choose another address with --listen"))?;
    let address = listener.local_addr()?;
    lock.note(&format!("http://{address}")).context("the address cannot be noted in the data folder")?;
    Ok((listener, address))
}

/// The dispatcher and the mapping that feeds it.
fn dispatch(
    options: &Options,
    queue: EmbeddedQueue,
    guard: &Guard,
    quarantined: &Arc<AtomicU64>,
) -> (RunningQueueMapping, FunctionHost) {
    let concurrency = dispatch_fn::CONCURRENCY;
    let dispatcher =
        spec(options, Function::Dispatch, dispatch_fn::TIMEOUT, concurrency as usize, quarantined);
    let dispatcher = FunctionHost::start(dispatcher);
    let mapping = QueueMapping {
        queue,
        invoker: guarded(&dispatcher, guard),
        delivery: Delivery {
            visibility: options.dispatch_visibility,
            receives: dispatch_fn::RECEIVES,
            messages: dispatch_fn::batch_messages(options.config.dispatch.rate_per_second) as usize,
        },
        poll: options.poll,
        concurrency,
    };
    (mapping.run(), dispatcher)
}

/// How long the last batches may take at the end.
fn stream_drain(config: &Config) -> Duration {
    // A batch may be in progress, and another waits for it.
    let worked = config.simulated_work().map_or(Duration::ZERO, |_| 2 * config.consumer.timeout());
    STREAM_DRAIN + worked
}

/// What runs besides the data's way, but for health.
fn background(
    data: &DataFolder,
    clock: &Clock,
    guard: &Guard,
    prometheus: &Prometheus,
) -> anyhow::Result<JoinSet<()>> {
    let expiry = Expiry { database: data.database()?, clock: clock.clone(), guard: guard.clone() };
    let mut background = JoinSet::new();
    background.spawn(expire(expiry));
    background.spawn(note_runs(data.database()?, clock.clone(), guard.clone()));
    background.spawn(guard.clone().watch());
    background.spawn(WriteAheadLog { database: data.database()?, guard: guard.clone() }.run());
    background.spawn(prometheus.clone().keep_up());
    Ok(background)
}

fn metrics(prometheus: Prometheus) -> MethodRouter {
    get(move || {
        let text = prometheus.render();
        async move { ([("content-type", "text/plain; version=0.0.4")], text) }
    })
}

fn guarded(function: &FunctionHost, guard: &Guard) -> Guarded<FunctionHost> {
    Guarded { invoker: function.clone(), guard: guard.clone() }
}

fn spec(
    options: &Options,
    function: Function,
    timeout: Duration,
    environments: usize,
    quarantined: &Arc<AtomicU64>,
) -> FunctionSpec {
    let quarantined = Arc::clone(quarantined);
    let added = move |metric, amount: usize| {
        if metric == Metric::EventsQuarantined {
            quarantined.fetch_add(amount as u64, Ordering::Relaxed);
        }
    };
    let mut arguments: Vec<OsString> = vec!["function".into(), function.name().into()];
    arguments.extend(["--data".into(), options.data.clone().into()]);
    arguments.extend(options.config_source.options());
    arguments.extend(options.logs.options());
    FunctionSpec {
        name: function.name().to_owned(),
        program: options.program.clone(),
        arguments,
        environment: Vec::new(),
        timeout,
        memory_mb: 1_024,
        maximum_environments: environments,
        // Metric documents become metrics. Everything else is the function's log and is printed with ours.
        log_sink: LogSink::new(move |line| {
            if !cloudwatch::take(&line.text, &added) {
                // Nothing reads stderr any more. The run goes on.
                let _closed = writeln!(std::io::stderr(), "{}", line.text);
            }
        }),
    }
}

fn mapping_settings(options: &Options) -> Settings {
    Settings {
        // Always the same, so that failed batches of all runs have one prefix.
        mapping_id: Uuid::from_u128(0x7469_6465_6761_7465_0000_0000_0000_0001),
        function_arn: "arn:aws:lambda:local:000000000000:function:consumer-fn".to_owned(),
        stream_arn: "arn:aws:kinesis:local:000000000000:stream/tidegate".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/consumer-fn".to_owned(),
        // A laptop may sleep for a weekend, so records have no maximum age.
        rules: Rules { maximum_record_age: None, ..options.rules.clone() },
        poll_interval: options.poll,
        discovery_interval: Duration::from_secs(5),
        ids: Ids::system(),
    }
}

async fn expire(expiry: Expiry) {
    loop {
        if let Err(error) = expiry.run().await {
            tracing::warn!(%error, "expired records and items could not be deleted; next try in an hour");
        }
        tokio::time::sleep(EXPIRY).await;
    }
}

/// Fails only where events cannot be stored either, and that is reported there.
async fn note_runs(database: Database, clock: Clock, guard: Guard) {
    loop {
        tokio::time::sleep(NOTES).await;
        guard.healthy().await;
        let _failed = note_run(&database, clock.now()).await;
    }
}
