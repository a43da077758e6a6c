//! Bodies up to the limit, claim checks, full archive objects.

use serde_json::json;

use shared::noise::noise;
use tests::site::{answer, eventually};

#[tokio::test]
async fn a_body_of_ten_million_bytes_is_stored_whole() {
    let site = crate::site();
    let pipeline = site.start();
    // With a phone number at both ends, so that both parts of the claim check are seen to be transformed.
    let text = format!("555-0199 {} 555-0199", noise(10_000_000 - 18, 1));
    assert_eq!(text.len(), 10_000_000);
    let request = pipeline
        .post("/ingest")
        .header("Content-Type", "text/plain")
        .header("X-Tenant-ID", "acme")
        .header("Idempotency-Key", "big")
        .body(text.clone());
    assert_eq!(answer(request).await, (202, json!({"status": "success", "event_id": "big"})));

    let line = eventually("the line", || site.stored().lines().pop()).await;
    let reference = &line["text_ref"];
    let parts = site.stored().objects("texts");
    assert_eq!(parts.len() as u64, reference["parts"].as_u64().unwrap());
    assert!(parts.values().all(|part| part.len() <= 5_000_000));
    let whole = String::from_utf8(parts.into_values().flatten().collect()).unwrap();
    assert_eq!(whole, text.replace("555-0199", "[REDACTED]"));
    let original: Vec<u8> = site.stored().objects("payloads").into_values().flatten().collect();
    assert_eq!(original, text.as_bytes());
    let items = site.stored().items();
    let (_, item) = items.iter().next().unwrap();
    assert!(item.modified_data.starts_with("[REDACTED] ") && whole.starts_with(&item.modified_data));
}

#[tokio::test]
async fn ten_million_bytes_of_fields_are_stored_whole_too() {
    let site = crate::site();
    let pipeline = site.start();
    let frame = json!({"tenant_id": "acme", "id": "f", "text": "t", "data": ""}).to_string().len();
    let data = noise(10_000_000 - frame, 2);
    let body = json!({"tenant_id": "acme", "id": "f", "text": "t", "data": data}).to_string();
    assert_eq!(body.len(), 10_000_000);
    let request = pipeline.post("/ingest").header("Content-Type", "application/json").body(body);
    assert_eq!(answer(request).await.0, 202);
    let line = eventually("the line", || site.stored().lines().pop()).await;
    assert_eq!(line["text"], "t");
    assert!(line["fields_ref"]["sha256"].is_string(), "{line}");
    let stored: Vec<u8> = site.stored().objects("payloads").into_values().flatten().collect();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&stored).unwrap(), json!({"data": data}));
}

#[tokio::test]
async fn no_object_exceeds_its_limit_even_if_events_do_not_compress() {
    // The least that can be configured, so that what a Lambda payload holds fills several objects.
    let site = crate::site().configuration("[archive]\nobject_bytes = 1_000_000\n");
    let pipeline = site.start();
    // Lines just below the claim check's limit: they travel in the stream and land in the archive as they are.
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
    assert_eq!(quarantined["reason"], "gzip_too_large");
    eventually("the other events", || (site.stored().archived().len() == 2).then_some(())).await;
}
