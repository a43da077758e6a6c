//! The host: ingest, the event source mapping and the queue's mapping. It dies as a whole, and starts again with another
//! configuration.

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
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use crate::mapping::{SimLambda, SimReader, drain_queue};
use crate::scenario::{config, within};
use crate::stores::{SimObjects, SimSpill, SimStream};
use crate::world::{Caller, Process, World};

/// The machine on which a host runs, or none.
pub(crate) struct Site {
    world: World,
    host: RefCell<Option<Host>>,
}

struct Host {
    process: Process,
    router: Router,
    config: Arc<Config>,
    _mapping: Running,
    queue: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.process.kill();
        self.queue.abort();
    }
}

impl Site {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), host: RefCell::new(None) }
    }

    pub(crate) fn start(&self) {
        let config = self.configured();
        self.world
            .note(format_args!("a host starts with {:?} {:?}", config.publish.record_bytes, config.archive));
        self.world.count("hosts started");
        *self.host.borrow_mut() = Some(Host::new(&self.world, config));
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

    /// The configuration that the operator uses.
    pub(crate) fn config(&self) -> Arc<Config> {
        let host = self.host.borrow();
        host.as_ref().map_or_else(|| self.configured(), |host| Arc::clone(&host.config))
    }

    fn configured(&self) -> Arc<Config> {
        if self.world.scenario().configures {
            return Arc::new(self.world.random(config));
        }
        let mut config = Config::default();
        config.reads.enabled = Some(false);
        Arc::new(config)
    }

    /// Sends a request. `None` if the host is down, or dies before it answers; `was_sent` tells which.
    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let Some((router, process)) =
            self.host.borrow().as_ref().map(|host| (host.router.clone(), host.process.clone()))
        else {
            return Answer::NotSent;
        };
        let answered = async {
            let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let status = response.status();
            let body = response.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            Answer::Answered(status, body)
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
    Answered(StatusCode, Bytes),
}

impl Host {
    fn new(world: &World, config: Arc<Config>) -> Self {
        let process = Process::new(world, Caller::Ingest);
        let ports = IngestPorts {
            stream: SimStream(process.clone()),
            objects: SimObjects(process.clone()),
            queue: SimSpill(process.clone()),
            reader: None::<NoReader>,
        };
        let state =
            IngestState::new(Arc::clone(&config), Credentials::none(), ports, world.clock(), world.ids());
        let mapping = process.part(Caller::Mapping);
        let settings = Settings {
            mapping_id: Uuid::from_u128(1),
            function_arn: "arn:aws:lambda:local:000000000000:function:consumer-fn".to_owned(),
            stream_arn: "arn:aws:kinesis:local:000000000000:stream/tidegate".to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/consumer-fn".to_owned(),
            rules: world.scenario().rules.clone(),
            poll_interval: Duration::from_secs(1),
            discovery_interval: Duration::from_secs(5),
            ids: world.ids(),
        };
        let queue = tokio::spawn(drain_queue(mapping.clone(), Arc::clone(&config)));
        let lambda = SimLambda { host: mapping.clone(), config: Arc::clone(&config) };
        let reader = || SimReader(mapping.clone());
        let destination = SimObjects(mapping.clone());
        let mapping =
            EventSourceMapping::new(settings, reader(), reader(), lambda, destination, &world.clock()).run();
        Self { process, router: ingest_fn::router(state), config, _mapping: mapping, queue }
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
        site.start();
        up_at = world.elapsed();
    }
}
