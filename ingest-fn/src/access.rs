//! Who sends a request, and whether it may: origin, credential and quota. What the sender's tenant and tier are is decided
//! in `admit.rs`.
//!
//! A key is checked before the body is read. A signature is over the body, so it is checked after that; until then the
//! tenant is only claimed, and nothing is charged to it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use shared::config::{AuthMode, Config};
use shared::id::TenantId;
use shared::time::{Clock, Timestamp};

use crate::admit::{self, RawRequest, Sender};
use crate::credentials::{Credentials, Document, Identity, WebhookSecret};
use crate::offload::offload;
use crate::quota::Quotas;
use crate::rejection::Rejection;
use crate::repeated::values;
use crate::signature::{SignedHeaders, Unsigned};

#[derive(Debug)]
pub(crate) struct Access {
    config: Arc<Config>,
    credentials: Credentials,
    quotas: Quotas,
}

/// What is known of the sender before the body.
#[derive(Debug)]
pub(crate) enum Caller {
    Known(Sender),
    Signed(Signed),
}

/// The credential of a request.
enum Proof {
    NotNeeded,
    Key(Identity),
    /// It proves something only together with the body.
    Signed(Signed),
}

/// A message that names its tenant, with what it must be signed with.
#[derive(Debug)]
pub(crate) struct Signed {
    headers: SignedHeaders,
    secrets: Vec<WebhookSecret>,
    /// `None`: there is no such tenant, or it has no secret of the message's scheme.
    identity: Option<Identity>,
}

impl Access {
    pub(crate) fn new(config: Arc<Config>, credentials: Credentials, clock: &Clock) -> Self {
        let quotas = Quotas::new(&config, clock);
        Self { config, credentials, quotas }
    }

    /// Checks what can be checked without the body.
    pub(crate) async fn before_body(
        &self,
        raw: &RawRequest<'_>,
        now: Timestamp,
    ) -> Result<Caller, Rejection> {
        let identity = match self.proof(raw, now).await? {
            Proof::NotNeeded => None,
            Proof::Key(identity) => Some(identity),
            Proof::Signed(signed) => return Ok(Caller::Signed(signed)),
        };
        let sender = admit::sender(raw, identity.as_ref(), &self.config)?;
        self.quotas.request(&sender)?;
        Ok(Caller::Known(sender))
    }

    /// Checks the rest. `body` is what came, before decompression; for a request without a body it is empty.
    pub(crate) async fn after_body(
        &self,
        caller: Caller,
        raw: &RawRequest<'_>,
        body: &Bytes,
    ) -> Result<Sender, Rejection> {
        let signed = match caller {
            Caller::Known(sender) => return Ok(sender),
            Caller::Signed(signed) => signed,
        };
        let (bytes, body) = (body.len(), body.clone());
        let identity = offload(bytes, move || signed.identity(&body)).await;
        let identity = identity.ok_or_else(|| self.invalid())?;
        let sender = admit::sender(raw, Some(&identity), &self.config)?;
        self.quotas.request(&sender)?;
        Ok(sender)
    }

    /// The tenant that a request reads events of.
    pub(crate) async fn reader(&self, raw: &RawRequest<'_>, now: Timestamp) -> Result<TenantId, Rejection> {
        let identity = match self.proof(raw, now).await? {
            Proof::NotNeeded => None,
            Proof::Key(identity) => Some(identity),
            // A read has no body: its signature is over an empty one.
            Proof::Signed(signed) => Some(signed.identity(b"").ok_or_else(|| self.invalid())?),
        };
        let (sender, tenant) = admit::reader(raw, identity.as_ref(), &self.config)?;
        self.quotas.request(&sender)?;
        Ok(tenant)
    }

    /// Charges the body to the sender, as it came.
    pub(crate) fn charge_received(&self, sender: &Sender, bytes: usize) -> Result<(), Rejection> {
        self.quotas.received(sender, bytes)
    }

    /// Charges what decompression added, or what small events count more than their bytes.
    pub(crate) fn charge_found(&self, sender: &Sender, bytes: usize) {
        self.quotas.found(sender, bytes);
    }

    /// The gateway's secret is checked, and the credential is found.
    async fn proof(&self, raw: &RawRequest<'_>, now: Timestamp) -> Result<Proof, Rejection> {
        let auth = &self.config.auth;
        if auth.needs_credentials().is_none() {
            return Ok(Proof::NotNeeded);
        }
        let credentials = self.credentials.current().await;
        if let Some(name) = &auth.origin_header {
            let mut values = raw.headers.get_all(name).iter();
            let is_right = |value: &http::HeaderValue| credentials.has_origin_secret(value.as_bytes());
            if !values.next().is_some_and(is_right) || values.next().is_some() {
                return Err(Rejection::OriginRefused);
            }
        }
        Ok(match auth.mode {
            AuthMode::None => Proof::NotNeeded,
            AuthMode::ApiKey => Proof::Key(by_api_key(raw.headers, &credentials)?),
            AuthMode::Signature => Proof::Signed(self.claimed(raw, &credentials, now)?),
        })
    }

    fn claimed(
        &self,
        raw: &RawRequest<'_>,
        credentials: &Document,
        now: Timestamp,
    ) -> Result<Signed, Rejection> {
        let headers = SignedHeaders::read(raw.headers, now, self.config.auth.tolerance());
        let headers = headers.map_err(|unsigned| match unsigned {
            Unsigned::Missing => Rejection::CredentialMissing(AuthMode::Signature),
            Unsigned::Invalid => self.invalid(),
        })?;
        let named = admit::tenant(raw)?.or_else(|| self.config.tenants.default.clone());
        let tenant = named.and_then(|tenant| credentials.tenant(&tenant));
        let secrets = tenant.map(|tenant| tenant.secrets(headers.scheme)).unwrap_or_default();
        Ok(match tenant.filter(|_| !secrets.is_empty()) {
            Some(tenant) => Signed { headers, secrets, identity: Some(tenant.identity.clone()) },
            None => Signed { headers, secrets: vec![WebhookSecret::of_no_tenant()], identity: None },
        })
    }

    fn invalid(&self) -> Rejection {
        Rejection::CredentialInvalid(self.config.auth.mode)
    }
}

impl Signed {
    /// An unknown tenant's message is compared too, so that the time until the answer does not tell which tenants exist.
    fn identity(self, body: &[u8]) -> Option<Identity> {
        let is_signed = self.headers.is_by(&self.secrets, body);
        self.identity.filter(|_| is_signed)
    }
}

/// The key may be in both headers, but it must be one.
fn by_api_key(headers: &HeaderMap, credentials: &Document) -> Result<Identity, Rejection> {
    // Another scheme is not ours: a signature for IAM is in the same header.
    let bearer = values(headers, "authorization").filter_map(|value| {
        let (scheme, key) = value.split_at_checked("bearer".len())?;
        let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && (key.is_empty() || key.starts_with(b" "));
        is_bearer.then(|| key.trim_ascii())
    });
    let mut keys = bearer.chain(values(headers, "x-api-key"));
    let key = keys.next().ok_or(Rejection::CredentialMissing(AuthMode::ApiKey))?;
    let identity = credentials.by_api_key(key).filter(|_| keys.all(|other| other == key));
    identity.cloned().ok_or(Rejection::CredentialInvalid(AuthMode::ApiKey))
}
