//! The first stage: what a request's line and headers say, and whose it is. This is the one place that decides about tenant
//! and tier.

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName};
use shared::config::{AuthMode, Config};
use shared::format::facts::Source;
use shared::id::TenantId;
use shared::tier::Tier;
use shared::time::Timestamp;

use crate::cloudevents;
use crate::credentials::Identity;
use crate::media::{self, Coding, ContentType, MediaType};
use crate::rejection::{self, Rejection};
use crate::repeated::{distinct, values};
use crate::signature::{self, Scheme};

const TIER: HeaderName = HeaderName::from_static("x-customer-tier");
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
/// The first that is there counts.
const TRACES: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("x-amzn-trace-id")];

/// The longest trace header that travels with an event; a `traceparent` has 55 bytes, X-Ray's header some more.
/// A longer one is dropped: a trace is no reason to refuse an event.
const TRACE_BYTES: usize = 256;

/// What is known of a request before anything was checked.
#[derive(Debug)]
pub(crate) struct RawRequest<'a> {
    /// The tenant in the path, on the webhook route.
    pub(crate) tenant_in_path: Option<&'a str>,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
}

impl RawRequest<'_> {
    /// The tenant that path or header name, for people: nothing is checked.
    pub(crate) fn named_tenant(&self) -> Option<TenantId> {
        let header = || self.headers.get(TENANT)?.to_str().ok();
        TenantId::parse(self.tenant_in_path.or_else(header)?).ok()
    }
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) tier: Tier,
    /// The tenant of the credential, else the one that path or header name; else each event names its own.
    pub(crate) tenant: Option<TenantId>,
    /// Whether a credential proved it. Then an event cannot name another tenant.
    pub(crate) is_proven: bool,
}

/// A request with everything that its headers say about its events.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) source: Source,
    pub(crate) content_type: ContentType,
    /// Of a CloudEvent in binary mode, as a JSON object. The body is its data.
    pub(crate) attributes: Option<String>,
    pub(crate) coding: Coding,
    /// What a header names the events, if one does.
    pub(crate) named: Option<Named>,
    pub(crate) trace: Option<String>,
    pub(crate) received_at: Timestamp,
}

/// What a header (`ids.headers`) names the event, or what the ids of a batch's events begin with. The events of a batch of
/// CloudEvents have names of their own.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// The header is `webhook-id`. As Standard Webhooks define it, a message that is sent again has the same one, whatever
    /// else changed. All other headers may be used again by mistake.
    pub(crate) is_message: bool,
}

/// Decides tenant and tier. With a credential they are its own, and what path and headers name must agree.
pub(crate) fn sender(
    raw: &RawRequest<'_>,
    credential: Option<&Identity>,
    config: &Config,
) -> Result<Sender, Rejection> {
    let Some(Identity { tenant: own, tier }) = credential else {
        let tier = named_tier(raw.headers, config)?;
        return Ok(Sender { tier, tenant: tenant(raw)?, is_proven: false });
    };
    let sender = Sender { tier: tier.clone(), tenant: Some(own.clone()), is_proven: true };
    for named in distinct(raw.headers, TIER) {
        if named != tier.as_str().as_bytes() {
            return Err(Rejection::mismatch("tier", tier.as_str(), &shown(named)));
        }
    }
    for named in tenants(raw) {
        sender.agrees(&named?)?;
    }
    Ok(sender)
}

