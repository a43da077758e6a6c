//! The loop around the Lambda runtime: invocations in, answers out, one after the other.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;
use shared::objects::ObjectStore;
use shared::telemetry::EmbeddedMetrics;
use shared::time::Clock;

use crate::batch::Batch;
use crate::dispatch::DispatchQueue;
use crate::handler::Consumer;
use crate::items::ItemStore;
use crate::ledger::Ledger;

/// Serves invocations until the runtime ends the process, and writes metrics after each. The function holds nothing between
/// two invocations, so nothing is lost when it ends.
pub async fn serve<I: ItemStore, O: ObjectStore, L: Ledger, D: DispatchQueue>(
    consumer: Consumer<I, O, L, D>,
    metrics: EmbeddedMetrics,
) -> Result<(), Error> {
    consumer.log_longest_text();
    let consumer = Arc::new(consumer);
    let handler = service_fn(move |event: LambdaEvent<Payload>| {
        let consumer = Arc::clone(&consumer);
        async move {
            let deadline = consumer.deadline(Clock::system().remaining(event.context.deadline));
            // Boxed: the runtime wraps this future so often that its type exceeds the compiler's depth limit.
            let response = Box::pin(consumer.handle(event.payload.0, deadline)).await;
            consumer.send_spans().await;
            metrics.flush();
            Ok::<_, Infallible>(response)
        }
    });
    lambda_runtime::run(handler).await
}

/// A batch. The runtime's deserialiser notes the path to each value, for its errors, with an allocation for each name. So it is given
/// one value, and that is read without it.
struct Payload(Batch);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = <&RawValue>::deserialize(deserializer)?;
        serde_json::from_str(payload.get()).map(Self).map_err(de::Error::custom)
    }
}
