//! Chooses the environment for an invocation, and starts environments up to the maximum.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::activity::Activity;
use super::environment::ExecutionEnvironment;
use super::process::Process;
use super::specification::{FunctionSpec, PAYLOAD_LIMIT};
use crate::event_source_mapping::ports::{InvokeFailure, Invoker};
use crate::lock;

/// Runs a function in child processes. Clones share the processes. Dropping the last clone kills them.
#[derive(Clone)]
pub struct FunctionHost(Arc<Host>);

struct Host {
    spec: FunctionSpec,
    /// One permit for each environment that may run an invocation.
    slots: Semaphore,
    /// Environments without an invocation. The one used last is at the end and is reused first, as in Lambda.
    idle: Mutex<Vec<ExecutionEnvironment>>,
    /// All processes that may be alive.
    processes: Mutex<Vec<Weak<Process>>>,
    activity: Activity,
}

impl FunctionHost {
    /// Environments start when an invocation needs them.
    pub fn start(spec: FunctionSpec) -> Self {
        Self(Arc::new(Host {
            slots: Semaphore::new(spec.maximum_environments),
            spec,
            idle: Mutex::default(),
            processes: Mutex::default(),
            activity: Activity::default(),
        }))
    }

    /// The process ids of the environments that are alive. Tests kill them.
    pub fn environments(&self) -> Vec<u32> {
        self.0.processes().iter().map(|process| process.pid).collect()
    }

    /// How long the longest of the invocations in flight has run.
    pub fn longest_invocation(&self) -> Option<Duration> {
        self.0.activity.longest()
    }

    /// How many environments did not start, crashed or ran out of time.
    pub fn environments_lost(&self) -> u64 {
        self.0.activity.lost()
    }

    /// Takes no more invocations, waits for those in flight, asks the environments to end, and kills what is left after
    /// `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        let host = &*self.0;
        let deadline = Instant::now() + grace;
        let all_slots = u32::try_from(host.spec.maximum_environments).unwrap_or(u32::MAX);
        // With all permits, nothing is in flight. Closing fails the calls that wait for a permit.
        let none_in_flight = tokio::time::timeout_at(deadline, host.slots.acquire_many(all_slots)).await;
        host.slots.close();
        drop(none_in_flight);
        let processes = host.processes();
        for process in &processes {
            process.close();
        }
        for process in &processes {
            if tokio::time::timeout_at(deadline, process.exited()).await.is_err() {
                process.kill().await;
            }
        }
        lock(&host.idle).clear();
    }
}

impl Invoker for FunctionHost {
    /// Dropping the future kills the environment that runs it. In Lambda, every failure in the function's environment is
    /// a function error and uses a retry, also a failed start or a response that is too large.
    async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeFailure> {
        let host = &*self.0;
        if payload.len() > PAYLOAD_LIMIT {
            let bytes = payload.len();
            let message =
                format!("request payload of {bytes} bytes is over the limit of {PAYLOAD_LIMIT} bytes");
            return Err(InvokeFailure::function("RequestEntityTooLarge", message));
        }
        let _slot = host.slots.acquire().await.map_err(|_closed| host.shutting_down())?;
        let _in_flight = host.activity.begin();
        let environment = host.environment().await.inspect_err(|_not_started| host.activity.lose())?;
        let outcome = environment.invoke(payload, &host.spec).await;
        if environment.is_alive() {
            lock(&host.idle).push(environment);
        } else {
            host.activity.lose();
        }
        outcome
    }
}

impl Host {
    /// An environment that is ready: an idle one, else a new one.
    async fn environment(&self) -> Result<ExecutionEnvironment, InvokeFailure> {
        let idle = || lock(&self.idle).pop();
        while let Some(environment) = idle() {
            if environment.is_ready().await {
                return Ok(environment);
            }
            self.activity.lose();
        }
        let started = ExecutionEnvironment::start(&self.spec, |process| self.register(process)).await;
        started.map_err(|error| if self.slots.is_closed() { self.shutting_down() } else { error })
    }

    /// A shutdown closes the slots before it reads the list. So either it sees this process, or we see the closed
    /// slots.
    fn register(&self, process: &Arc<Process>) {
        let mut processes = lock(&self.processes);
        processes.retain(|process| process.upgrade().is_some_and(|process| !process.has_exited()));
        processes.push(Arc::downgrade(process));
        if self.slots.is_closed() {
            process.start_kill();
        }
    }

    fn shutting_down(&self) -> InvokeFailure {
        InvokeFailure::NotRun(format!("function `{}` is shutting down", self.spec.name))
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        let processes = lock(&self.processes);
        processes.iter().filter_map(Weak::upgrade).filter(|process| !process.has_exited()).collect()
    }
}
