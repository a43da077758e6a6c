//! Which environment takes an invocation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::environment::Environment;
use super::error::InvokeError;
use super::process::Process;
use super::specification::{FunctionSpec, PAYLOAD_LIMIT};

/// Runs a function in child processes. Clones share them; with the last clone, they are killed.
#[derive(Clone, Debug)]
pub struct FunctionHost(Arc<Host>);

#[derive(Debug)]
struct Host {
    spec: FunctionSpec,
    /// One permit for each environment that may be at work.
    slots: Semaphore,
    /// Those that are not, the one used last at the end: it is taken first, as Lambda does.
    idle: Mutex<Vec<Environment>>,
    /// All that may be alive.
    processes: Mutex<Vec<Weak<Process>>>,
}

impl FunctionHost {
    /// A host for a function; its environments start when they are needed.
    pub fn start(spec: FunctionSpec) -> Self {
        Self(Arc::new(Host {
            slots: Semaphore::new(spec.maximum_environments),
            spec,
            idle: Mutex::default(),
            processes: Mutex::default(),
        }))
    }

    /// Runs the function on `payload`. Dropping the future kills the environment that is at it.
    pub async fn invoke(&self, payload: Bytes) -> Result<Bytes, InvokeError> {
        let host = &*self.0;
        if payload.len() > PAYLOAD_LIMIT {
            return Err(InvokeError::RequestTooLarge { bytes: payload.len() });
        }
        let _slot = host.slots.acquire().await.map_err(|_closed| host.shutting_down())?;
        let environment = host.environment().await?;
        let outcome = environment.invoke(payload, &host.spec).await;
        if environment.is_alive() {
            lock(&host.idle).push(environment);
        }
        outcome
    }

    /// The process ids of the environments that are alive, so that a test can kill one.
    pub fn environments(&self) -> Vec<u32> {
        self.0.processes().iter().map(|process| process.pid()).collect()
    }

    /// Takes no more invocations, lets those in flight end, asks the environments to go, and kills what is left after
    /// `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        let host = &*self.0;
        let deadline = Instant::now() + grace;
        let all_slots = u32::try_from(host.spec.maximum_environments).unwrap_or(u32::MAX);
        // Having all permits means that nothing is in flight; closing sends those who wait for one away.
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

impl Host {
    /// An environment that is ready: one that is kept, else a new one.
    async fn environment(&self) -> Result<Environment, InvokeError> {
        loop {
            let kept = lock(&self.idle).pop();
            match kept {
                Some(environment) if environment.is_ready().await => return Ok(environment),
                Some(_ended) => {}
                None => break,
            }
        }
        let started = Environment::start(&self.spec, |process| self.register(process)).await;
        started.map_err(|error| if self.slots.is_closed() { self.shutting_down() } else { error })
    }

    /// A shutdown closes the slots before it looks at the list, so either it sees the process or we see the shutdown.
    fn register(&self, process: &Arc<Process>) {
        let mut processes = lock(&self.processes);
        processes.retain(|process| process.upgrade().is_some_and(|process| !process.has_exited()));
        processes.push(Arc::downgrade(process));
        if self.slots.is_closed() {
            process.start_kill();
        }
    }

    fn shutting_down(&self) -> InvokeError {
        InvokeError::ShuttingDown { name: self.spec.name.clone() }
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        let processes = lock(&self.processes);
        processes.iter().filter_map(Weak::upgrade).filter(|process| !process.has_exited()).collect()
    }
}

/// A panic elsewhere leaves a list of environments as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
