//! The loop around the Lambda runtime: batches of messages in, ids of failed messages out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Error, service_fn};
use shared::queue::QueueBatch;
use shared::telemetry::EmbeddedMetrics;

use super::{Drain, QueueMessage};
use crate::publish::EventStream;

/// Between two metric documents of one invocation. A document holds 100 latencies, and a stream that refuses records gets
/// many calls.
const FLUSH: Duration = Duration::from_secs(1);

/// Serves invocations until the runtime ends the process. If an invocation dies with it, its messages are still in the
/// queue and are received again.
pub async fn serve<S: EventStream>(drain: Drain<S>, metrics: EmbeddedMetrics) -> Result<(), Error> {
    let drain = Arc::new(drain);
    let handler = service_fn(move |event: LambdaEvent<QueueBatch<QueueMessage>>| {
        let drain = Arc::clone(&drain);
        async move {
            let mut handled = std::pin::pin!(drain.handle(event.payload));
            loop {
                let response = tokio::time::timeout(FLUSH, &mut handled).await;
                metrics.flush();
                if let Ok(response) = response {
                    drain.send_spans().await;
                    return Ok::<_, Infallible>(response);
                }
            }
        }
    });
    lambda_runtime::run(handler).await
}
