//! Large events, and many: what goes by reference, where objects end, what they hold.

use bytes::Bytes;
use serde_json::{Value, json};
use shared::config::ArchiveContent;
use shared::format::claim_check::BlobRef;
use shared::format::event_line::Text;
use shared::limits;
use shared::noise::noise;

use super::stores::WrittenLines;
use super::{Pipeline, admitted, pack, record};
use shared::objects::ObjectStore;

/// A foreign producer's event.
pub(super) fn foreign(tenant: &str, id: &str, text: &str) -> Vec<u8> {
    json!({ "tenant_id": tenant, "id": id, "text": text }).to_string().into_bytes()
}

fn object_sizes(pipeline: &Pipeline) -> Vec<usize> {
    pipeline.objects.keys("events/").iter().map(|key| pipeline.objects.bytes(key).len()).collect()
}

async fn whole(pipeline: &Pipeline, blob: &Value) -> Bytes {
    let blob: BlobRef = serde_json::from_value(blob.clone()).unwrap();
    let mut parts = Vec::new();
    for key in blob.part_keys() {
        parts.push(pipeline.objects.get(&key).await.unwrap().unwrap());
    }
    blob.join(parts).unwrap()
}

#[tokio::test(start_paused = true)]
async fn fields_by_reference_must_be_the_tenants_own() {
    let pipeline = Pipeline::new();
    let mut event = admitted(1, "acme", "e", "x");
    event.fields_ref = Some(BlobRef::to(b"{}", |sha256| format!("payloads/beta/e/{sha256}")));
    assert_eq!(pipeline.invoke(&[pack(&[event])]).await, 1);
    assert_eq!(pipeline.objects.quarantined()[0]["reason"], "payload_mismatch");
    assert_eq!(pipeline.objects.archived_keys().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_by_reference_are_transformed_and_stored_whole() {
    let pipeline = Pipeline::new();
    let mut text = noise(limits::BODY_BYTES - 9, 1);
    text.push_str(" 555-0199");
    let mut event = admitted(1, "acme", "big", "");
    let blob = BlobRef::to(text.as_bytes(), |sha256| format!("payloads/acme/big/{sha256}"));
    for (key, part) in blob.split(&Bytes::from(text.clone())) {
        pipeline.objects.add(&key, part);
    }
    event.text = Text::Ref(blob.clone());
    assert_eq!(pipeline.invoke(&[pack(&[event])]).await, 1);

    let line = &pipeline.objects.archived()[0];
    assert_eq!(line["text"], Value::Null);
    assert_eq!(line["text_ref"]["parts"], 3, "what replaced the number is two characters longer");
    let transformed = whole(&pipeline, &line["text_ref"]).await;
    assert_eq!(transformed, text.replace("555-0199", "[REDACTED]").as_bytes());
    let item = pipeline.items.get("acme", "big").unwrap();
    assert_eq!(item.original_ref, Some(blob));
    assert_eq!(item.original_text, text[..item.original_text.len()]);
    assert_eq!(json!(item.modified_ref.unwrap()), line["text_ref"]);
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
    assert!(keys[0].ends_with("-101-0.ndjson.gz"), "the second begins behind six records: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_alone_is_too_large_for_an_object_is_referred_to() {
    let pipeline = Pipeline::new();
    let text = noise(8_000_000, 1);
    let fields = json!({ "tenant_id": "acme", "id": "f", "extra": text }).to_string().into_bytes();
    assert_eq!(pipeline.invoke(&[foreign("acme", "t", &text), fields]).await, 2);

    let lines = pipeline.objects.archived();
    assert_eq!(whole(&pipeline, &lines[0]["text_ref"]).await, text.as_bytes());
    assert_eq!(lines[0]["fields_ref"], Value::Null);
    assert_eq!(whole(&pipeline, &lines[1]["text_ref"]).await, format!("extra={text}").as_bytes());
    assert_eq!(
        whole(&pipeline, &lines[1]["fields_ref"]).await,
        json!({ "extra": text }).to_string().as_bytes()
    );
    assert_eq!(lines[1]["fields"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_only_the_item_cannot_hold_stays_in_the_line() {
    let mut pipeline = Pipeline::new();
    pipeline.config.archive.content = ArchiveContent::Both;
    let text = format!("{} 555-0199", "é".repeat(100_000));
    pipeline.invoke(&[foreign("acme", "t", &text)]).await;

    let line = &pipeline.objects.archived()[0];
    assert_eq!(line["text"], text.replace("555-0199", "[REDACTED]"));
    assert_eq!(whole(&pipeline, &line["original_ref"]).await, text.as_bytes());
    let item = pipeline.items.get("acme", "t").unwrap();
    assert_eq!(item.modified_data, "é".repeat(75_000), "cut between characters");
    assert_eq!(
        whole(&pipeline, &json!(item.modified_ref.unwrap())).await,
        line["text"].as_str().unwrap().as_bytes()
    );
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
    let records = [record("acme", &["before"]), lines.join(&b'\n'), record("acme", &["behind"])];
    assert_eq!(pipeline.invoke(&records).await, 3);

    let keys = pipeline.objects.keys("events/");
    let ends: Vec<_> = keys.iter().map(|key| key.rsplit_once("000-").unwrap().1).collect();
    assert_eq!(ends, ["95-0.ndjson.gz", "96-0.ndjson.gz", "96-6.ndjson.gz"], "{keys:?}");
    assert_eq!(pipeline.objects.archived().len(), 10);
    // The same again finds each of them.
    assert_eq!(pipeline.invoke(&records).await, 3);
    assert_eq!(pipeline.objects.archived().len(), 10);
}
