//! Credentials over real HTTP, from a file that changes while the pipeline runs. What each wrong credential is answered,
//! `ingest-fn` tests; this module tests what is stored in the end.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::digest::sha256;
use tempfile::TempDir;
use tests::site::{DEADLINE, LocalRun, Site, answer, eventually};

const ACME_SECRET: &[u8] = &[1; 24];
const BETA_SECRET: &[u8] = &[2; 24];

/// A file of credentials, and pipelines that read it.
struct Credentials(TempDir);

impl Credentials {
    fn new() -> Self {
        let credentials = Self(tempfile::tempdir().unwrap());
        credentials.write(&document("acme-key").to_string());
        credentials
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("credentials.json")
    }

    fn write(&self, text: &str) {
        // Renamed when it is whole, because the pipeline may read it at any moment.
        let aside = self.path().with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, self.path()).unwrap();
    }

    fn site(&self, mode: &str) -> Site {
        crate::site().configuration(&format!(
            "[auth]\nmode = \"{mode}\"\ncredentials_file = '{}'\nrefresh_seconds = 1",
            self.path().display()
        ))
    }
}

/// Of two tenants. `beta` has the key `beta-key`.
fn document(acme_key: &str) -> Value {
    let tenant = |name: &str, tier: &str, key: &str, secret: &[u8]| {
        let secret = format!("whsec_{}", base64_simd::STANDARD.encode_to_string(secret));
        json!({
            "tenant": name, "tier": tier,
            "api_keys_sha256": [sha256(key.as_bytes())], "webhook_secrets": [secret],
        })
    };
    json!({ "tenants": [
        tenant("acme", "enterprise", acme_key, ACME_SECRET),
        tenant("beta", "free", "beta-key", BETA_SECRET),
    ] })
}

fn with_key(pipeline: &LocalRun, path: &str, key: &str, body: &Value) -> RequestBuilder {
    let request = pipeline.client.post(format!("{}{path}", pipeline.url)).timeout(DEADLINE);
    request.header("X-Api-Key", key).json(body)
}

fn seconds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the pipeline under test reads the system's clock")]
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn signed(
    pipeline: &LocalRun,
    tenant: &str,
    secret: &[u8],
    id: &str,
    seconds: u64,
    body: &str,
) -> RequestBuilder {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes());
    let url = format!("{}/v1/webhooks/{tenant}/events/new", pipeline.url);
    let request = pipeline.client.post(url).timeout(DEADLINE).header("Content-Type", "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
    request.header("webhook-signature", format!("v1,{signature}")).body(body.to_owned())
}

async fn code(request: RequestBuilder) -> String {
    let (status, body) = answer(request).await;
    format!("{status} {}", body["code"].as_str().unwrap_or_default()).trim_end().to_owned()
}

fn item_key(tenant: &str, id: &str) -> (String, String) {
    (format!("tenants/{tenant}"), format!("processed_logs/{id}"))
}

#[tokio::test]
async fn an_event_is_stored_for_the_tenant_and_the_tier_of_its_key() {
    let credentials = Credentials::new();
    let site = credentials.site("api_key");
    let pipeline = site.start();
    let request = with_key(&pipeline, "/ingest", "acme-key", &json!({"id": "1", "text": "x"}));
    assert_eq!(answer(request).await, (202, json!({"status": "success", "event_id": "1"})));
    eventually("the line in the archive", || site.stored().lines().pop()).await;
    assert_eq!(site.stored().items()[&item_key("acme", "1")].tier, "enterprise");
}

