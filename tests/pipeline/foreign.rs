//! Records of foreign producers, between records of ingest.

use serde_json::json;

use tests::site::eventually;

#[tokio::test]
async fn an_aggregate_of_a_thousand_records_of_five_tenants_is_stored_once_between_ordinary_records() {
    let aggregate = std::fs::read(tests::fixtures::folder().join("kpl/thousand.bin")).unwrap();
    let site = crate::site();
    let pipeline = site.start();
    for n in 0..10 {
        if n == 5 {
            site.stored().put_foreign("a producer's own key", &aggregate);
        }
        let event = json!({"tenant_id": format!("t{}", n % 5), "id": format!("ingest-{n}"), "text": "x"});
        assert_eq!(pipeline.send(&event).await.0, 202);
    }
    eventually("all in the archive", || (site.stored().archived().len() == 1_010).then_some(())).await;

    let archived = site.stored().archived();
    assert!(archived.values().all(|count| *count == 1), "{archived:?}");
    // Event n of the aggregate is of tenant n modulo 5.
    for n in 0..1_000 {
        assert!(
            archived.contains_key(&(format!("t{}", n % 5), format!("k{n}"))),
            "event {n} is not its tenant's"
        );
    }
    let items = site.stored().items();
    assert_eq!(items.len(), 1_010);
    for (tenant, id) in archived.keys() {
        assert!(
            items.contains_key(&(format!("tenants/{tenant}"), format!("processed_logs/{id}"))),
            "{tenant} {id}"
        );
    }
    assert_eq!(site.stored().quarantined().len(), 0);
}
