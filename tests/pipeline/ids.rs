//! Which event is which: what names it, what is the same again, and what an operator does with a reused id.

use serde_json::{Value, json};

use tests::site::{LocalRun, Site, answer, eventually};

/// Sends a body as acme. Returns the answer.
async fn send(pipeline: &LocalRun, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let mut request = pipeline.post("/ingest").header("X-Tenant-ID", "acme");
    if !headers.iter().any(|(name, _)| *name == "Content-Type") {
        request = request.header("Content-Type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.body(body.to_owned())).await
}

/// Sends a body that is accepted whole.
async fn accepted(pipeline: &LocalRun, headers: &[(&str, &str)], body: &str) -> Value {
    let (status, answer) = send(pipeline, headers, body).await;
    assert_eq!(status, 202, "{answer}");
    answer
}

/// Waits until nothing is in flight. The audit must balance with so many stored, deduplicated and quarantined admissions.
async fn balanced(site: &Site, expected: [u64; 3]) {
    let report = eventually("the end of the events in flight", || {
        let report = site.audit().1;
        (report["total"]["ingest"]["in_flight"] == 0).then_some(report)
    })
    .await;
    let total = &report["total"]["ingest"];
    let counts = ["stored", "deduplicated", "quarantined"].map(|name| total[name].as_u64().unwrap());
    assert_eq!((counts, &report["findings"]), (expected, &json!([])), "{report:#}");
}

/// The archived events, as id, text and fields.
fn archived(site: &Site) -> Vec<(String, Value, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = site.stored().lines().into_iter();
    let mut events: Vec<_> =
        lines.map(|line| (text(&line["id"]), line["text"].clone(), line["fields"].clone())).collect();
    events.sort_by(|one, other| one.0.cmp(&other.0));
    events
}

#[tokio::test]
async fn messages_about_one_thing_are_as_many_events_and_a_message_is_one_whatever_its_body() {
    let site = crate::site();
    let pipeline = site.start();
    let order = |message: &str, status: &str| {
        let (message, body) =
            (message.to_owned(), json!({"id": 820_982_911_946_154_508_u64, "status": status}));
        let pipeline = &pipeline;
        async move { accepted(pipeline, &[("webhook-id", &message)], &body.to_string()).await["event_id"].clone() }
    };
    assert_eq!(order("msg_1", "pending").await, "msg_1");
    assert_eq!(order("msg_2", "paid").await, "msg_2");
    assert_eq!(order("msg_3", "shipped").await, "msg_3");
    // Sent again with a body that was made anew, in another media type, and from somewhere that names it otherwise.
    assert_eq!(order("msg_1", "pending, again").await, "msg_1");
    accepted(&pipeline, &[("webhook-id", "msg_1"), ("Content-Type", "text/plain")], "pending").await;
    let same = r#"{"status":"pending","id":820982911946154508.0}"#;
    accepted(&pipeline, &[("Idempotency-Key", "msg_1")], same).await;
    accepted(&pipeline, &[("Idempotency-Key", "msg_1")], r#"{"status":"another"}"#).await;

    balanced(&site, [3, 3, 1]).await;
    let fields = |status: &str| json!({"id": 820_982_911_946_154_508_u64, "status": status});
    let events: Vec<_> = archived(&site).into_iter().map(|(id, _, fields)| (id, fields)).collect();
    let expected = [("msg_1", "pending"), ("msg_2", "paid"), ("msg_3", "shipped")];
    assert_eq!(events, expected.map(|(id, status)| (id.to_owned(), fields(status))));
    let quarantined = site.stored().quarantined();
    assert_eq!((&quarantined[0]["reason"], &quarantined[0]["id"]), (&"id_reused".into(), &"msg_1".into()));
}

#[tokio::test]
async fn a_part_of_a_batch_may_be_sent_again_under_the_same_key() {
    let site = crate::site();
    let pipeline = site.start();
    let key = [("Idempotency-Key", "k1")];
    let (status, answer) = send(&pipeline, &key, r#"[{"n":1},{"n":2,"tenant_id":[]},{"n":3},{"n":3}]"#).await;
    assert_eq!((status, &answer["accepted"]), (207, &3.into()));
    let first = answer["events"][2]["event_id"].clone();

    // The one that was bad, alone and corrected; then the whole, in another order and spelled otherwise.
    accepted(&pipeline, &key, r#"[{"n":2}]"#).await;
    let whole = accepted(&pipeline, &key, r#"[{"n":3e0},{"n":2.0},{"n":3},{ "n" : 1 }]"#).await;
    assert_eq!(whole["events"][0]["event_id"], first);
    let lines = [key[0], ("Content-Type", "application/x-ndjson")];
    accepted(&pipeline, &lines, "{\"n\":30e-1}\n").await;
    // A single object is not a batch: its id is the key.
    assert_eq!(accepted(&pipeline, &key, r#"{"n":1}"#).await["event_id"], "k1");

    balanced(&site, [5, 5, 0]).await;
}

#[tokio::test]
async fn the_spelling_of_an_event_makes_it_no_other_event() {
    let site = crate::site();
    let pipeline = site.start();
    for (first, again, other) in [
        // With a text, and with fields that are flattened to one.
        (
            r#"{"id":"text","text":"caf\u00e9","a":{"b":1,"c":[true]}}"#,
            "{ \"a\" : {\"\\u0063\":[true] , \"b\":1.0},\"text\":\"café\", \"\\u0069d\":\"text\" }",
            r#"{"id":"text","text":"café","a":{"b":1,"c":["true"]}}"#,
        ),
        (
            r#"{"id":"flat","z":{"y":1,"x":1e2},"a":0}"#,
            r#"{"a":-0.0,"z":{"x":100.0,"y":5,"y":1},"id":"flat"}"#,
            r#"{"id":"flat","z":{"y":1,"x":1e3},"a":0}"#,
        ),
        (
            r#"{"event_id":"","id":42,"timestamp":1625097600,"text":"t","big":1e300}"#,
            r#"{"event_id":"","id":42.0,"timestamp":1625097600.0,"text":"t","big":10e299}"#,
            r#"{"event_id":"","id":"42","timestamp":1625097600,"text":"t","big":1e299}"#,
        ),
    ] {
        for body in [first, again, other] {
            accepted(&pipeline, &[("Idempotency-Key", "")], body).await;
        }
    }
    balanced(&site, [3, 3, 3]).await;
    let items = site.stored().items();
    let ids = items.keys().map(|(_, sort)| sort.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["processed_logs/42", "processed_logs/flat", "processed_logs/text"]);

    // A foreign producer's object is compared in the same way.
    site.stored().put_foreign("acme", br#"{"tenant_id":"acme","id":"flat","a":0.0,"z":{"x":1E2,"y":1}}"#);
    let report = eventually("the foreign event", || {
        let report = site.audit().1;
        (report["total"]["foreign_producers"]["deduplicated"] == 1).then_some(report)
    })
    .await;
    assert_eq!(report["findings"], json!([]), "{report:#}");
}

/// Sent again from another place, in another mode, with other attributes and data: it is the same message.
#[tokio::test]
async fn a_cloudevent_is_one_by_its_source_and_id_and_keeps_its_context() {
    let site = crate::site();
    let pipeline = site.start();
    let structured = [("Content-Type", "application/cloudevents+json")];
    let body = |source: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"paid","source":"{source}","id":"1","subject":"s","data":{data}}}"#
        )
    };
    let first = accepted(&pipeline, &structured, &body("/shop", r#"{"id":"own","order":7}"#)).await;
    assert_eq!(first["event_id"], "/shop|1");
    accepted(&pipeline, &structured, &body("/shop", r#"{"id":"own","order":7}"#)).await;
    let headers = [("ce-specversion", "1.0"), ("ce-type", "other"), ("ce-source", "/shop"), ("ce-id", "1")];
    accepted(&pipeline, &headers, r#"{"order":8}"#).await;
    let batch = [("Content-Type", "application/cloudevents-batch+json"), ("Idempotency-Key", "k")];
    let two = format!("[{},{}]", body("/shop", "null"), body("/mill", "\"ground\""));
    accepted(&pipeline, &batch, &two).await;
    accepted(&pipeline, &batch, &two).await;

    balanced(&site, [2, 5, 0]).await;
    let context =
        |source| json!({"specversion": "1.0", "type": "paid", "source": source, "id": "1", "subject": "s"});
    let expected = [
        ("/mill|1".to_owned(), json!("ground"), json!({"cloudevent": context("/mill")})),
        (
            "/shop|1".to_owned(),
            json!("id=own\norder=7"),
            json!({"id": "own", "order": 7, "cloudevent": context("/shop")}),
        ),
    ];
    assert_eq!(archived(&site), expected);
}

#[tokio::test]
async fn numbers_name_tenants_and_the_configuration_names_headers_and_members() {
    let configuration = "[ids]\nheaders = [\"X-GitHub-Delivery\"]\nmembers = [\"uuid\"]\n";
    let site = crate::site().configuration(configuration);
    let pipeline = site.start();
    let (_, answer) = pipeline.send(&json!({"tenant_id": 42, "uuid": 7, "id": "a field", "text": "x"})).await;
    assert_eq!(answer["event_id"], "7");
    let headers = [("X-GitHub-Delivery", "d-1"), ("Idempotency-Key", "ignored")];
    assert_eq!(accepted(&pipeline, &headers, r#"{"uuid":7,"text":"x"}"#).await["event_id"], "d-1");
    site.stored().put_foreign("42", br#"{"tenant_id":42.0,"uuid":"foreign","id":1,"text":"x"}"#);
    let events =
        eventually("all three", || Some(site.stored().archived()).filter(|events| events.len() == 3)).await;
    let named = |tenant: &str, id: &str| events.contains_key(&(tenant.to_owned(), id.to_owned()));
    assert!(named("42", "7") && named("acme", "d-1") && named("42", "foreign"), "{events:?}");
}

#[tokio::test]
async fn events_with_a_reused_id_are_stored_once_under_a_new_one() {
    let site = crate::site();
    let pipeline = site.start();
    let event = |text: &str| json!({"tenant_id": "acme", "id": "order-1", "text": text});
    let large = shared::noise::noise(2_000_000, 1);
    // Each once more, since clients repeat themselves.
    for text in ["pending", "paid", "paid", "shipped", &large, "paid"] {
        assert_eq!(pipeline.send(&event(text)).await.0, 202);
    }
    balanced(&site, [1, 0, 5]).await;
    let as_new = ["redrive", "--reason", "id_reused", "--as-new", "--apply"];
    let open = || site.printed(&["redrive", "--reason", "id_reused"]).contains("not done yet");
    eventually("the ledger", || (!open()).then_some(())).await;
    let alone = site.command(&["redrive", "--reason", "dropped", "--as-new"], &[]);
    assert!(!alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));

    // Killed before and after it puts events, and before it notes that.
    for (step, fault) in
        [("stream_put", "die_before"), ("stream_put", "die_after"), ("quarantine_put", "die_before")]
    {
        let killed = site.command(&as_new, &[(step, 1, 1, fault)]);
        assert!(!killed.status.success(), "{step}: {}", String::from_utf8_lossy(&killed.stdout));
    }
    site.printed(&as_new);
    assert_eq!(site.printed(&as_new), "No failed events are left to redrive.\n");
    balanced(&site, [4, 2, 0]).await;

    let events = archived(&site);
    let mut texts: Vec<_> = events.iter().map(|(_, text, _)| text.as_str().unwrap()).collect();
    texts.sort_unstable_by_key(|text| text.len());
    assert_eq!(texts, ["paid", "pending", "shipped", &large]);
    assert_eq!(events[0].0, "order-1");
    for (id, ..) in &events[1..] {
        assert!(id.starts_with("order-1#") && id.len() == "order-1#".len() + 16, "{id}");
    }
    // A client that sends the same again does not know of the new id: it is still another event's.
    assert_eq!(pipeline.send(&event("paid")).await.0, 202);
    balanced(&site, [4, 2, 1]).await;
    eventually("the ledger", || (!open()).then_some(())).await;
    site.printed(&as_new);
    balanced(&site, [4, 3, 0]).await;
}
