//! What is verified, and how a check talks to it: requests to the Function URL, and waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use accept::client::{Answer, Call, Client};
use anyhow::{Context, ensure};
use aws_config::SdkConfig;
use aws_sdk_lambda::types::FunctionUrlAuthType;
use serde_json::Value;
use shared::config::Config;
use shared::id::TenantId;
use shared::time::{Clock, Timestamp};
use tokio::time::Instant;

use super::Options;
use crate::deployment::AwsDeployment;
use crate::doctor::ALIAS;
use crate::query::signed;
use crate::stack::{self, Stack};

/// What every name of a run begins with: ids of events, and the stack of the probe after the name of the stack.
pub(super) const MARK: &str = "verify-";

pub(super) struct Site {
    pub(super) sdk: SdkConfig,
    pub(super) stack: Stack,
    pub(super) deployment: AwsDeployment,
    pub(super) config: Config,
    /// The metrics' dimension.
    pub(super) stage: String,
    pub(super) tenant: TenantId,
    /// Such as `verify-20261128t184711`. Ids of this run's events begin with it.
    pub(super) run: String,
    pub(super) begun: Timestamp,
    client: Client,
    url: String,
    /// Sent with each request.
    headers: Vec<(String, String)>,
    is_signed: bool,
    /// The longest that anything is waited for.
    limit: Option<Duration>,
    accepted: Mutex<Vec<String>>,
}

impl Site {
    /// Fails if the stack is not there or cannot be read.
    pub(super) async fn open(sdk: &SdkConfig, name: &str, options: Options) -> anyhow::Result<Self> {
        let stack = stack::find(sdk, name).await?;
        let Options { config, url, headers, tenant, limit, .. } = options;
        let url = url.unwrap_or_else(|| stack.url.clone()).trim_end_matches('/').to_owned();
        let lambda = aws_sdk_lambda::Client::new(sdk);
        let stage = stack::stage(sdk, &stack).await?.unwrap_or_default();
        let address = lambda
            .get_function_url_config()
            .function_name(&stack.ingest_function)
            .qualifier(ALIAS)
            .send()
            .await;
        let is_signed = address.is_ok_and(|found| found.auth_type == FunctionUrlAuthType::AwsIam);
        let headers = if headers.is_empty() {
            // Without credentials, headers name tenant and tier.
            let tier = config.tiers.of_foreign().as_str().to_owned();
            vec![("x-tenant-id".to_owned(), tenant.as_str().to_owned()), ("x-customer-tier".to_owned(), tier)]
        } else {
            headers
        };
        let begun = Clock::system().now();
        Ok(Self {
            deployment: AwsDeployment::open(sdk, stack.resources.clone()).await?,
            client: Client::new(&url)?,
            stage,
            run: run_name(begun),
            sdk: sdk.clone(),
            accepted: Mutex::default(),
            stack,
            config,
            tenant,
            begun,
            url,
            headers,
            is_signed,
            limit,
        })
    }

    /// Posts to `/ingest`. The event has the id `id` of this run. An error means that there was no answer.
    pub(super) async fn post(
        &self,
        id: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let mut all: Vec<(String, String)> = self.headers.clone();
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all.push(("idempotency-key".to_owned(), self.id(id)));
        let media_type = all.iter().position(|(name, _)| name == "content-type");
        let media_type = media_type.map_or(String::new(), |at| all.remove(at).1);
        let mut call = Call::post(PATH, &media_type, body.clone());
        for (name, value) in &all {
            call = call.header(name.clone(), value.clone());
        }
        let answer = self.client.send(self.signed("POST", PATH, call, &body).await?).await?;
        if answer.status == 202 {
            self.accepted().extend(ids(&answer.json()));
        }
        Ok(answer)
    }

    /// `GET /health` on a connection of its own.
    pub(super) async fn health(&self) -> anyhow::Result<Answer> {
        let call = self.signed("GET", "/health", Call::get("/health"), b"").await?;
        let answer = Client::new(&self.url)?.send(call).await?;
        ensure!(answer.status == 200, "GET /health: {answer}");
        Ok(answer)
    }

    async fn signed(&self, method: &str, path: &str, mut call: Call, body: &[u8]) -> anyhow::Result<Call> {
        if !self.is_signed {
            return Ok(call);
        }
        let region = self.sdk.region().context("no region is set: AWS_REGION")?;
        let url = format!("{}{path}", self.url);
        let scope = ("lambda", region.as_ref());
        for (name, value) in signed(&self.sdk, scope, (method, &url), &[], body).await? {
            call = call.header(name, value);
        }
        Ok(call)
    }

    pub(super) fn id(&self, id: &str) -> String {
        format!("{}-{id}", self.run)
    }

    /// The ids that this run has sent and that were accepted.
    pub(super) fn accepted(&self) -> MutexGuard<'_, Vec<String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One event at least, for a check that looks at what the others have sent.
    pub(super) async fn any_event(&self) -> anyhow::Result<()> {
        if self.accepted().is_empty() {
            let answer =
                self.post("any", &[("content-type", "text/plain")], b"an event of verify".to_vec()).await?;
            ensure!(answer.status == 202, "no event was accepted: {answer}");
        }
        Ok(())
    }

    /// Calls `look` every `every` until it finds something. `None` after `limit`.
    pub(super) async fn wait<T>(
        &self,
        limit: Duration,
        every: Duration,
        look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        wait(self.limit.map_or(limit, |most| most.min(limit)), every, look).await
    }

    /// The same, where `--limit` does not count.
    pub(super) async fn wait_long<T>(
        &self,
        limit: Duration,
        every: Duration,
        look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        wait(limit, every, look).await
    }
}

const PATH: &str = "/ingest";

/// Names with lower-case letters, digits and hyphens are allowed everywhere. The time orders them.
fn run_name(begun: Timestamp) -> String {
    let digits: String = begun.to_string().chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    format!("{MARK}{}", digits.to_lowercase())
}

/// The ids of an answer: of one event, or of a batch.
fn ids(answer: &Value) -> Vec<String> {
    let events = answer["events"].as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    events.iter().filter_map(|event| event["event_id"].as_str().map(str::to_owned)).collect()
}

async fn wait<T>(
    limit: Duration,
    every: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_the_name_of_its_second() {
        assert_eq!(run_name(Timestamp::from_unix_ms(1_764_072_000_125)), "verify-20251125t120000");
    }

    #[test]
    fn ids_are_read_from_both_forms_of_an_answer() {
        let check = |json: &str| ids(&serde_json::from_str(json).unwrap());
        assert_eq!(check(r#"{"status":"success","event_id":"a"}"#), ["a"]);
        assert_eq!(check(r#"{"status":"success","events":[{"index":0,"event_id":"a#1"}]}"#), ["a#1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_what_is_found_or_at_the_limit() {
        let check = async |found_at: u32| {
            let mut looks = 0;
            let look = async || {
                looks += 1;
                Ok((looks == found_at).then_some(looks))
            };
            wait(Duration::from_secs(10), Duration::from_secs(3), look).await.unwrap()
        };
        assert_eq!((check(1).await, check(4).await, check(9).await), (Some(1), Some(4), None));
    }
}
