//! Large events, and many: claim checks, where objects end, what they hold.

use serde_json::{Value, json};
use shared::config::ArchiveContent;
use shared::format::claim_check::ClaimCheck;
use shared::limits;
use shared::noise::noise;

use super::stores::WrittenLines;
use super::{Pipeline, admitted, checked_in, pack, record};

/// A foreign producer's event.
pub(super) fn foreign(tenant: &str, id: &str, text: &str) -> Vec<u8> {
    json!({ "tenant_id": tenant, "id": id, "text": text }).to_string().into_bytes()
}

fn object_sizes(pipeline: &Pipeline) -> Vec<usize> {
    pipeline.objects.keys("events/").iter().map(|key| pipeline.objects.bytes(key).len()).collect()
}

/// The line that is stored for a head.
fn whole(pipeline: &Pipeline, head: &Value) -> Value {
    assert_eq!((&head["text"], &head["fields"]), (&Value::Null, &Value::Null));
    let claim_check: ClaimCheck = serde_json::from_value(head["claim_check"].clone()).unwrap();
    assert!(claim_check.key.starts_with("texts/acme/"), "{}", claim_check.key);
    let parts: Vec<_> = claim_check.part_keys().iter().map(|key| pipeline.objects.bytes(key)).collect();
    assert!(parts.iter().all(|part| part.len() <= limits::OBJECT_BYTES));
    serde_json::from_slice(&claim_check.line(&parts).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_claim_check_of_ten_mebibytes_is_transformed_and_stored_whole() {
    let pipeline = Pipeline::new();
    let mut text = noise(limits::BODY_BYTES - 9, 1);
    text.push_str(" 555-0199");
    let event = checked_in(admitted(1, "acme", "big", &text), &pipeline.objects);
    assert_eq!(pipeline.invoke(&[pack(&[event])]).await, 1);

    let head = &pipeline.objects.archived()[0];
    assert_eq!(head["claim_check"]["parts"], 2);
    let line = whole(&pipeline, head);
    assert_eq!((&line["id"], &line["sequence_number"]), (&head["id"], &head["sequence_number"]));
    let transformed = text.replace("555-0199", "[REDACTED]");
    assert!(line["text"] == transformed);
    let item = pipeline.items.get("acme", "big").unwrap();
    let [original, modified] = item.texts();
    assert_eq!((original, modified.len()), (&text[..150_000], 150_000));
    let content = item.content.unwrap();
    let sizes = [&content.original_text, content.text()].map(|text| text.whole_bytes.unwrap());
    assert_eq!(sizes, [10_485_760, 10_485_762], "the replacement is two characters longer");
}

/// Every byte of the text is six in JSON: this is the largest line that there is.
#[tokio::test(start_paused = true)]
async fn the_largest_line_of_the_largest_body_is_read_from_its_claim_check() {
    let pipeline = Pipeline::new();
    let text = "\u{1}".repeat(limits::BODY_BYTES);
    let event = checked_in(admitted(1, "acme", "big", &text), &pipeline.objects);
    assert!(event.claim_check.as_ref().unwrap().line_bytes > 6 * limits::BODY_BYTES as u64);
    assert_eq!(pipeline.invoke(&[pack(&[event])]).await, 1);
    assert_eq!(pipeline.objects.quarantined(), Vec::<Value>::new());
    assert!(pipeline.objects.archived()[0]["text"] == text, "it compresses to one object");
}

#[tokio::test(start_paused = true)]
async fn incompressible_events_of_a_megabyte_fill_objects_and_never_pass_the_limit() {
    let pipeline = Pipeline::new();
    let event = |at| foreign("acme", &format!("e{at}"), &noise(1_000_000, at));
    let records: Vec<_> = (0..14).map(event).collect();
    assert_eq!(pipeline.invoke(&records).await, 14);

    let sizes = object_sizes(&pipeline);
    assert!(sizes.iter().all(|size| *size <= limits::OBJECT_BYTES), "{sizes:?}");
    assert_eq!(sizes.len(), 3, "six events of three quarters of a megabyte fit: {sizes:?}");
    assert_eq!(pipeline.objects.archived().len(), 14);
    let keys = pipeline.objects.keys("events/");
    assert!(keys[0].ends_with("-101-0.ndjson.gz"), "the second begins after six records: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_alone_is_too_large_for_an_object_is_stored_in_parts_and_its_head_is_archived() {
    let pipeline = Pipeline::new();
    let text = noise(8_000_000, 1);
    let fields = json!({ "tenant_id": "acme", "id": "f", "extra": text }).to_string().into_bytes();
    assert_eq!(pipeline.invoke(&[foreign("acme", "t", &text), fields]).await, 2);

    let heads = pipeline.objects.archived();
    assert!(whole(&pipeline, &heads[0])["text"] == text);
    let line = whole(&pipeline, &heads[1]);
    assert!(line["fields"] == json!({ "extra": text }));
    assert_eq!(line["text"], "…", "the object is flattened to 150,000 bytes at most");
    let item = pipeline.items.get("acme", "f").unwrap();
    let fields = item.content.unwrap().fields;
    assert_eq!((fields.held.as_json(), fields.whole_bytes), ("{}", Some(8_000_012)));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_only_the_item_cannot_hold_stays_in_the_line_and_nothing_else_is_written() {
    let mut pipeline = Pipeline::new();
    pipeline.config.archive.content = ArchiveContent::Both;
    let text = format!("{} 555-0199", "é".repeat(100_000));
    pipeline.invoke(&[foreign("acme", "t", &text)]).await;

    let line = &pipeline.objects.archived()[0];
    assert_eq!(line["text"], text.replace("555-0199", "[REDACTED]"));
    assert_eq!(line["original_text"], text);
    let item = pipeline.items.get("acme", "t").unwrap();
    assert_eq!(item.texts()[1], "é".repeat(75_000), "cut between characters");
    assert_eq!(item.content.unwrap().text().whole_bytes, Some(200_011));
    assert_eq!(pipeline.objects.keys("").len(), 1);
}

/// Its body came uncompressed, so no limit on bodies concerns how well we pack it.
#[tokio::test(start_paused = true)]
async fn a_text_that_packs_better_than_a_compressed_body_may_is_stored() {
    let mut pipeline = Pipeline::new();
    pipeline.config.limits.inflate_ratio = 20;
    let packed = pack(&[admitted(1, "acme", "e", &"again and ".repeat(20_000))]);
    assert!(packed.len() * 20 < 200_000, "{} bytes", packed.len());
    assert_eq!(pipeline.invoke(&[packed]).await, 1);
    assert_eq!(pipeline.objects.quarantined(), Vec::<Value>::new());
    assert_eq!(pipeline.objects.archived_keys(), ["acme/e"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_larger_than_an_object_is_divided() {
    let pipeline = Pipeline::new();
    let lines: Vec<_> = (0..8).map(|at| foreign("acme", &format!("e{at}"), &noise(1_000_000, at))).collect();
    let records = [record("acme", &["before"]), lines.join(&b'\n'), record("acme", &["after"])];
    assert_eq!(pipeline.invoke(&records).await, 3);

    let keys = pipeline.objects.keys("events/");
    let ends: Vec<_> = keys.iter().map(|key| key.rsplit_once("000-").unwrap().1).collect();
    assert_eq!(ends, ["95-0.ndjson.gz", "96-0.ndjson.gz", "96-6.ndjson.gz"], "{keys:?}");
    assert_eq!(pipeline.objects.archived().len(), 10);
    // The same again finds each of them.
    assert_eq!(pipeline.invoke(&records).await, 3);
    assert_eq!(pipeline.objects.archived().len(), 10);
}
