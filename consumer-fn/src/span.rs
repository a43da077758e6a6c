//! The spans of a batch that has traced events: its own, with links to those of its records; one for the items and one for each
//! archive object; and one for each traced event, in the trace of its request. Only where `telemetry.traces_url` is set.

use std::collections::BTreeMap;
use std::ops::Range;

use shared::format::event_line::Event;
use shared::id::{EventId, TenantId};
use shared::traces::{Kind, Span, SpanContext, Traces};

use crate::batch::{BatchPosition, Records};
use crate::commit::Committed;
use crate::insert::InsertOutcome;
use crate::prefix::Prefix;

/// A batch with traced events.
#[derive(Debug)]
pub(crate) struct BatchSpan<'a> {
    traces: &'a Traces,
    context: SpanContext,
    began: u64,
    /// Of each record with a traced event.
    records: Vec<SpanContext>,
    events: Vec<TracedEvent>,
}

#[derive(Debug)]
struct TracedEvent {
    position: BatchPosition,
    request: SpanContext,
    record: SpanContext,
    tenant: TenantId,
    id: EventId,
}

/// An archive object that was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) key: String,
    pub(crate) bytes: usize,
    pub(crate) covers: Range<BatchPosition>,
    pub(crate) time: Range<u64>,
}

impl<'a> BatchSpan<'a> {
    /// `None` where nothing is traced, or no event of the batch.
    pub(crate) fn begin(
        traces: Option<&'a Traces>,
        began: u64,
        decoded: &Prefix<Box<Event>>,
    ) -> Option<Self> {
        let traces = traces?;
        let mut records: Vec<SpanContext> = Vec::new();
        let mut events: Vec<TracedEvent> = Vec::new();
        for entry in &decoded.entries {
            let facts = &entry.value.facts;
            let Some(request) = facts.trace.as_deref().and_then(SpanContext::recorded) else { continue };
            let of_same_record = events.last().filter(|last| last.position.record == entry.position.record);
            let record = of_same_record.map(|last| last.record);
            let record = record.unwrap_or_else(|| {
                let record = SpanContext::of_record(request, facts.admission_id);
                records.push(record);
                record
            });
            let (position, tenant, id) = (entry.position, facts.tenant.clone(), facts.id.clone());
            events.push(TracedEvent { position, request, record, tenant, id });
        }
        let context = SpanContext::new_trace();
        (!events.is_empty()).then_some(Self { traces, context, began, records, events })
    }

    /// The batch is done as far as it is. Its items were inserted in the time `inserted`.
    pub(crate) fn end(self, batch: &Records, committed: &Committed, inserted: Range<u64>) {
        let Self { traces, context, began, records, events } = self;
        let all = batch.all().len();
        let mut span = Span::ended(context, "store batch", Kind::Consumer, began)
            .with("messaging.operation.type", "process")
            .with("messaging.batch.message_count", all)
            .with("tidegate.shard", batch.shard())
            .with("tidegate.records.done", committed.records)
            .linked(records);
        span.has_failed = committed.records < all;
        let ended = span.ended;
        let child = |name, time: Range<u64>| {
            let child = Span::ended(context.sibling(), name, Kind::Internal, time.start);
            Span { parent: Some(context.span), ended: time.end, ..child }
        };
        traces.record(span);
        traces
            .record(child("insert items", inserted).with("tidegate.events", committed.prefix.entries.len()));
        for object in &committed.objects {
            let put = child("put object", object.time.clone());
            traces.record(
                put.with("tidegate.object", object.key.as_str()).with("tidegate.object.bytes", object.bytes),
            );
        }
        let outcomes = outcomes(committed);
        for event in events.into_iter().filter(|event| event.position.record < committed.records) {
            let mut span = Span::ended(event.request.sibling(), "store event", Kind::Consumer, began)
                .with("tidegate.tenant", event.tenant.as_str())
                .with("tidegate.event_id", event.id.as_str())
                .with("tidegate.outcome", outcomes.get(&event.position).copied().unwrap_or("stored"))
                .linked(vec![event.record, context]);
            if let Some(object) =
                committed.objects.iter().find(|object| object.covers.contains(&event.position))
            {
                span = span.with("tidegate.object", object.key.as_str());
            }
            traces.record(Span { parent: Some(event.request.span), ended, ..span });
        }
    }
}

/// What became of the events that are not stored by this batch.
fn outcomes(committed: &Committed) -> BTreeMap<BatchPosition, &'static str> {
    let prefix = &committed.prefix;
    let entries = prefix.entries.iter().filter_map(|entry| match entry.value {
        InsertOutcome::Stored(_) => None,
        InsertOutcome::Redelivered => Some((entry.position, "redelivered")),
        InsertOutcome::Deduplicated => Some((entry.position, "deduplicated")),
    });
    entries.chain(prefix.quarantined.iter().map(|bad| (bad.position, bad.reason))).collect()
}
