//! The archive line of a prepared event.

use std::borrow::Cow;

use shared::config::ArchiveContent;
use shared::format::archive_line::ArchiveLine;
use shared::format::event_line::Text;

use crate::prepare::Prepared;

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
    let line = ArchiveLine {
        facts: Cow::Borrowed(&item.facts),
        processed_at: item.processed_at,
        origin: Cow::Borrowed(&item.origin),
        text: text.map(Cow::Borrowed),
        text_ref: text_ref.map(Cow::Borrowed),
        fields: Cow::Borrowed(fields),
        fields_ref: fields_ref.map(Cow::Borrowed),
        original_text: original_text.map(Cow::Borrowed),
        original_ref: original_ref.map(Cow::Borrowed),
    };
    let mut bytes = serde_json::to_vec(&line).expect("a line always serialises");
    bytes.push(b'\n');
    bytes
}
