//! The loop around the Lambda runtime: batches of messages in, ids of the messages that stay out.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use shared::objects::ObjectStore;
use shared::queue::QueueBatch;
use shared::telemetry::EmbeddedMetrics;
use shared::time::Clock;

use crate::batch::QueuedMessage;
use crate::handler::Dispatcher;
use crate::{DispatchItems, Inbox, SlotCounter, TIMEOUT, Target};

/// Serves invocations until the runtime ends the process. If an invocation dies with it, its messages are received again.
pub async fn serve<I, Q, S, T, O>(
    dispatcher: Dispatcher<I, Q, S, T, O>,
    metrics: EmbeddedMetrics,
) -> Result<(), Error>
where
    I: DispatchItems,
    Q: Inbox,
    S: SlotCounter,
    T: Target,
    O: ObjectStore,
{
    let dispatcher = Arc::new(dispatcher);
    let handler = service_fn(move |event: LambdaEvent<QueueBatch<QueuedMessage>>| {
        let dispatcher = Arc::clone(&dispatcher);
        async move {
            let remaining = Clock::system().remaining(event.context.deadline).unwrap_or(TIMEOUT);
            // Boxed: the runtime wraps this future so often that its type exceeds the compiler's depth limit.
            let response = Box::pin(dispatcher.handle(event.payload, remaining)).await;
            metrics.flush();
            Ok::<_, Infallible>(response)
        }
    });
    lambda_runtime::run(handler).await
}
