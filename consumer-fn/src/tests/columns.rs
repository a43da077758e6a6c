//! The members of the lines that the consumer writes, and the columns of SQL that read them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::config::ArchiveContent;
use shared::format::Column;
use shared::format::archive_line::ArchiveLine;
use shared::format::quarantine_line::QuarantineLine;

use super::stores::WrittenLines as _;
use super::{Pipeline, admitted, pack};
use shared::noise::noise;

/// The members of all lines together.
fn members(lines: &[Value]) -> BTreeSet<&str> {
    lines.iter().flat_map(|line| line.as_object().unwrap().keys()).map(String::as_str).collect()
}

fn names(columns: &[Column]) -> BTreeSet<&'static str> {
    columns.iter().map(|(name, ..)| *name).collect()
}

#[tokio::test(start_paused = true)]
async fn lines_of_all_kinds_have_exactly_the_columns() {
    let mut pipeline = Pipeline::new();
    pipeline.config.archive.content = ArchiveContent::Both;
    let event = |id: &str, text: &str, extra: &str| {
        let at = "2024-01-11T01:42:50Z";
        let event = json!({ "tenant_id": "acme", "id": id, "text": text, "event_time": at, "extra": extra });
        event.to_string().into_bytes()
    };
    let traced = |admission, id: &str| {
        let mut event = admitted(admission, "acme", id, "traced");
        event.facts.trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        pack(&[event])
    };
    let records = [
        event("small", "x", "y"),
        // Their text, their fields do not fit a line.
        event("text", &noise(8_000_000, 1), "y"),
        event("fields", "x", &noise(8_000_000, 2)),
        // Quarantined: an id with another content, and bytes that are no event.
        event("small", "another", "y"),
        b"no event".to_vec(),
        traced(1, "traced"),
        traced(2, "small"),
    ];
    assert_eq!(pipeline.invoke(&records).await, records.len());
    assert_eq!(members(&pipeline.objects.archived()), names(ArchiveLine::COLUMNS));
    assert_eq!(members(&pipeline.objects.quarantined()), names(QuarantineLine::COLUMNS));
}
