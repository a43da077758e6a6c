//! Credentials: by key and by signature, and what a tenant cannot do with its own.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use sha2::Sha256;
use shared::config::AuthMode;
use shared::digest::sha256;
use shared::gzip;
use tower::ServiceExt;

use crate::server::{Answer, JSON, NDJSON, NOW_SECONDS, Server, TEXT};

pub(crate) const ACME_SECRET: &[u8] = &[1; 24];
const ACME_NEW_SECRET: &[u8] = &[2; 24];
const BETA_SECRET: &[u8] = &[3; 24];
/// What an unknown tenant's signature is compared with.
const NO_ONES_SECRET: &[u8] = &[0; 32];

pub(crate) fn document() -> String {
    let tenant = |name: &str, tier: &str, secrets: &[&[u8]]| {
        let secrets =
            secrets.iter().map(|secret| format!("whsec_{}", base64_simd::STANDARD.encode_to_string(secret)));
        serde_json::json!({
            "tenant": name,
            "tier": tier,
            "api_keys_sha256": [sha256(format!("{name}-old").as_bytes()), sha256(format!("{name}-key").as_bytes())],
            "webhook_secrets": secrets.collect::<Vec<_>>(),
        })
    };
    let tenants = [
        tenant("acme", "pro", &[ACME_SECRET, ACME_NEW_SECRET]),
        tenant("beta", "free", &[BETA_SECRET]),
        tenant("mute", "free", &[]),
    ];
    serde_json::json!({ "tenants": tenants, "origin_secrets": ["old-gateway-secret", "new-gateway-secret"] })
        .to_string()
}

async fn server(mode: AuthMode) -> Server {
    Server::with_credentials(&document(), |config| config.auth.mode = mode).await
}

/// A `POST` without a tier.
fn post_to(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

/// A signed message, as its headers and its body.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Message {
    pub(crate) fn signed(secret: &[u8], id: &str, seconds: i64, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(&[format!("{id}.{seconds}.").as_bytes(), &body].concat());
        let signature = base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes());
        let headers = vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", format!("v1,{signature}")),
        ];
        Self { headers, body }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn to(&self, path: &str) -> Request<Body> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        post_to(path, &headers, self.body.clone())
    }
}

/// A message of `acme` with the id `msg_1`, sent now.
fn message(body: &str) -> Message {
    Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS, body)
}

const HOOK: &str = "/v1/webhooks/acme/events/new";

fn stored(server: &Server) -> Vec<(String, String, String)> {
    let fact = |event: shared::format::event_line::Event| {
        let facts = event.facts;
        (facts.tenant.to_string(), facts.tier.to_string(), facts.id.to_string())
    };
    server.events().into_iter().map(fact).collect()
}

fn event(tenant: &str, tier: &str, id: &str) -> (String, String, String) {
    (tenant.to_owned(), tier.to_owned(), id.to_owned())
}

