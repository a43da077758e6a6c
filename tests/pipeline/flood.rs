//! Many requests at once: each is answered and stored once, and tenants stay separate.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::json;

use tests::site::{LocalRun, answer, eventually};

/// Sends request number `n`: JSON or text, of one of ten tenants. Returns `(tenant, id)`.
async fn send(pipeline: &LocalRun, n: usize) -> (String, String) {
    let tenant = format!("tenant-{}", n % 10);
    let request = if n.is_multiple_of(2) {
        pipeline
            .post("/ingest")
            .json(&json!({"tenant_id": tenant, "log_id": format!("e{n}"), "text": format!("event {n}")}))
    } else {
        pipeline
            .post("/ingest")
            .header("Content-Type", "text/plain")
            .header("X-Tenant-ID", &tenant)
            .header("Idempotency-Key", format!("e{n}"))
            .body(format!("event {n} of {tenant}"))
    };
    let (status, body) = answer(request).await;
    assert_eq!(status, 202, "{body}");
    (tenant, body["event_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn thousands_of_requests_at_once_are_stored_once_in_their_own_tenants() {
    const REQUESTS: usize = 3_000;
    let site = crate::site().shards(2);
    let pipeline = site.start();
    let accepted: BTreeSet<_> =
        futures::stream::iter(0..REQUESTS).map(|n| send(&pipeline, n)).buffer_unordered(64).collect().await;
    assert_eq!(accepted.len(), REQUESTS);

    eventually("all in the archive", || (site.stored().archived().len() == REQUESTS).then_some(())).await;
    let archived = site.stored().archived();
    assert!(archived.values().all(|count| *count == 1));
    assert_eq!(archived.keys().cloned().collect::<BTreeSet<_>>(), accepted);

    let items = site.stored().items();
    let expected: BTreeSet<_> = accepted
        .iter()
        .map(|(tenant, id)| (format!("tenants/{tenant}"), format!("processed_logs/{id}")))
        .collect();
    assert_eq!(items.keys().cloned().collect::<BTreeSet<_>>(), expected);
    // A text names its number, and the number says the tenant. So no item is in another tenant's partition.
    for ((pk, sk), item) in &items {
        let n: usize = sk.trim_start_matches("processed_logs/e").parse().unwrap();
        assert_eq!(*pk, format!("tenants/tenant-{}", n % 10));
        assert!(item.original_text.starts_with(&format!("event {n}")), "{pk} {sk}: {}", item.original_text);
    }
    assert_eq!(site.stored().quarantined().len(), 0);
}

#[tokio::test]
async fn a_spread_tenant_uses_all_its_partition_keys_and_is_stored_whole() {
    let site = crate::site().shards(2).configuration("[tenants.spread]\nbig = 4\n");
    let pipeline = site.start();
    let events: Vec<_> = (0..200).map(|n| json!({"id": n, "text": "x"})).collect();
    let request = pipeline.post("/ingest").header("X-Tenant-ID", "big").json(&events);
    assert_eq!(answer(request).await.0, 202);
    eventually("all in the archive", || (site.stored().archived().len() == 200).then_some(())).await;
    assert_eq!(site.stored().partition_keys(), ["big#0", "big#1", "big#2", "big#3"]);
    assert!(site.stored().items().keys().all(|(pk, _)| pk == "tenants/big"));
    let of_the_index = ["tenants/big#0", "tenants/big#1", "tenants/big#2", "tenants/big#3"];
    assert_eq!(site.stored().received_partitions(), of_the_index);
}