impl Sender {
    /// Fails if `named`, by the request or one of its events, is another tenant than the sender's.
    pub(crate) fn agrees(&self, named: &TenantId) -> Result<(), Rejection> {
        match &self.tenant {
            Some(own) if own != named && self.is_proven => {
                Err(Rejection::mismatch("tenant", own.as_str(), named.as_str()))
            }
            Some(own) if own != named => {
                Err(Rejection::TenantConflict { first: own.to_string(), second: named.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Checks media type and coding, and takes what travels with the events.
pub(crate) fn admit(raw: &RawRequest<'_>, config: &Config, now: Timestamp) -> Result<Admitted, Rejection> {
    let attributes = cloudevents::attributes(raw.headers)?;
    let content_type = media::content_type(raw.headers, attributes.is_some())?;
    // In structured mode, headers may repeat what the body says.
    let attributes = attributes.filter(|_| content_type.media_type != MediaType::CloudEvents);
    let source = match (raw.tenant_in_path, content_type.media_type) {
        (Some(_), _) => Source::Webhook,
        (None, MediaType::Text) => Source::TextUpload,
        (None, MediaType::Otlp(_)) => Source::Otlp,
        (None, _) => Source::JsonUpload,
    };
    Ok(Admitted {
        source,
        content_type,
        attributes,
        coding: media::coding(raw.headers)?,
        named: named(raw.headers, config)?,
        trace: trace(raw.headers),
        received_at: now,
    })
}

/// Who reads: the credential's tenant, else the tenant that the headers name, else the default. Nothing else of a request
/// decides it. A read needs no tier; its quota is that of the first one.
pub(crate) fn reader(
    raw: &RawRequest<'_>,
    credential: Option<&Identity>,
    config: &Config,
) -> Result<(Sender, TenantId), Rejection> {
    let sender = if credential.is_some() {
        sender(raw, credential, config)?
    } else {
        let tenant = tenant(raw)?.or_else(|| config.tenants.default.clone());
        Sender { tier: config.tiers.of_foreign().clone(), tenant, is_proven: false }
    };
    let tenant = sender.tenant.clone().ok_or(Rejection::ReaderTenantMissing)?;
    Ok((sender, tenant))
}

/// The tier that the header names, else the default.
fn named_tier(headers: &HeaderMap, config: &Config) -> Result<Tier, Rejection> {
    let tiers = &config.tiers;
    match distinct(headers, TIER)[..] {
        [] => tiers.default.clone().ok_or_else(|| Rejection::TierMissing { allowed: tiers.listed() }),
        [given] => {
            let named = tiers.allowed.iter().find(|tier| tier.as_str().as_bytes() == given);
            named
                .cloned()
                .ok_or_else(|| Rejection::TierNotAllowed { tier: shown(given), allowed: tiers.listed() })
        }
        [first, second, ..] => Err(Rejection::TierConflict { first: shown(first), second: shown(second) }),
    }
}

/// The one tenant that path and header name.
pub(crate) fn tenant(raw: &RawRequest<'_>) -> Result<Option<TenantId>, Rejection> {
    let mut first: Option<TenantId> = None;
    for named in tenants(raw) {
        let named = named?;
        match &first {
            Some(first) if *first != named => {
                return Err(Rejection::TenantConflict {
                    first: first.to_string(),
                    second: named.to_string(),
                });
            }
            _ => first = Some(named),
        }
    }
    Ok(first)
}

/// The tenants that path and header name.
fn tenants(raw: &RawRequest<'_>) -> impl Iterator<Item = Result<TenantId, Rejection>> {
    let in_path = raw.tenant_in_path.into_iter().map(|tenant| Ok(TenantId::parse(tenant)?));
    in_path
        .chain(given(raw.headers, TENANT).map(|value| Ok(TenantId::parse(&String::from_utf8_lossy(value))?)))
}

/// The values of a header. An empty one counts as not sent: it names nothing.
fn given(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &[u8]> {
    values(headers, name).filter(|value| !value.is_empty())
}

/// By the first of the headers that is given. It names one.
fn named(headers: &HeaderMap, config: &Config) -> Result<Option<Named>, Rejection> {
    let named = |name: &str| {
        let mut values = given(headers, name);
        let first = values.next()?;
        if let Some(second) = values.find(|value| *value != first) {
            let (header, first, second) = (name.to_owned(), shown(first), shown(second));
            return Some(Err(Rejection::EventIdConflict { header, first, second }));
        }
        let is_message = name.eq_ignore_ascii_case(signature::ID);
        let text = str::from_utf8(first).map_err(|_| Rejection::HeaderNotText(name.to_owned()));
        Some(text.map(|text| Named { name: text.to_owned(), is_message }))
    };
    match config.auth.mode {
        // Of the scheme, and no other: with one, a signed message that is sent again would be another event.
        AuthMode::Signature => Scheme::of(headers).id().and_then(named),
        AuthMode::None | AuthMode::ApiKey => config.ids.headers.iter().find_map(|name| named(name)),
    }
    .transpose()
}

pub(crate) fn trace(headers: &HeaderMap) -> Option<String> {
    let value = TRACES.into_iter().find_map(|name| given(headers, name).next())?;
    let trace = str::from_utf8(value).ok().filter(|trace| trace.is_ascii())?;
    (trace.len() <= TRACE_BYTES).then(|| trace.to_owned())
}

/// A header's value as an error shows it.
fn shown(value: &[u8]) -> String {
    rejection::shown(&String::from_utf8_lossy(value), 64)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn admit_with(
        tenant_in_path: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<(Sender, Admitted), Rejection> {
        let json = [("content-type", "application/json")];
        let all = json.iter().chain(headers).map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        // Appends: a later header of the same name does not replace the first.
        let mut map = HeaderMap::new();
        for (name, value) in all {
            map.append(name, value);
        }
        let raw = RawRequest { tenant_in_path, headers: &map };
        let config = Config::default();
        Ok((sender(&raw, None, &config)?, admit(&raw, &config, Timestamp::from_unix_ms(0))?))
    }

    fn refused(tenant_in_path: Option<&str>, headers: &[(&str, &str)]) -> String {
        admit_with(tenant_in_path, headers).unwrap_err().to_string()
    }

    #[test]
    fn only_an_allowed_tier_is_let_in_and_the_answer_names_them() {
        insta::assert_snapshot!(refused(None, &[("x-customer-tier", "gold")]), @"tier `gold` is not allowed (allowed: free, pro, enterprise)");
        insta::assert_snapshot!(refused(None, &[("x-customer-tier", "PRO")]), @"tier `PRO` is not allowed (allowed: free, pro, enterprise)");
        let twice = [("x-customer-tier", "free"), ("x-customer-tier", "pro")];
        insta::assert_snapshot!(refused(None, &twice), @"two tiers are named: `free` and `pro`");
        insta::assert_snapshot!(refused(None, &[("x-customer-tier", "free, pro")]), @"two tiers are named: `free` and `pro`");
        for same in
            [&[("x-customer-tier", "pro"), ("x-customer-tier", "pro")][..], &[("x-customer-tier", "pro,pro")]]
        {
            assert_eq!(admit_with(None, same).unwrap().0.tier.as_str(), "pro");
        }
        insta::assert_snapshot!(refused(None, &[]), @"the header `X-Customer-Tier` is missing (allowed: free, pro, enterprise): send it, or set `tiers.default`, or start with `--recipe robust-data-processor`");
    }

    #[test]
    fn path_and_header_may_name_the_tenant_if_they_agree() {
        let pro = ("x-customer-tier", "pro");
        let tenant = |path, headers: &[_]| admit_with(path, headers).unwrap().0.tenant.map(|t| t.to_string());
        assert_eq!(tenant(None, &[pro]), None);
        assert_eq!(tenant(Some("acme"), &[pro]).unwrap(), "acme");
        assert_eq!(tenant(Some("acme"), &[pro, ("x-tenant-id", "acme")]).unwrap(), "acme");
        insta::assert_snapshot!(refused(Some("acme"), &[pro, ("x-tenant-id", "beta")]), @"two tenants are named: `acme` and `beta`");
        insta::assert_snapshot!(refused(None, &[pro, ("x-tenant-id", "a"), ("x-tenant-id", "b")]), @"two tenants are named: `a` and `b`");
    }

    #[test]
    fn an_empty_header_names_nothing_and_no_tier() {
        let pro = ("x-customer-tier", "pro");
        let empty = [("x-tenant-id", " "), ("idempotency-key", ""), ("webhook-id", "w"), ("traceparent", "")];
        let (sender, admitted) =
            admit_with(None, &[&empty[..], &[pro, ("x-amzn-trace-id", "Root=1")]].concat()).unwrap();
        assert_eq!(sender.tenant, None);
        assert_eq!((admitted.named.unwrap().name.as_str(), admitted.trace.as_deref()), ("w", Some("Root=1")));
        let none = [pro, ("idempotency-key", ""), ("webhook-id", "")];
        assert!(admit_with(None, &none).unwrap().1.named.is_none());
        // A filter lets in what it lists.
        insta::assert_snapshot!(refused(None, &[("x-customer-tier", "")]), @"tier `` is not allowed (allowed: free, pro, enterprise)");
    }

    #[test]
    fn the_tenant_whose_events_are_read_is_in_the_header_or_the_default() {
        let read = |headers: &[&'static str], default: Option<&str>| {
            let headers = headers.iter().map(|tenant| (HeaderName::from_static("x-tenant-id"), *tenant));
            let mut map = HeaderMap::new();
            for (name, tenant) in headers {
                map.append(name, HeaderValue::from_static(tenant));
            }
            let mut config = Config::default();
            config.tenants.default = default.map(|tenant| TenantId::parse(tenant).unwrap());
            let raw = RawRequest { tenant_in_path: None, headers: &map };
            match reader(&raw, None, &config) {
                Ok((_, tenant)) => tenant.to_string(),
                Err(rejection) => rejection.to_string(),
            }
        };
        assert_eq!(read(&["acme"], None), "acme");
        assert_eq!(read(&["acme", "acme"], Some("beta")), "acme");
        assert_eq!(read(&[], Some("beta")), "beta");
        insta::assert_snapshot!(read(&[], None), @"no tenant is named: use the header `X-Tenant-ID`, or set `tenants.default`");
        insta::assert_snapshot!(read(&["acme", "beta"], None), @"two tenants are named: `acme` and `beta`");
        assert_eq!(read(&["acme,acme"], Some("beta")), "acme");
        insta::assert_snapshot!(read(&["acme,beta"], Some("beta")), @"two tenants are named: `acme` and `beta`");
        // An empty one names nothing, and hides no other.
        assert_eq!(read(&[",acme", ""], None), "acme");
        insta::assert_snapshot!(read(&[",acme,beta"], None), @"two tenants are named: `acme` and `beta`");
    }

    #[test]
    fn the_webhook_path_makes_the_source_webhook_whatever_the_media_type() {
        let pro = ("x-customer-tier", "pro");
        assert_eq!(admit_with(Some("acme"), &[pro]).unwrap().1.source, Source::Webhook);
        assert_eq!(admit_with(None, &[pro]).unwrap().1.source, Source::JsonUpload);
    }

    #[test]
    fn a_trace_is_taken_along_unless_it_is_too_long() {
        let trace = |headers: &[(&str, &str)]| {
            admit_with(None, &[&[("x-customer-tier", "pro")], headers].concat()).unwrap().1.trace
        };
        assert_eq!(
            trace(&[("traceparent", "00-a-b-01"), ("x-amzn-trace-id", "Root=1")]).unwrap(),
            "00-a-b-01"
        );
        assert_eq!(trace(&[("x-amzn-trace-id", "Root=1")]).unwrap(), "Root=1");
        assert_eq!(trace(&[("traceparent", &"x".repeat(257))]), None);
    }
}
