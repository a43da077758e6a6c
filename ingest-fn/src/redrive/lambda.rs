//! The redriver's edge to Lambda: batches of messages in, the failed ones' names out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use lambda_http::lambda_runtime::{self, LambdaEvent};
use lambda_http::{Error, service_fn};
use shared::telemetry::EmbeddedMetrics;

use super::{Batch, Redriver};
use crate::publish::EventStream;

/// Between two metric documents of one invocation: a document holds 100 latencies, and a stream that refuses is asked
/// again and again.
const FLUSH: Duration = Duration::from_secs(1);

/// Serves invocations until the runtime ends the process. An invocation that dies with it is made again: its messages
/// are still in the queue.
pub async fn serve<S: EventStream>(redriver: Redriver<S>, metrics: EmbeddedMetrics) -> Result<(), Error> {
    let redriver = Arc::new(redriver);
    let handler = service_fn(move |event: LambdaEvent<Batch>| {
        let redriver = Arc::clone(&redriver);
        async move {
            let mut handled = std::pin::pin!(redriver.handle(event.payload));
            loop {
                let response = tokio::time::timeout(FLUSH, &mut handled).await;
                metrics.flush();
                if let Ok(response) = response {
                    return Ok::<_, Infallible>(response);
                }
            }
        }
    });
    lambda_runtime::run(handler).await
}
