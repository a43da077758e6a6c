//! `items.content`: what an item leaves out, every reader has from elsewhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::site::{DEADLINE, LocalRun, answer};
use tests::target::GraphqlTarget;

#[tokio::test]
async fn whatever_items_have_an_event_is_read_dispatched_and_proven() {
    let events = [("1", "User 555-0199", "User [REDACTED]"), ("2", "hello", "hello")];
    for content in ["both", "changed", "reference"] {
        let target = GraphqlTarget::start(50);
        let site = crate::site().configuration(&format!(
            "[items]\ncontent = \"{content}\"\n[dispatch]\nenabled = true\nurl = \"{}\"\nrate_per_second = 50\n",
            target.url()
        ));
        let pipeline = site.start();
        // The last two are the same again, and another one.
        for (id, text) in [("1", "User 555-0199"), ("2", "hello"), ("2", "hello"), ("1", "another")] {
            let event = json!({"tenant_id": "acme", "id": id, "text": text, "n": 1});
            assert_eq!(pipeline.send(&event).await.0, 202);
        }
        pipeline.metric_reaches("events_dispatched", 2).await;
        for (id, _, text) in events {
            let event = whole(&pipeline, id).await;
            assert_eq!((&event["text"], &event["fields"]), (&json!(text), &json!({"n": 1})), "{content}");
            assert_eq!(target.seen().taken[&format!("acme/{id}")].1.body, text, "{content}");
        }
        pipeline.stop();

        let items = site.stored().items();
        assert_eq!(items.len(), 2);
        for (id, original, text) in events {
            let item = &items[&("tenants/acme".to_owned(), format!("processed_logs/{id}"))];
            let expected = match content {
                "reference" => ["", ""],
                "changed" if original == text => [original, ""],
                _ => [original, text],
            };
            assert_eq!([&item.original_text, &item.modified_data], expected, "{content}");
        }
        let (code, report) = site.audit();
        assert_eq!((code, &report["findings"]), (0, &json!([])), "{content}");
        assert_eq!(site.stored().quarantined().len(), 1, "{content}");
    }
}

/// The event, as soon as it is archived.
async fn whole(pipeline: &LocalRun, id: &str) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let request = pipeline.client.get(format!("{}/events/{id}", pipeline.url)).timeout(DEADLINE);
        let (status, event) = answer(request.header("X-Tenant-ID", "acme")).await;
        if status == 200 && event["truncated"] == json!(false) {
            return event;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {event}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
