//! The messages between the host and one environment, without the HTTP.

use std::sync::Mutex;

use bytes::Bytes;
use shared::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use crate::event_source_mapping::ports::InvokeFailure;
use crate::lock;

/// An invocation for the environment.
pub(super) struct Offer {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) deadline: Timestamp,
}

/// The state of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for an invocation yet.
    Initializing,
    /// It reported that it cannot start.
    FailedToInitialize(String),
    /// It is asking for an invocation.
    Idle,
    /// It has one.
    Busy,
}

pub(super) type InvocationResult = Result<Bytes, InvokeFailure>;

/// Connects the host and one environment. There is one invocation at a time.
pub(super) struct Exchange {
    offer: mpsc::Sender<Offer>,
    offered: tokio::sync::Mutex<mpsc::Receiver<Offer>>,
    phase: watch::Sender<Phase>,
    /// The request in flight, and where its result goes.
    awaited: Mutex<Option<(String, oneshot::Sender<InvocationResult>)>>,
}

impl Exchange {
    pub(super) fn new() -> Self {
        let (offer, offered) = mpsc::channel(1);
        let (phase, _) = watch::channel(Phase::Initializing);
        Self { offer, offered: offered.into(), phase, awaited: Mutex::new(None) }
    }

    /// Called by the host: hands an invocation over. The environment must be idle.
    pub(super) async fn invoke(&self, offer: Offer) -> oneshot::Receiver<InvocationResult> {
        let (answer, answered) = oneshot::channel();
        *lock(&self.awaited) = Some((offer.request_id.clone(), answer));
        // Cannot fail: the receiver is a field of ours.
        let _ = self.offer.send(offer).await;
        answered
    }

    /// Called by the host: waits until the environment is idle. Fails if it cannot start.
    pub(super) async fn until_idle(&self) -> Result<(), String> {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(|phase| !matches!(phase, Phase::Initializing | Phase::Busy)).await;
        match reached.as_deref() {
            Ok(Phase::FailedToInitialize(message)) => Err(message.clone()),
            _ => Ok(()),
        }
    }

    /// Called by the environment: waits for the next invocation. It may ask again after a broken connection.
    pub(super) async fn next(&self) -> Offer {
        let mut offered = self.offered.lock().await;
        self.phase.send_replace(Phase::Idle);
        let offer = offered.recv().await;
        self.phase.send_replace(Phase::Busy);
        offer.expect("the sender is a field of ours")
    }

    /// Called by the environment: reports the result. False if this request is not in flight.
    pub(super) fn finish(&self, request_id: &str, result: InvocationResult) -> bool {
        let awaited = lock(&self.awaited).take_if(|(awaited, _)| awaited == request_id);
        awaited.is_some_and(|(_, answer)| answer.send(result).is_ok())
    }

    /// Called by the environment: it cannot start.
    pub(super) fn fail_to_initialize(&self, message: String) {
        self.phase.send_replace(Phase::FailedToInitialize(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(request_id: &str) -> Offer {
        Offer {
            request_id: request_id.to_owned(),
            payload: Bytes::from_static(b"{}"),
            deadline: Timestamp::from_unix_ms(0),
        }
    }

    #[tokio::test]
    async fn a_result_is_delivered_once_and_for_its_own_request_only() {
        let exchange = Exchange::new();
        let answered = exchange.invoke(offer("one")).await;
        assert_eq!(exchange.next().await.request_id, "one");
        assert!(!exchange.finish("other", Ok(Bytes::new())));
        assert!(exchange.finish("one", Ok(Bytes::from_static(b"done"))));
        assert!(!exchange.finish("one", Ok(Bytes::new())));
        assert_eq!(answered.await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn an_environment_is_idle_only_while_it_asks_for_an_invocation() {
        let exchange = Exchange::new();
        let mut asking = Box::pin(exchange.next());
        assert!(futures::poll!(&mut asking).is_pending());
        exchange.until_idle().await.unwrap();
        drop(asking);
        let _answered = exchange.invoke(offer("one")).await;
        exchange.next().await;
        assert!(futures::poll!(Box::pin(exchange.until_idle())).is_pending());
    }
}
