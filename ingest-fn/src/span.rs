//! The spans of ingest: one for a request with events, and one for each record that it puts on the stream. Only where
//! `telemetry.traces_url` is set.

use http::StatusCode;
use shared::format::record::{self, Content};
use shared::id::EventId;
use shared::traces::{Begun, Kind, Span, SpanContext, Traces, now};

use crate::admit::{RawRequest, trace};
use crate::cut::RequestEvents;
use crate::publish::StreamRecord;
use crate::rejection::Rejection;
use crate::request_id::RequestId;

/// A request that is traced.
#[derive(Debug)]
pub(crate) struct RequestSpan<'a> {
    traces: &'a Traces,
    begun: Begun,
    began: u64,
}

impl<'a> RequestSpan<'a> {
    /// `None` where nothing is traced, or not this request.
    pub(crate) fn begin(traces: Option<&'a Traces>, raw: &RawRequest<'_>) -> Option<Self> {
        let traces = traces?;
        let begun = traces.begin(trace(raw.headers).as_deref())?;
        Some(Self { traces, begun, began: now() })
    }

    /// The trace header that its events carry.
    pub(crate) fn header(&self) -> String {
        self.begun.header.clone()
    }

    /// The request is answered.
    pub(crate) fn end(
        self,
        raw: &RawRequest<'_>,
        taken: &Result<(RequestEvents<EventId>, usize), Rejection>,
        status: StatusCode,
        request_id: &RequestId,
    ) {
        let mut span = Span::ended(self.begun.context, "accept", Kind::Server, self.began)
            .with("http.request.method", "POST")
            .with("http.response.status_code", usize::from(status.as_u16()))
            .with("tidegate.request_id", &*request_id.0);
        if let Some(tenant) = raw.named_tenant() {
            span = span.with("tidegate.tenant", tenant.as_str());
        }
        match taken {
            Ok((batch, body_bytes)) => {
                let accepted = batch.events.iter().filter(|event| event.is_ok()).count();
                span = span
                    .with("http.request.body.size", *body_bytes)
                    .with("tidegate.events.accepted", accepted)
                    .with("tidegate.events.refused", batch.events.len() - accepted);
            }
            Err(rejection) => span = span.with("error.type", rejection.code()),
        }
        span.parent = self.begun.parent;
        span.has_failed = status.is_server_error();
        self.traces.record(span);
        self.traces.send_soon();
    }
}

/// Records the spans of records that are on the stream, without making their requests wait.
pub(crate) fn put(traces: &Traces, records: Vec<StreamRecord>, began: u64) {
    let (traces, ended) = (traces.clone(), now());
    tokio::task::spawn_blocking(move || {
        for mut span in records.iter().filter_map(|record| of_record(record, began)) {
            span.ended = ended;
            traces.record(span);
        }
        traces.send_soon();
    });
}

/// The span of a record with a traced event. It belongs to the request of the first one, and has links to those of the others.
fn of_record(record: &StreamRecord, began: u64) -> Option<Span> {
    let lines = record::unpack(&record.data, &[]).ok()?.entries;
    let requests: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Ok(Content::Event(event)) => {
                let request = SpanContext::recorded(event.facts.trace.as_deref()?)?;
                Some((request, event.facts.admission_id))
            }
            _ => None,
        })
        .collect();
    let &(first, admission) = requests.first()?;
    let mut others: Vec<_> =
        requests.iter().map(|(request, _)| *request).filter(|other| *other != first).collect();
    others.dedup();
    let span = Span::ended(SpanContext::of_record(first, admission), "put record", Kind::Producer, began)
        .with("messaging.operation.type", "send")
        .with("messaging.batch.message_count", lines.len())
        .with("messaging.message.body.size", record.data.len())
        .with("tidegate.partition_key", record.partition_key.as_str());
    Some(Span { parent: Some(first.span), ..span.linked(others) })
}
