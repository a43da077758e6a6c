//! Dead letters of dispatch: stored events that the target refused. They go to the dispatch queue again, with all attempts.
//!
//! A letter is deleted after its event is in the queue. If a redrive dies between the two, the event is queued twice: the
//! dispatcher recognises the second message by the event's item.

use shared::format::dispatch_message::DispatchMessage;
use shared::format::event_line::Event;
use shared::time::Timestamp;

use super::candidate::{Candidate, FailureSource, RedriveFate};
use super::{Redrive, is_erased};
use crate::deployment::{Deployment, Messages, QueueName, QueuedMessage};

/// The queue itself moved the message, after too many receives.
const RECEIVED_TOO_OFTEN: &str = "received_too_often";

impl<D: Deployment> Redrive<'_, D> {
    pub(super) async fn dispatch(&mut self) -> anyhow::Result<()> {
        let Messages { seen, hidden } = self.deployment.messages(QueueName::DispatchDead).await?;
        self.report.hidden += hidden;
        for message in seen {
            let source = format!("dead letter of dispatch {}", message.sent);
            let Some((candidate, again)) = self.report.readable(read(&message), &source) else { continue };
            if !self.selection.picks(&candidate) {
                continue;
            }
            if is_erased(&self.erased, &candidate) {
                self.report.count(&candidate, RedriveFate::Erased, &source);
                continue;
            }
            if self.apply {
                self.deployment.dispatch_again(again).await?;
                self.deployment.delete_message(QueueName::DispatchDead, &message).await?;
            }
            self.report.count(&candidate, RedriveFate::ToDispatch, &source);
        }
        Ok(())
    }
}

/// The letter's event, for the report, and the body for the queue.
fn read(message: &QueuedMessage) -> anyhow::Result<(Candidate, String)> {
    let letter = DispatchMessage::read(&message.body)?;
    let facts = letter.line()?.facts.into_owned();
    let (reason, at, again): (String, Timestamp, String) = match &letter.failure {
        Some(failure) => {
            (failure.reason.clone(), failure.failed_at, letter.redriven(failure.attempts).body())
        }
        None => (RECEIVED_TOO_OFTEN.to_owned(), message.sent, message.body.clone()),
    };
    let candidate = Candidate {
        source: FailureSource::Dispatch,
        reason,
        at,
        partition_key: None,
        origin: None,
        event: Ok(Box::new(Event::of_facts(facts))),
    };
    Ok((candidate, again))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"v":1,"id":"1","admission_id":"019aa553-4a00-7000-8000-000000000001","tenant":"acme","tier":"pro","source":"json_upload","received_at":"2026-11-21T09:30:00.123Z","processed_at":"2026-11-21T09:30:01.000Z","text":"hello","shard":"s","sequence_number":"9","position":0}"#;

    #[test]
    fn a_letter_goes_back_without_its_failure_and_a_moved_message_as_it_is() {
        let (message, _) = DispatchMessage::of(LINE.as_bytes()).unwrap();
        let sent = Timestamp::from_unix_ms(7);
        let queued = |body: String| QueuedMessage { id: "m".to_owned(), body, sent };
        let failed_at = Timestamp::from_unix_ms(9);
        let (candidate, again) = read(&queued(message.failed("400: no", 3, failed_at).body())).unwrap();
        assert_eq!((candidate.reason.as_str(), candidate.at), ("400: no", failed_at));
        assert_eq!(candidate.tenant().unwrap().as_str(), "acme");
        let again = DispatchMessage::read(&again).unwrap();
        assert_eq!((again.after_attempts, again.failure), (Some(3), None));

        let (candidate, again) = read(&queued(message.body())).unwrap();
        assert_eq!(
            (candidate.reason.as_str(), candidate.at, again),
            (RECEIVED_TOO_OFTEN, sent, message.body())
        );
        assert!(read(&queued("garbage".to_owned())).is_err());
    }
}
