//! The Lambda side: invocations in, answers out, one after the other.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use shared::telemetry::EmbeddedMetrics;
use shared::time::{Clock, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::batch::Batch;
use crate::deadline::Deadline;
use crate::handler::Consumer;
use crate::items::ItemStore;
use crate::ledger::Ledger;
use shared::objects::ObjectStore;

/// Serves invocations until the process is told to stop (SIGTERM, SIGINT); one that is running is finished and
/// answered first. Metrics, if given, are written once an invocation.
///
/// Lambda itself stops an environment without a signal (it sends one only where an extension is registered). Nothing
/// is lost by that: nothing is held between two invocations.
pub async fn serve<I: ItemStore, O: ObjectStore, L: Ledger>(
    consumer: Consumer<I, O, L>,
    metrics: Option<EmbeddedMetrics>,
) -> Result<(), Error> {
    let consumer = Arc::new(consumer);
    let handler = service_fn(move |event: LambdaEvent<Batch>| {
        let consumer = consumer.clone();
        async move {
            let deadline = deadline(event.context.deadline, &Clock::system());
            let response = consumer.handle(event.payload, deadline).await;
            if let Some(metrics) = metrics {
                metrics.flush();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let busy = Arc::new(Mutex::new(()));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        busy.lock().await
    };
    tokio::select! {
        served = Runtime::new(handler).layer(Busy(busy.clone())).run() => served,
        _guard = stop => Ok(()),
    }
}

/// The time left, by the runtime's header. Some local hosts send a time in the past, or a duration: that says nothing.
fn deadline(unix_ms: u64, clock: &Clock) -> Deadline {
    let end = Timestamp::from_unix_ms(i64::try_from(unix_ms).unwrap_or(i64::MAX));
    let remaining = end.since(clock.now());
    if remaining.is_zero() { Deadline::unknown() } else { Deadline::after(remaining) }
}

/// Holds a lock from an invocation's arrival until its answer was taken.
struct Busy(Arc<Mutex<()>>);

struct BusyService<S> {
    inner: S,
    busy: Arc<Mutex<()>>,
}

impl<S> Layer<S> for Busy {
    type Service = BusyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BusyService { inner, busy: self.0.clone() }
    }
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for BusyService<S>
where
    S::Future: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let answer = self.inner.call(invocation);
        let busy = self.busy.clone();
        Box::pin(async move {
            let _guard = busy.lock().await;
            answer.await
        })
    }
}
