//! The answer to the event source mapping.

use aws_lambda_events::event::streams::KinesisEventResponse;

use crate::batch::Records;

/// Answers that the first `finished` records are done. The mapping sends the others again: the lowest returned number is its
/// checkpoint. An empty list is success. A null or empty identifier would fail the whole batch; no record has one.
pub(crate) fn respond(records: &Records, finished: usize) -> KinesisEventResponse {
    let mut response = KinesisEventResponse::default();
    if let Some(unfinished) = records.all().get(finished) {
        response.add_failure(&*unfinished.sequence_number);
    }
    response
}
