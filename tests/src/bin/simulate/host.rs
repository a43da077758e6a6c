//! The host: ingest, the event source mapping and the queue's mapping. It dies as a whole, and starts again with another
//! configuration. A rollover replaces the configuration while it runs.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected};
use ingest_fn::credentials::Credentials;
use ingest_fn::reads::port::NoReader;
use ingest_fn::{IngestPorts, IngestState};
use local::event_source_mapping::{EventSourceMapping, Running, Settings};
use shared::config::Config;
use shared::mapping::Rules;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use crate::configured::Deployed;
use crate::credentials;
use crate::dispatch::dispatch_queue;
use crate::mapping::{SimLambda, SimReader, drain_queue};
use crate::scenario::{Configures, pick, within};
use crate::stores::{SimObjects, SimSpill, SimStream};
use crate::world::{Caller, Process, World};

/// The machine on which a host runs, or none.
pub(crate) struct Site {
    world: World,
    deployed: Deployed,
    host: RefCell<Option<Host>>,
}

struct Host {
    process: Process,
    router: Router,
    /// Of the configuration before.
    old_router: Router,
    /// Of its mapping.
    window: Duration,
    _mapping: Running,
    queues: [Option<JoinHandle<()>>; 2],
}

impl Drop for Host {
    fn drop(&mut self) {
        self.process.kill();
        self.queues.iter().flatten().for_each(JoinHandle::abort);
    }
}

impl Site {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), deployed: Deployed::new(world), host: RefCell::new(None) }
    }

    /// The first start.
    pub(crate) async fn start(&self) {
        self.start_with(self.deployed.now()).await;
    }

    async fn start_again(&self) {
        self.start_with(self.deployed.replace()).await;
    }

    /// It starts as soon as it can read the credentials.
    async fn start_with(&self, config: Arc<Config>) {
        let world = &self.world;
        world.note(format_args!("a host starts with {:?} {:?}", config.publish.record_bytes, config.archive));
        let process = Process::new(world, Caller::Ingest);
        let credentials = loop {
            if let Some(credentials) = credentials::of(&process, &config).await {
                break credentials;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        world.count("hosts started");
        *self.host.borrow_mut() = Some(Host::new(process, &self.deployed, config, credentials));
    }

    /// Deploys another configuration, if there is a host and the new function can read the credentials.
    async fn roll_over(&self) {
        let Some(process) = self.host.borrow().as_ref().map(|host| host.process.clone()) else { return };
        let Some(credentials) = credentials::of(&process, &self.deployed.now()).await else { return };
        let mut host = self.host.borrow_mut();
        let Some(host) = host.as_mut().filter(|_| !process.is_dead()) else { return };
        let config = self.deployed.roll_over();
        self.world.note(format_args!("a rollover to {:?} {:?}", config.publish.record_bytes, config.archive));
        let router = ingest(&process, config, credentials);
        host.old_router = std::mem::replace(&mut host.router, router);
    }

    pub(crate) fn kill(&self) {
        self.world.note("the host is killed");
        self.world.count("hosts killed");
        *self.host.borrow_mut() = None;
        // Batches that were done may be delivered again.
        self.world.random_state(|state| {
            for saved in state.data.checkpoints.values_mut() {
                if state.random.u64(..8) == 0 && saved.len() > 1 {
                    let kept = state.random.usize(1..saved.len());
                    saved.truncate(kept);
                    *state.coverage.entry("checkpoints set back").or_default() += 1;
                }
            }
        });
    }

    /// How long the mapping gathers a batch.
    pub(crate) fn window(&self) -> Duration {
        self.host.borrow().as_ref().map_or(Duration::ZERO, |host| host.window)
    }

    /// The configuration that the operator uses.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.deployed.of_a_call("commands with the old configuration").0
    }

    /// Sends a request. `None` if the host is down, or dies before it answers; `was_sent` tells which.
    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let (router, config, process) = {
            let host = self.host.borrow();
            let Some(host) = host.as_ref() else { return Answer::NotSent };
            let (config, is_old) = self.deployed.of_a_call("requests to the old ingest");
            let router = if is_old { &host.old_router } else { &host.router };
            (router.clone(), config, host.process.clone())
        };
        let answered = async {
            let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let status = response.status();
            let body = response.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            Answer::Answered(status, body, config)
        };
        tokio::select! {
            biased;
            () = process.died() => Answer::Unanswered,
            answer = answered => answer,
        }
    }
}

pub(crate) enum Answer {
    NotSent,
    Unanswered,
    /// With the configuration of the ingest that answered.
    Answered(StatusCode, Bytes, Arc<Config>),
}

impl Host {
    fn new(process: Process, deployed: &Deployed, config: Arc<Config>, credentials: Credentials) -> Self {
        let world = &process.world().clone();
        let mapping = process.part(Caller::Mapping);
        let rules = rules(world, &config);
        let window = rules.batching_window;
        let settings = Settings {
            mapping_id: Uuid::from_u128(1),
            function_arn: "arn:aws:lambda:local:000000000000:function:consumer-fn".to_owned(),
            stream_arn: "arn:aws:kinesis:local:000000000000:stream/tidegate".to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/consumer-fn".to_owned(),
            rules,
            poll_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(5),
            ids: world.ids(),
        };
        let drain = tokio::spawn(drain_queue(mapping.clone(), deployed.clone()));
        let dispatch = || tokio::spawn(dispatch_queue(mapping.clone(), deployed.clone()));
        let queues = [Some(drain), config.dispatch.enabled.then(dispatch)];
        let lambda = SimLambda { host: mapping.clone(), deployed: deployed.clone() };
        let reader = || SimReader(mapping.clone());
        let destination = SimObjects(mapping.clone());
        let mapping =
            EventSourceMapping::new(settings, reader(), reader(), lambda, destination, &world.clock()).run();
        let router = ingest(&process, config, credentials);
        Self { process, old_router: router.clone(), router, window, _mapping: mapping, queues }
    }
}

fn ingest(process: &Process, config: Arc<Config>, credentials: Credentials) -> Router {
    let world = process.world();
    let ports = IngestPorts {
        stream: SimStream(process.clone()),
        objects: SimObjects(process.clone()),
        queue: SimSpill(process.clone()),
        reader: None::<NoReader>,
    };
    let state = IngestState::new(config, credentials, ports, world.clock(), world.ids());
    ingest_fn::router(state)
}

/// The mapping is deployed with the host: its window is the configuration's, and its batch size may change, too.
fn rules(world: &World, config: &Config) -> Rules {
    let rules = world.scenario().rules.clone();
    if world.scenario().configures == Configures::Never {
        return rules;
    }
    let batch_size = world.random(|random| *pick(random, &[2, 10, 10_000]));
    Rules { batch_size, batching_window: config.archive.window(), ..rules }
}

/// Deploys another configuration when the scenario says so.
pub(crate) async fn rollovers(site: &Site, world: &World) {
    for at in &world.scenario().rollovers {
        tokio::time::sleep(at.saturating_sub(world.elapsed())).await;
        site.roll_over().await;
    }
}

/// Kills the host when the scenario says so, and starts it again.
pub(crate) async fn restarts(site: &Site, world: &World) {
    let mut up_at = Duration::ZERO;
    for at in world.scenario().host_kills.clone() {
        tokio::time::sleep(at.max(up_at).saturating_sub(world.elapsed())).await;
        site.kill();
        let down = world.random(|random| within(random, Duration::from_secs(20)));
        tokio::time::sleep(down).await;
        site.start_again().await;
        up_at = world.elapsed();
    }
}
