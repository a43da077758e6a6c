//! Bodies up to the limit, claim checks, full archive objects.

use bytes::Bytes;
use serde_json::{Value, json};
use shared::format::claim_check::ClaimCheck;
use shared::limits;

use shared::noise::noise;
use tests::site::{Site, answer, eventually};

/// The line that is stored for an archived head.
fn whole(site: &Site, head: &Value) -> Value {
    let claim_check: ClaimCheck = serde_json::from_value(head["claim_check"].clone()).unwrap();
    let parts = site.stored().objects("texts");
    assert_eq!(parts.keys().cloned().collect::<Vec<_>>(), claim_check.part_keys());
    assert!(parts.values().all(|part| part.len() <= 5_000_000));
    let parts: Vec<Bytes> = parts.into_values().map(Bytes::from).collect();
    serde_json::from_slice(&claim_check.line(&parts).unwrap()).unwrap()
}

#[tokio::test]
async fn a_body_of_ten_mebibytes_is_stored_whole() {
    let site = crate::site();
    let pipeline = site.start();
    // With a phone number at both ends, so that the test sees that both parts are transformed.
    let text = format!("555-0199 {} 555-0199", noise(limits::BODY_BYTES - 18, 1));
    assert_eq!(text.len(), limits::BODY_BYTES);
    let request = pipeline
        .post("/ingest")
        .header("Content-Type", "text/plain")
        .header("X-Tenant-ID", "acme")
        .header("Idempotency-Key", "big")
        .body(text.clone());
    assert_eq!(answer(request).await, (202, json!({"status": "success", "event_id": "big"})));

    let head = eventually("the line", || site.stored().lines().pop()).await;
    let line = whole(&site, &head);
    let transformed = text.replace("555-0199", "[REDACTED]");
    assert!(line["text"] == transformed);
    assert_eq!(site.stored().objects("claims").len(), 2);
    let items = site.stored().items();
    let (_, item) = items.iter().next().unwrap();
    assert_eq!(item.modified_data.len(), 150_000);
    assert!(item.modified_data.starts_with("[REDACTED] ") && transformed.starts_with(&item.modified_data));
}

#[tokio::test]
async fn ten_mebibytes_of_fields_are_stored_whole_too() {
    let site = crate::site();
    let pipeline = site.start();
    let frame = json!({"tenant_id": "acme", "id": "f", "text": "t", "data": ""}).to_string().len();
    let data = noise(limits::BODY_BYTES - frame, 2);
    let body = json!({"tenant_id": "acme", "id": "f", "text": "t", "data": data}).to_string();
    assert_eq!(body.len(), limits::BODY_BYTES);
    let request = pipeline.post("/ingest").header("Content-Type", "application/json").body(body);
    assert_eq!(answer(request).await.0, 202);
    let head = eventually("the line", || site.stored().lines().pop()).await;
    let line = whole(&site, &head);
    assert_eq!(line["text"], "t");
    assert!(line["fields"] == json!({ "data": data }));
}

#[tokio::test]
async fn no_object_exceeds_its_limit_even_if_events_do_not_compress() {
    // The smallest size that can be configured, so that one Lambda payload fills several objects.
    let site = crate::site().configuration("[archive]\nobject_bytes = 1_000_000\n");
    let pipeline = site.start();
    for n in 0..40 {
        let event = json!({"tenant_id": format!("t{}", n % 3), "id": n, "text": noise(320_000, 100 + n)});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    eventually("all in the archive", || (site.stored().archived().len() == 40).then_some(())).await;
    let objects = site.stored().objects("events");
    assert!(objects.values().all(|object| object.len() <= 1_000_000));
    // 40 lines of a quarter of a megabyte, at most four to an object.
    assert!(objects.len() >= 10, "{:?}", objects.keys());
    assert!(site.stored().archived().values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_gzip_bomb_record_is_quarantined_and_other_events_are_stored() {
    let site = crate::site();
    let pipeline = site.start();
    pipeline.send(&json!({"tenant_id": "acme", "id": "before", "text": "x"})).await;
    let bomb = shared::gzip::compress(&vec![b' '; 500_000_000], shared::gzip::Level::FAST);
    site.stored().put_foreign("acme", &bomb);
    pipeline.send(&json!({"tenant_id": "acme", "id": "after", "text": "x"})).await;
    let quarantined = eventually("the quarantine", || site.stored().quarantined().pop()).await;
    assert_eq!(quarantined["reason"], "body_too_large");
    eventually("the other events", || (site.stored().archived().len() == 2).then_some(())).await;
}