#[tokio::test]
async fn a_key_gives_tenant_and_tier() {
    let server = server(AuthMode::ApiKey).await;
    for (id, headers) in [
        ("1", &[JSON, ("authorization", "Bearer acme-key")][..]),
        ("2", &[JSON, ("authorization", "bearer   acme-old")]),
        ("3", &[JSON, ("x-api-key", "acme-key")]),
        ("4", &[JSON, ("x-api-key", "acme-key"), ("authorization", "Bearer acme-key")]),
        ("5", &[JSON, ("x-api-key", "acme-key"), ("authorization", "AWS4-HMAC-SHA256 Credential=x")]),
        ("6", &[JSON, ("x-api-key", "acme-key"), ("x-tenant-id", "acme"), ("x-customer-tier", "pro")]),
    ] {
        let answer = server.send(post_to("/ingest", headers, format!(r#"{{"id":"{id}"}}"#))).await;
        assert_eq!(answer.status, 202, "{id} {answer:?}");
    }
    let expected: Vec<_> = (1..=6).map(|id: u8| event("acme", "pro", &id.to_string())).collect();
    assert_eq!(stored(&server), expected);
}

#[tokio::test]
async fn without_the_right_key_the_answer_is_401_with_a_challenge() {
    let server = server(AuthMode::ApiKey).await;
    let missing = r#"Bearer realm="tidegate""#;
    let invalid = r#"Bearer realm="tidegate", error="invalid_token""#;
    for (headers, code, challenge) in [
        (&[JSON][..], "401 credential_missing", missing),
        (&[JSON, ("authorization", "Basic YWNtZTprZXk=")], "401 credential_missing", missing),
        (&[JSON, ("x-api-key", "wrong")], "401 credential_invalid", invalid),
        (&[JSON, ("x-api-key", "")], "401 credential_invalid", invalid),
        (&[JSON, ("authorization", "Bearer ")], "401 credential_invalid", invalid),
        (&[JSON, ("x-api-key", "acme-key"), ("x-api-key", "beta-key")], "401 credential_invalid", invalid),
        (
            &[JSON, ("x-api-key", "acme-key"), ("authorization", "Bearer beta-key")],
            "401 credential_invalid",
            invalid,
        ),
        // Before everything else: what is wrong besides is not told.
        (&[("x-customer-tier", "gold")], "401 credential_missing", missing),
    ] {
        let answer = server.send(post_to("/ingest", headers, "{}")).await;
        assert_eq!(answer.shown(), code, "{headers:?}");
        assert_eq!(answer.headers["www-authenticate"], challenge);
        answer.assert_problem();
    }
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn a_server_without_credentials_that_asks_for_one_refuses_everything() {
    let server = Server::with(crate::server::Faults::default(), |config| config.auth.mode = AuthMode::ApiKey);
    let answer = server.send(post_to("/ingest", &[JSON, ("x-api-key", "acme-key")], "{}")).await;
    assert_eq!(answer.shown(), "401 credential_invalid");
}

/// Strangers begin bodies with headers that look signed, up to the whole memory, and never end them.
#[tokio::test(start_paused = true)]
async fn unsigned_bodies_do_not_hold_the_memory_that_signed_ones_need() {
    let server = Server::with_credentials(&document(), |config| {
        config.auth.mode = AuthMode::Signature;
        config.limits.body_bytes = 100_000;
        config.limits.bodies_in_memory_bytes = 400_000;
    })
    .await;
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let begun = futures::stream::iter([Ok::<_, std::io::Error>(vec![b'x'; 100_000])]);
            let endless = Body::from_stream(begun.chain(futures::stream::pending()));
            let mut request = Message::signed(BETA_SECRET, "msg", NOW_SECONDS, "").to(HOOK);
            request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
            *request.body_mut() = endless;
            let router = server.router.clone();
            tokio::spawn(async move { router.oneshot(request).await.unwrap().status().as_u16() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let text = format!(r#"{{"text":"{}"}}"#, "x".repeat(90_000));
    let large = message(&text).with("content-type", "application/json");
    assert_eq!(server.send(large.to(HOOK)).await.shown(), "202");
    assert_eq!(stored(&server), [event("acme", "pro", "msg_1")]);
    let mut answers: Vec<_> =
        futures::future::join_all(strangers).await.into_iter().map(Result::unwrap).collect();
    answers.sort_unstable();
    assert_eq!(answers, [408, 408, 408, 503], "one gives way, and no more than one");
}

#[tokio::test]
async fn an_event_of_another_tenant_in_a_batch_is_rejected_alone() {
    let server = server(AuthMode::ApiKey).await;
    let batch = r#"[{"id":"1"},{"id":"2","tenant_id":"beta"},{"id":"3","tenant_id":"acme"}]"#;
    let answer = server.send(post_to("/ingest", &[JSON, ("x-api-key", "acme-key")], batch)).await;
    assert_eq!(answer.status, 207);
    assert_eq!(answer.json["events"][1]["code"], "credential_mismatch");
    assert_eq!(stored(&server), [event("acme", "pro", "1"), event("acme", "pro", "3")]);
}

#[tokio::test]
async fn health_needs_no_credential() {
    let request = Request::get("/health").body(Body::empty()).unwrap();
    assert_eq!(server(AuthMode::Signature).await.send(request).await.status, 200);
}

#[tokio::test]
async fn a_signed_message_is_stored_under_its_id_with_the_tier_of_its_tenant() {
    let server = server(AuthMode::Signature).await;
    let text = message("hello").with("content-type", "text/plain");
    assert_eq!(server.send(text.to(HOOK)).await.status, 202);
    let header =
        Message::signed(BETA_SECRET, "msg_2", NOW_SECONDS, "{}").with("content-type", "application/json");
    assert_eq!(server.send(header.with("x-tenant-id", "beta").to("/events")).await.status, 202);
    // The newer of two secrets, and a client's clock that is off by the tolerance.
    let newer =
        Message::signed(ACME_NEW_SECRET, "msg_3", NOW_SECONDS - 299, "x").with("content-type", "text/plain");
    assert_eq!(server.send(newer.to(HOOK)).await.status, 202);
    assert_eq!(
        stored(&server),
        [event("acme", "pro", "msg_1"), event("beta", "free", "msg_2"), event("acme", "pro", "msg_3")]
    );
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_that_were_sent() {
    let server = server(AuthMode::Signature).await;
    // More than is checked on the thread of the request.
    let text = shared::noise::noise(400_000, 1).into_bytes();
    let packed = gzip::compress(&text, gzip::Level::FAST);
    let sent = |signed: &[u8], sent: Vec<u8>| {
        let message = Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS, signed);
        Message { body: sent, ..message }.with("content-type", "text/plain").with("content-encoding", "gzip")
    };
    assert_eq!(server.send(sent(&packed, packed.clone()).to(HOOK)).await.status, 202);
    assert_eq!(server.send(sent(&text, packed).to(HOOK)).await.shown(), "401 credential_invalid");
}

/// A byte order mark, a charset and white space are part of what is signed, and are stored as any other body's are.
#[tokio::test]
async fn a_body_is_signed_before_it_is_decoded() {
    let server = server(AuthMode::Signature).await;
    let utf16: Vec<u8> = "\u{feff}{\"text\":\"ü\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let packed = gzip::compress(&utf16, gzip::Level::FAST);
    let json = "application/json";
    for (id, body, content_type, coding) in [
        ("bom", "\u{feff}{\"text\":\"ü\"}".into(), json, None),
        ("latin-1", b"{\"text\":\"\xfc\"}".to_vec(), "application/json; charset=iso-8859-1", None),
        ("utf-16", utf16.clone(), "application/json; charset=utf-16", None),
        ("packed utf-16", packed, json, Some("gzip")),
        ("escapes", b" {\r\n\t\"text\" : \"\\u00fc\" } \n".to_vec(), json, None),
    ] {
        let plain: Vec<u8> = "{\"text\":\"ü\"}".into();
        // Signed over what is sent, and over what it becomes.
        for (signed, expected) in [(body.clone(), "202"), (plain, "401 credential_invalid")] {
            let message = Message::signed(ACME_SECRET, id, NOW_SECONDS, signed);
            let message = Message { body: body.clone(), ..message }.with("content-type", content_type);
            let message =
                coding.into_iter().fold(message, |all, coding| all.with("content-encoding", coding));
            assert_eq!(server.send(message.to(HOOK)).await.shown(), expected, "{id}");
        }
    }
    assert_eq!(server.events().iter().map(|event| event.text.as_str()).collect::<Vec<_>>(), ["ü"; 5]);
}

#[tokio::test]
async fn messages_of_github_shopify_and_stripe_are_stored_under_their_own_ids() {
    let secret = |prefix: &str| format!("{prefix}:a secret of the tenant");
    let document = serde_json::json!({ "tenants": [{
        "tenant": "acme", "tier": "pro",
        "webhook_secrets": [secret("github"), secret("shopify"), secret("stripe"), format!("whsec_{}", base64_simd::STANDARD.encode_to_string(ACME_SECRET))],
    }] });
    let server =
        Server::with_credentials(&document.to_string(), |config| config.auth.mode = AuthMode::Signature)
            .await;
    let body = br#"{"id":"evt_1","text":"one"}"#;
    let mac = |prefix: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret of the tenant").unwrap();
        mac.update(&[prefix.as_bytes(), body].concat());
        bytes::Bytes::copy_from_slice(&mac.finalize().into_bytes())
    };
    let github = ("x-hub-signature-256", format!("sha256={:x}", mac("")));
    let shopify = ("x-shopify-hmac-sha256", base64_simd::STANDARD.encode_to_string(mac("")));
    let stripe = ("stripe-signature", format!("t={NOW_SECONDS},v1={:x}", mac(&format!("{NOW_SECONDS}."))));
    let ids =
        [("x-github-delivery", "delivery-1"), ("x-shopify-webhook-id", "hook-1"), ("idempotency-key", "key")];
    let send = async |header: &(&'static str, String), body: &[u8]| {
        let message = Message { headers: vec![header.clone()], body: body.to_vec() };
        let message = message.with("content-type", "application/json");
        let message = ids.into_iter().fold(message, |all, (name, value)| all.with(name, value));
        server.send(message.to(HOOK)).await.shown()
    };
    for header in [&github, &shopify, &stripe] {
        assert_eq!(send(header, body).await, "202", "{header:?}");
        assert_eq!(send(header, b"{}").await, "401 credential_invalid", "{header:?}");
    }
    assert_eq!(
        stored(&server),
        [event("acme", "pro", "delivery-1"), event("acme", "pro", "hook-1"), event("acme", "pro", "evt_1")]
    );
}

/// What one scheme signs before the body could be a body of another: `{id}.{time}.{body}` is a text.
#[tokio::test]
async fn a_recorded_message_is_not_accepted_by_another_scheme() {
    let bytes = [b'k'; 24];
    let written = format!("whsec_{}", base64_simd::STANDARD.encode_to_string(bytes));
    let document =
        serde_json::json!({ "tenants": [{ "tenant": "acme", "tier": "pro", "webhook_secrets": [written] }] });
    let server =
        Server::with_credentials(&document.to_string(), |config| config.auth.mode = AuthMode::Signature)
            .await;
    let recorded = Message::signed(&bytes, "msg_1", NOW_SECONDS, "hello").with("content-type", "text/plain");
    assert_eq!(server.send(recorded.to(HOOK)).await.shown(), "202");
    let signature = recorded.headers[2].1.trim_start_matches("v1,").to_owned();
    let body = format!("msg_1.{NOW_SECONDS}.hello").into_bytes();
    let forged = Message { headers: vec![("x-shopify-hmac-sha256", signature)], body }
        .with("content-type", "text/plain");
    assert_eq!(server.send(forged.to(HOOK)).await.shown(), "401 credential_invalid");
}

#[tokio::test]
async fn a_signed_message_that_is_sent_again_has_the_same_id_whatever_header_is_added() {
    let server = server(AuthMode::Signature).await;
    let message = message("hello").with("content-type", "text/plain");
    server.send(message.to(HOOK)).await;
    server.send(message.with("idempotency-key", "another").to(HOOK)).await;
    assert_eq!(stored(&server), [event("acme", "pro", "msg_1"), event("acme", "pro", "msg_1")]);
    assert!(server.events().iter().all(|event| event.is_message));
}

/// The answer without what differs between any two.
fn told(answer: &Answer) -> (String, serde_json::Value, Vec<String>) {
    let names = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    let headers = names.map(|(name, value)| format!("{name}: {value}")).collect();
    (answer.shown(), answer.json["detail"].clone(), headers)
}

#[tokio::test]
async fn a_wrong_signature_an_unknown_tenant_and_an_old_message_get_the_same_answer() {
    let server = server(AuthMode::Signature).await;
    let json = |message: Message| message.with("content-type", "application/json");
    let wrong = |secret| json(Message::signed(secret, "msg_1", NOW_SECONDS, "{}"));
    let answers = [
        server.send(wrong(BETA_SECRET).to(HOOK)).await,
        server.send(json(message("{}")).to("/v1/webhooks/unknown/events/new")).await,
        server.send(wrong(NO_ONES_SECRET).to("/v1/webhooks/unknown/events/new")).await,
        server.send(wrong(NO_ONES_SECRET).to("/v1/webhooks/mute/events/new")).await,
        server.send(json(message("{}")).to("/events")).await,
        server.send(json(Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS - 301, "{}")).to(HOOK)).await,
        server.send(json(Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS + 301, "{}")).to(HOOK)).await,
        // Tier and body are not looked at before.
        server.send(wrong(BETA_SECRET).with("x-customer-tier", "gold").to(HOOK)).await,
        server.send(json(Message { body: "[".into(), ..message("{}") }).to(HOOK)).await,
    ];
    let first = told(&answers[0]);
    assert_eq!(first.0, "401 credential_invalid");
    assert!(first.2.contains(&r#"www-authenticate: StandardWebhooks realm="tidegate""#.to_owned()));
    for answer in &answers {
        assert_eq!(told(answer), first);
    }
    let unsigned = post_to(HOOK, &[JSON], "{}");
    assert_eq!(server.send(unsigned).await.shown(), "401 credential_missing");
    assert!(server.events().is_empty());
}

#[tokio::test]
async fn requests_must_carry_the_gateways_secret_if_a_header_for_it_is_configured() {
    for mode in [AuthMode::None, AuthMode::ApiKey] {
        let server = Server::with_credentials(&document(), |config| {
            config.auth.mode = mode;
            config.auth.origin_header = Some("X-Origin-Secret".to_owned());
        })
        .await;
        let base = [JSON, ("x-api-key", "acme-key"), ("x-tenant-id", "acme"), ("x-customer-tier", "pro")];
        let send = async |origin: &[&str]| {
            let origin = origin.iter().map(|secret| ("x-origin-secret", *secret));
            let headers: Vec<_> = base.into_iter().chain(origin).collect();
            server.send(post_to("/ingest", &headers, "{}")).await.shown()
        };
        for secret in ["old-gateway-secret", "new-gateway-secret"] {
            assert_eq!(send(&[secret]).await, "202");
        }
        for secrets in [&[][..], &[""], &["wrong"], &["new-gateway-secret", "wrong"], &["old-gateway-secre"]]
        {
            assert_eq!(send(secrets).await, "403 origin_refused", "{secrets:?}");
        }
    }
}

#[tokio::test]
async fn no_attempt_to_write_as_another_tenant_succeeds() {
    let with_key = server(AuthMode::ApiKey).await;
    let signed = server(AuthMode::Signature).await;
    let key = |headers: &[(&'static str, &str)], path: &str, body: &str| {
        let own = [JSON, ("x-api-key", "acme-key")];
        post_to(path, &[&own, headers].concat(), body.to_owned())
    };
    let json = |message: Message| message.with("content-type", "application/json");
    let own = || json(message(r#"{"text":"x"}"#));
    let beta = "/v1/webhooks/beta/events/new";
    let nothing = r#"{"text":"x"}"#;
    let attempts = [
        ("own key, other tenant by header", &with_key, key(&[("x-tenant-id", "beta")], "/ingest", nothing)),
        (
            "own key, own and other tenant by header",
            &with_key,
            key(&[("x-tenant-id", "acme"), ("x-tenant-id", "beta")], "/ingest", nothing),
        ),
        ("own key, other tenant by path", &with_key, key(&[], beta, nothing)),
        ("own key, other tenant in the body", &with_key, key(&[], "/ingest", r#"{"tenant_id":"beta"}"#)),
        ("own key, other tenant in a batch", &with_key, key(&[], "/ingest", r#"[{"tenant_id":"beta"}]"#)),
        (
            "own key, other tenant in NDJSON",
            &with_key,
            post_to("/events", &[NDJSON, ("x-api-key", "acme-key")], r#"{"tenant_id":"beta"}"#),
        ),
        (
            "own key, higher tier by header",
            &with_key,
            key(&[("x-customer-tier", "enterprise")], "/ingest", nothing),
        ),
        (
            "own key and other tenant's key",
            &with_key,
            key(&[("authorization", "Bearer beta-key")], "/ingest", nothing),
        ),
        ("wrong key", &with_key, post_to(beta, &[JSON, ("x-api-key", "beta-kez")], "{}")),
        ("the hash as the key", &with_key, post_to(beta, &[JSON, ("x-api-key", &sha256(b"beta-key"))], "{}")),
        ("no key", &with_key, post_to(beta, &[JSON, ("x-tenant-id", "beta")], "{}")),
        ("a signature instead of a key", &with_key, own().to(HOOK)),
        ("own signature, other tenant by path", &signed, own().to(beta)),
        ("own signature, other tenant by header", &signed, own().with("x-tenant-id", "beta").to("/events")),
        (
            "own signature, other tenant by header over path",
            &signed,
            own().with("x-tenant-id", "beta").to(HOOK),
        ),
        (
            "own signature, other tenant in the body",
            &signed,
            json(message(r#"{"tenant_id":"beta"}"#)).to(HOOK),
        ),
        ("own signature, higher tier", &signed, own().with("x-customer-tier", "enterprise").to(HOOK)),
        ("own signature over another body", &signed, Message { body: b"{}".into(), ..own() }.to(HOOK)),
        ("own signature, replayed with a new time", &signed, {
            let mut message = own();
            message.headers[1].1 = (NOW_SECONDS + 1).to_string();
            message.to(HOOK)
        }),
        ("own signature, replayed under another id", &signed, {
            let mut message = own();
            message.headers[0].1 = "msg_2".to_owned();
            message.to(HOOK)
        }),
        (
            "own signature, replayed too late",
            &signed,
            json(Message::signed(ACME_SECRET, "msg_1", NOW_SECONDS - 301, nothing)).to(HOOK),
        ),
        (
            "the secret that unknown tenants are compared with",
            &signed,
            json(Message::signed(NO_ONES_SECRET, "msg_1", NOW_SECONDS, nothing))
                .to("/v1/webhooks/gamma/events/new"),
        ),
        ("a key instead of a signature", &signed, post_to(HOOK, &[TEXT, ("x-api-key", "acme-key")], "x")),
    ];
    let total = attempts.len();
    let mut succeeded = 0;
    for (name, server, request) in attempts {
        let before = server.events().len();
        let answer = server.send(request).await;
        let has_stored = server.events().len() > before;
        succeeded += usize::from(has_stored || answer.status == 202);
        println!("{name:50} {:30} {}", answer.shown(), if has_stored { "STORED" } else { "nothing stored" });
        assert!([400, 401, 403, 422].contains(&answer.status.as_u16()), "{name}: {answer:?}");
    }
    println!("{succeeded} of {total} attempts succeeded");
    assert_eq!(succeeded, 0);
}

#[tokio::test]
async fn no_attempt_to_read_another_tenants_event_by_a_credential_succeeds() {
    let reader = crate::reader::MemoryReader::default();
    for tenant in ["acme", "beta"] {
        let mut event = crate::reader::event(tenant, "1", 0, &format!("tenants/{tenant}"));
        event.item = event.item.with_texts("x", &format!("of {tenant}"));
        reader.add(event);
    }
    let get = |path: &str, headers: &[(&str, &str)]| {
        let request = headers.iter().fold(Request::get(path), |all, (name, value)| all.header(*name, *value));
        request.body(Body::empty()).unwrap()
    };
    let keys = Server::reading_with_credentials(
        &document(),
        |config| config.auth.mode = AuthMode::ApiKey,
        Some(reader.clone()),
    )
    .await;
    let (acme, beta) = (("x-api-key", "acme-key"), ("x-api-key", "beta-key"));
    for path in ["/events/1", "/events"] {
        let own = keys.send(get(path, &[acme])).await;
        assert!(
            own.status == 200 && own.text.contains("of acme") && !own.text.contains("of beta"),
            "{own:?}"
        );
        for (headers, expected) in [
            (&[][..], "401 credential_missing"),
            (&[("x-tenant-id", "acme")], "401 credential_missing"),
            (&[("x-api-key", "acme")], "401 credential_invalid"),
            (&[beta, acme], "401 credential_invalid"),
            (&[beta, ("x-tenant-id", "acme")], "403 credential_mismatch"),
        ] {
            let answer = keys.send(get(path, headers)).await;
            assert_eq!(answer.shown(), expected, "{path} {headers:?}");
            assert!(!answer.text.contains("of acme"));
        }
    }

    let signatures = Server::reading_with_credentials(
        &document(),
        |config| config.auth.mode = AuthMode::Signature,
        Some(reader),
    )
    .await;
    let signed = |secret: &[u8], tenant: &str, body: &str| {
        let message = Message::signed(secret, "msg_1", NOW_SECONDS, body).with("x-tenant-id", tenant);
        let headers: Vec<_> = message.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        get("/events/1", &headers)
    };
    assert_eq!(signatures.send(signed(ACME_SECRET, "acme", "")).await.status, 200);
    // Another tenant's secret, and the signature of a message with events that someone recorded.
    for request in [signed(BETA_SECRET, "acme", ""), signed(ACME_SECRET, "acme", "{\"id\":\"1\"}")] {
        assert_eq!(signatures.send(request).await.shown(), "401 credential_invalid");
    }
}