#[tokio::test]
async fn a_signed_message_that_is_sent_again_is_stored_once() {
    let credentials = Credentials::new();
    let site = credentials.site("signature");
    let pipeline = site.start();
    let now = seconds();
    for _ in 0..3 {
        assert_eq!(
            code(signed(&pipeline, "acme", ACME_SECRET, "msg_1", now, r#"{"text":"x"}"#)).await,
            "202"
        );
    }
    // The client's library signs each attempt anew.
    assert_eq!(
        code(signed(&pipeline, "acme", ACME_SECRET, "msg_1", now - 1, r#"{"text":"x"}"#)).await,
        "202"
    );
    pipeline.metric_reaches("events_deduplicated", 3).await;
    let stored = site.stored();
    assert_eq!(stored.items().into_keys().collect::<Vec<_>>(), [item_key("acme", "msg_1")]);
    assert_eq!(stored.archived().into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_key_is_replaced_while_the_pipeline_runs_and_a_broken_file_changes_nothing() {
    let credentials = Credentials::new();
    let site = credentials.site("api_key");
    let pipeline = site.start();
    let accepted =
        async |key: &str| code(with_key(&pipeline, "/ingest", key, &json!({"text": "x"}))).await == "202";
    let until = async |key: &str, expected: bool| {
        let end = std::time::Instant::now() + DEADLINE;
        while accepted(key).await != expected {
            assert!(std::time::Instant::now() < end, "{key} is not {expected} within {DEADLINE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(accepted("acme-key").await && !accepted("new-key").await);
    credentials.write(&document("new-key").to_string());
    until("new-key", true).await;
    assert!(!accepted("acme-key").await);

    credentials.write(r#"{"tenants":[{"tenant":"acme","tier":"pro","webhook_secrets":["whsec_c2VjcmV0"]}]}"#);
    let failures = async || pipeline.metric("credential_refresh_failures").await;
    let end = std::time::Instant::now() + DEADLINE;
    while failures().await == 0 {
        assert!(accepted("new-key").await);
        assert!(std::time::Instant::now() < end, "the broken file was not read within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(accepted("new-key").await);
    let log = pipeline.stop_and_read_log();
    assert!(log.contains("tenants[0].webhook_secrets[0] is neither"), "{log}");
    assert!(!log.contains("c2VjcmV0") && !log.contains("new-key"), "a secret was logged: {log}");
}

#[tokio::test]
async fn no_attempt_on_another_tenants_events_succeeds() {
    let credentials = Credentials::new();
    let with_keys = credentials.site("api_key");
    let keys = with_keys.start();
    let own = json!({"id": "1", "text": "the tenant's own"});
    assert_eq!(code(with_key(&keys, "/ingest", "beta-key", &own)).await, "202");
    pipeline_stores(&with_keys, 1).await;

    let attack = json!({"id": "1", "text": "overwritten"});
    let named = json!({"tenant_id": "beta", "id": "1", "text": "overwritten"});
    let hook = "/v1/webhooks/beta/events/new";
    let attempts = [
        ("by header", with_key(&keys, "/ingest", "acme-key", &attack).header("X-Tenant-ID", "beta")),
        ("by path", with_key(&keys, hook, "acme-key", &attack)),
        ("by body", with_key(&keys, "/ingest", "acme-key", &named)),
        ("by a batch", with_key(&keys, "/ingest", "acme-key", &json!([named]))),
        (
            "by a higher tier",
            with_key(&keys, "/ingest", "beta-key", &attack).header("X-Customer-Tier", "enterprise"),
        ),
        ("by a wrong key", with_key(&keys, hook, "beta-kez", &attack)),
        ("by the hash of the key", with_key(&keys, hook, &sha256(b"beta-key"), &attack)),
        (
            "by two keys",
            with_key(&keys, hook, "acme-key", &attack).header("Authorization", "Bearer beta-key"),
        ),
        ("without a key", keys.client.post(format!("{}{hook}", keys.url)).json(&attack)),
    ];
    let mut succeeded = report("key", attempts).await;

    let with_signatures = credentials.site("signature");
    let signatures = with_signatures.start();
    let (now, body) = (seconds(), r#"{"id":"1","text":"overwritten"}"#);
    let by_acme = |tenant| signed(&signatures, tenant, ACME_SECRET, "msg_1", now, body);
    let by_beta = |seconds, body| signed(&signatures, "beta", BETA_SECRET, "msg_1", seconds, body);
    let replace = |request: RequestBuilder, name: &'static str, value: &str| {
        let (client, request) = request.build_split();
        let mut request = request.unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        RequestBuilder::from_parts(client, request)
    };
    let attempts = [
        ("by path", by_acme("beta")),
        ("by header", by_acme("acme").header("X-Tenant-ID", "beta")),
        ("by body", signed(&signatures, "acme", ACME_SECRET, "msg_1", now, &named.to_string())),
        ("a captured message with another body", by_beta(now, body).body(r#"{"id":"1"}"#)),
        ("a captured message under another id", replace(by_beta(now, body), "webhook-id", "msg_2")),
        (
            "a captured message with a new time",
            replace(by_beta(now, body), "webhook-timestamp", &(now + 1).to_string()),
        ),
        ("a captured message after ten minutes", by_beta(now - 600, body)),
        ("without a signature", signatures.client.post(format!("{}{hook}", signatures.url)).json(&attack)),
    ];
    succeeded += report("signature", attempts).await;
    println!("{succeeded} attempts succeeded");
    assert_eq!(succeeded, 0);

    keys.stop();
    signatures.stop();
    assert_eq!(with_signatures.stored().records(), 0);
    let stored = with_keys.stored();
    assert_eq!(stored.records(), 1);
    assert_eq!(stored.items()[&item_key("beta", "1")].original_text, "the tenant's own");
}

async fn pipeline_stores(site: &Site, items: usize) {
    eventually("the items", || (site.stored().items().len() == items).then_some(())).await;
}

/// Prints the attempts with their answers. Returns how many succeeded.
async fn report<const N: usize>(credential: &str, attempts: [(&str, RequestBuilder); N]) -> usize {
    let mut succeeded = 0;
    for (name, request) in attempts {
        let code = code(request).await;
        println!("{credential:9} {name:40} {code}");
        succeeded += usize::from(code.starts_with('2'));
    }
    succeeded
}

#[test]
fn a_local_run_without_the_file_says_which_key_to_set() {
    let site = crate::site().configuration("[auth]\nmode = \"api_key\"");
    let output = site.to_run(&["local", "--listen", "127.0.0.1:0"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("`auth.mode` needs credentials: set `auth.credentials_file`"), "{errors}");
}
