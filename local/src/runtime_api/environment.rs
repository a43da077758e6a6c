//! One execution environment: a child process and the listener through which it gets its work.

use std::sync::Arc;

use bytes::Bytes;
use shared::time::{Clock, Timestamp};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::error::InvokeError;
use super::exchange::{Exchange, Offer};
use super::process::Process;
use super::server;
use super::specification::{FunctionSpec, INITIALIZATION_LIMIT};
use super::variables::variables;

/// An environment that has asked for an invocation at least once. Dropping it kills its process.
#[derive(Debug)]
pub(super) struct Environment {
    process: Arc<Process>,
    exchange: Arc<Exchange>,
    server: JoinHandle<()>,
}

impl Environment {
    /// Starts a process; `register` sees it before anything is awaited of it.
    pub(super) async fn start(
        spec: &FunctionSpec,
        register: impl FnOnce(&Arc<Process>),
    ) -> Result<Self, InvokeError> {
        let failed = |message| InvokeError::Initialization { message };
        // A listener of its own, since the variable that names it takes a host and a port but no path.
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|error| failed(format!("cannot listen on 127.0.0.1: {error}")))?;
        let address =
            listener.local_addr().map_err(|error| failed(format!("the listener has no address: {error}")))?;
        let exchange = Arc::new(Exchange::new());
        let router = server::router(Arc::clone(&exchange), spec);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the Runtime API of an environment has ended");
            }
        });
        let now = Clock::system().now();
        let variables = variables(spec, address, now, random_id(now));
        let process = match Process::spawn(&spec.program, &spec.arguments, variables, &spec.log_sink) {
            Ok(process) => Arc::new(process),
            Err(error) => {
                server.abort();
                return Err(failed(format!("cannot run `{}`: {error}", spec.program.display())));
            }
        };
        register(&process);
        let environment = Self { process, exchange, server };
        environment.until_idle().await.map_err(failed)?;
        tracing::debug!(function.name = spec.name, pid = environment.process.pid(), "started an environment");
        Ok(environment)
    }

    async fn until_idle(&self) -> Result<(), String> {
        tokio::select! {
            biased;
            ready = self.exchange.until_idle() => ready,
            status = self.process.exited() => Err(format!("Runtime exited before its first invocation: {status}")),
            () = tokio::time::sleep(INITIALIZATION_LIMIT) => {
                let limit = INITIALIZATION_LIMIT.as_secs();
                Err(format!("the function did not ask for an invocation within {limit} seconds"))
            }
        }
    }

    /// Waits until it can take another invocation; false if it has ended or hangs since its last, which is no failure
    /// of the next.
    pub(super) async fn is_ready(&self) -> bool {
        self.until_idle().await.is_ok() && self.is_alive()
    }

    /// Whether it can be kept for another invocation.
    pub(super) fn is_alive(&self) -> bool {
        !self.process.has_exited()
    }

    /// Runs the function once. The environment must be ready.
    pub(super) async fn invoke(&self, payload: Bytes, spec: &FunctionSpec) -> Result<Bytes, InvokeError> {
        // The child compares the deadline with the machine's clock, so that is the one to take.
        let now = Clock::system().now();
        let deadline = now.plus(spec.timeout);
        let offer = Offer { request_id: random_id(now).to_string(), payload, deadline };
        let outcome = self.exchange.invoke(offer).await;
        tokio::select! {
            biased;
            Ok(outcome) = outcome => outcome,
            status = self.process.exited() => Err(InvokeError::Exited { status }),
            () = tokio::time::sleep(spec.timeout) => {
                self.process.kill().await;
                Err(InvokeError::TimedOut { limit: spec.timeout })
            }
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.process.start_kill();
        self.server.abort();
    }
}

fn random_id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.unix_ms() / 1_000).unwrap_or_default();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
}
