//! One execution environment: a child process and the listener of its Runtime API.

use std::sync::Arc;

use bytes::Bytes;
use shared::id::Ids;
use shared::time::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::exchange::{Exchange, Offer};
use super::process::Process;
use super::server;
use super::specification::{FunctionSpec, INITIALIZATION_LIMIT};
use super::variables::variables;
use crate::event_source_mapping::ports::InvokeFailure;

/// An environment that has asked for its first invocation. Dropping it kills its process.
pub(super) struct ExecutionEnvironment {
    process: Arc<Process>,
    exchange: Arc<Exchange>,
    server: JoinHandle<()>,
}

impl ExecutionEnvironment {
    /// Starts a process and waits until it is idle. `register` gets the process before that.
    pub(super) async fn start(
        spec: &FunctionSpec,
        register: impl FnOnce(&Arc<Process>),
    ) -> Result<Self, InvokeFailure> {
        let failed = |message: String| InvokeFailure::function("Runtime.InitError", message);
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let (listener, address) = listener
            .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
            .map_err(|error| failed(format!("cannot listen on 127.0.0.1: {error}")))?;
        // Any process on this machine can connect. Only the child knows the path: others cannot read its environment.
        let secret = Ids::system().next().simple().to_string();
        let runtime_api = format!("http://{address}/{secret}");
        let variables = variables(spec, &runtime_api, Clock::system().now(), Ids::system().next());
        let process = Process::spawn(&spec.program, &spec.arguments, variables, &spec.log_sink)
            .map_err(|error| failed(format!("cannot run `{}`: {error}", spec.program.display())))?;
        let process = Arc::new(process);
        register(&process);
        let exchange = Arc::new(Exchange::new());
        let router = server::router(Arc::clone(&exchange), spec, &secret);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the Runtime API of an environment stopped unexpectedly");
            }
        });
        let environment = Self { process, exchange, server };
        environment.until_idle().await.map_err(failed)?;
        tracing::debug!(function.name = spec.name, pid = environment.process.pid, "started an environment");
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

    /// Waits until it can take another invocation. False if it has ended or hangs since its last invocation: the next
    /// then gets another environment.
    pub(super) async fn is_ready(&self) -> bool {
        self.until_idle().await.is_ok() && self.is_alive()
    }

    /// Whether it can be reused.
    pub(super) fn is_alive(&self) -> bool {
        !self.process.has_exited()
    }

    /// Runs the function once. The environment must be ready.
    pub(super) async fn invoke(&self, payload: Bytes, spec: &FunctionSpec) -> Result<Bytes, InvokeFailure> {
        // The child compares the deadline with the machine's clock, so it must come from that clock.
        let now = Clock::system().now();
        let deadline = now.plus(spec.timeout);
        let offer = Offer { request_id: Ids::system().next().to_string(), payload, deadline };
        let outcome = self.exchange.invoke(offer).await;
        tokio::select! {
            biased;
            Ok(outcome) = outcome => outcome,
            status = self.process.exited() => {
                let message = format!("Runtime exited with error: {status}");
                Err(InvokeFailure::function("Runtime.ExitError", message))
            }
            () = tokio::time::sleep(spec.timeout) => {
                self.process.kill().await;
                let message = format!("Task timed out after {:.2} seconds", spec.timeout.as_secs_f64());
                Err(InvokeFailure::function("Sandbox.Timedout", message))
            }
        }
    }
}

impl Drop for ExecutionEnvironment {
    fn drop(&mut self) {
        self.process.start_kill();
        self.server.abort();
    }
}
