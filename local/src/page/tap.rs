//! What ingest answers from now on, one JSON line for each event, until the run stops.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use ingest_fn::watch::Answered;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::Shown;

impl Shown {
    pub(super) fn tap(&self) -> Response {
        let clock = self.page.clock.clone();
        let from = (self.live.outcomes.watch(), self.live.stopping.clone());
        let lines = stream::unfold(from, move |(mut answers, mut stopping)| {
            let clock = clock.clone();
            async move {
                let answered = tokio::select! {
                    answered = answers.recv() => answered,
                    // An open answer would hold up the end of the run.
                    _ = stopping.wait_for(|is_stopping| *is_stopping) => return None,
                };
                let mut line = match answered {
                    Ok(answered) => shown(&answered),
                    Err(RecvError::Lagged(missed)) => json!({ "missed": missed }),
                    Err(RecvError::Closed) => return None,
                };
                line["at"] = json!(clock.now());
                Some((Ok::<_, Infallible>(Bytes::from(format!("{line}\n"))), (answers, stopping)))
            }
        });
        ([("content-type", "application/x-ndjson")], Body::from_stream(lines)).into_response()
    }
}

fn shown(Answered { tenant, id, refused }: &Answered) -> Value {
    let stage = if refused.is_some() { "refused" } else { "accepted" };
    json!({ "stage": stage, "tenant": tenant, "id": id, "code": refused })
}
