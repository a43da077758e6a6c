//! Requests that ingest refuses, over real HTTP. `ingest-fn` tests all rejections; this module tests large bodies, and
//! that a refused request stores nothing.

use serde_json::json;

use tests::site::answer;

#[tokio::test]
async fn each_rejection_names_its_reason_and_puts_nothing_on_the_stream() {
    let site = crate::site();
    let pipeline = site.start();
    let post = || pipeline.client.post(format!("{}/ingest", pipeline.url));
    let json = |request: reqwest::RequestBuilder, body: &'static str| {
        request.header("Content-Type", "application/json").body(body)
    };
    let good = r#"{"tenant_id":"acme","text":"x"}"#;
    let cases = [
        (json(post(), good), 403, "tier_missing"),
        (json(post().header("X-Customer-Tier", "gold"), good), 403, "tier_not_allowed"),
        (json(pipeline.post("/ingest"), "{\"tenant_id\":"), 400, "malformed_json"),
        (json(pipeline.post("/ingest"), "[]"), 400, "batch_empty"),
        (json(pipeline.post("/ingest"), r#"{"text":"x"}"#), 400, "tenant_missing"),
        (json(pipeline.post("/ingest"), r#"{"tenant_id":"a b","text":"x"}"#), 400, "tenant_invalid"),
        (json(pipeline.post("/ingest").header("X-Tenant-ID", "beta"), good), 400, "tenant_conflict"),
        (
            pipeline.post("/ingest").header("Content-Type", "image/png").body("x"),
            415,
            "media_type_unsupported",
        ),
        (json(pipeline.post("/nowhere"), good), 404, "not_found"),
        (pipeline.client.put(format!("{}/ingest", pipeline.url)), 405, "method_not_allowed"),
    ];
    for (request, status, code) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{code}");
        let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)));
        assert_eq!(problem["request_id"], request_id);
    }
    assert_eq!(site.stored().records(), 0);
}

#[tokio::test]
async fn a_body_one_byte_over_the_limit_is_refused() {
    let site = crate::site();
    let pipeline = site.start();
    let body = vec![b'x'; 10_485_761];
    let request = pipeline
        .post("/ingest")
        .header("Content-Type", "text/plain")
        .header("X-Tenant-ID", "acme")
        .body(body);
    let (status, problem) = answer(request).await;
    assert_eq!(
        (status, &problem["code"], &problem["limit"]),
        (413, &json!("body_too_large"), &json!(10_485_760))
    );
    assert_eq!(site.stored().records(), 0);
}

#[tokio::test]
async fn a_gzip_bomb_is_refused() {
    let site = crate::site();
    let pipeline = site.start();
    let bomb = shared::gzip::compress(&vec![b' '; 500_000_000], shared::gzip::Level::FAST);
    let request = pipeline
        .post("/ingest")
        .header("Content-Type", "text/plain")
        .header("Content-Encoding", "gzip")
        .header("X-Tenant-ID", "acme")
        .body(bomb);
    let (status, problem) = answer(request).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
}
