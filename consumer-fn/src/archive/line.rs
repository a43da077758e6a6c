//! The archive line, version 1: an event as analysts read it, with the origin that it is archived by.

use serde::Serialize;
use shared::blob::BlobRef;
use shared::config::ArchiveContent;
use shared::event::{EventTime, Source, Text};
use shared::fields::Fields;
use shared::id::{AdmissionId, EventId, TenantId};
use shared::tier::Tier;
use shared::time::Timestamp;

use crate::prepare::Prepared;

const VERSION: u32 = 1;

/// Names and order are on disk: add at the end, never rename.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    id: &'a EventId,
    admission_id: AdmissionId,
    tenant: &'a TenantId,
    tier: &'a Tier,
    source: Source,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time: Option<EventTime>,
    processed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_ref: Option<&'a BlobRef>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    fields: &'a Fields,
    shard: &'a str,
    sequence_number: &'a str,
    position: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields_ref: Option<&'a BlobRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_text: Option<&'a str>,
    /// In place of `original_text` where the item does not hold that whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    original_ref: Option<&'a BlobRef>,
}

/// The event's line, with its newline.
pub(crate) fn line(prepared: &Prepared, content: ArchiveContent) -> Vec<u8> {
    let item = &prepared.item;
    let (text, text_ref) = match &prepared.line_text {
        None => (Some(item.modified_data.as_str()), None),
        Some(Text::Inline(whole)) => (Some(whole.as_str()), None),
        Some(Text::Ref(blob)) => (None, Some(blob)),
    };
    let (fields, fields_ref) = match &prepared.line_fields {
        None => (&item.fields, item.fields_ref.as_ref()),
        Some(whole) => (whole, None),
    };
    let (original_text, original_ref) = match (content, &item.original_ref) {
        (ArchiveContent::Transformed, _) => (None, None),
        (ArchiveContent::Both, None) => (Some(item.original_text.as_str()), None),
        (ArchiveContent::Both, Some(blob)) => (None, Some(blob)),
    };
    let line = Line {
        v: VERSION,
        id: &item.id,
        admission_id: item.admission_id,
        tenant: &item.tenant,
        tier: &item.tier,
        source: item.source,
        received_at: item.received_at,
        event_time: item.event_time,
        processed_at: item.processed_at,
        text,
        text_ref,
        fields,
        shard: &item.origin.shard,
        sequence_number: &item.origin.sequence_number,
        position: item.origin.position,
        fields_ref,
        original_text,
        original_ref,
    };
    let mut bytes = serde_json::to_vec(&line).expect("a line always serialises");
    bytes.push(b'\n');
    bytes
}
