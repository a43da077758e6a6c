//! What a host and one environment tell each other, without the HTTP.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use shared::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::InvokeError;

/// An invocation on its way to the environment.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) deadline: Timestamp,
}

/// Where an environment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not asked for an invocation yet.
    Initializing,
    /// It says that it cannot.
    FailedToInitialize(String),
    /// It asks for an invocation.
    Idle,
    /// It has one.
    Busy,
}

/// How an invocation ended, in the environment's words.
pub(super) type Outcome = Result<Bytes, InvokeError>;

/// The meeting point of a host and one environment. There is one invocation at a time.
#[derive(Debug)]
pub(super) struct Exchange {
    offer: mpsc::Sender<Offer>,
    offered: tokio::sync::Mutex<mpsc::Receiver<Offer>>,
    phase: watch::Sender<Phase>,
    /// Who waits for the outcome of which request.
    awaited: Mutex<Option<(String, oneshot::Sender<Outcome>)>>,
}

impl Exchange {
    pub(super) fn new() -> Self {
        let (offer, offered) = mpsc::channel(1);
        let (phase, _) = watch::channel(Phase::Initializing);
        Self { offer, offered: offered.into(), phase, awaited: Mutex::new(None) }
    }

    /// The host's side: hands an invocation over. The environment must be idle.
    pub(super) async fn invoke(&self, offer: Offer) -> oneshot::Receiver<Outcome> {
        let (answer, answered) = oneshot::channel();
        *self.lock_awaited() = Some((offer.request_id.clone(), answer));
        // The receiver is a field of ours, so there is one.
        let _ = self.offer.send(offer).await;
        answered
    }

    /// The host's side: waits until the environment is idle, or says that it will never be.
    pub(super) async fn until_idle(&self) -> Result<(), String> {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(|phase| !matches!(phase, Phase::Initializing | Phase::Busy)).await;
        match reached.as_deref() {
            Ok(Phase::FailedToInitialize(message)) => Err(message.clone()),
            _ => Ok(()),
        }
    }

    /// The environment's side: asks for the next invocation. Asking again, after a broken connection, does no harm.
    pub(super) async fn next(&self) -> Option<Offer> {
        let mut offered = self.offered.lock().await;
        self.phase.send_replace(Phase::Idle);
        let offer = offered.recv().await;
        self.phase.send_replace(Phase::Busy);
        offer
    }

    /// The environment's side: brings the outcome. False if nobody waits for that of this request.
    pub(super) fn settle(&self, request_id: &str, outcome: Outcome) -> bool {
        match self.lock_awaited().take_if(|(awaited, _)| awaited == request_id) {
            Some((_, answer)) => answer.send(outcome).is_ok(),
            None => false,
        }
    }

    /// The environment's side: it cannot start.
    pub(super) fn fail_to_initialize(&self, message: String) {
        self.phase.send_replace(Phase::FailedToInitialize(message));
    }

    fn lock_awaited(&self) -> std::sync::MutexGuard<'_, Option<(String, oneshot::Sender<Outcome>)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
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
    async fn an_outcome_reaches_who_asked_and_only_once() {
        let exchange = Exchange::new();
        let answered = exchange.invoke(offer("one")).await;
        assert_eq!(exchange.next().await.unwrap().request_id, "one");
        assert!(!exchange.settle("other", Ok(Bytes::new())));
        assert!(exchange.settle("one", Ok(Bytes::from_static(b"done"))));
        assert!(!exchange.settle("one", Ok(Bytes::new())));
        assert_eq!(answered.await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn an_environment_is_idle_only_while_it_asks() {
        let exchange = Exchange::new();
        let mut asking = Box::pin(exchange.next());
        assert!(futures::poll!(&mut asking).is_pending());
        exchange.until_idle().await.unwrap();
        drop(asking);
        let _answered = exchange.invoke(offer("one")).await;
        exchange.next().await.unwrap();
        assert!(futures::poll!(Box::pin(exchange.until_idle())).is_pending());
    }
}
