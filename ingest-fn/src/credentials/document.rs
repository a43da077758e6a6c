//! The document of credentials: JSON, checked whole. An error names the position, never a value: the value may be a secret.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use shared::id::TenantId;
use shared::tier::Tier;

use super::CredentialsError;
use crate::signature::Scheme;

/// The size of a webhook secret in bytes, by Standard Webhooks.
const WEBHOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The shortest secret that someone may have thought of, in bytes: a gateway's, or one for GitHub, Shopify or Stripe.
const TEXT_SECRET_BYTES: usize = 16;

/// What every credential proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) tenant: TenantId,
    pub(crate) tier: Tier,
}

/// A tenant with what it may sign with.
pub(crate) struct Tenant {
    pub(crate) identity: Identity,
    webhook_secrets: Vec<WebhookSecret>,
}

/// Finds the tenant of a credential.
#[derive(Default)]
pub(crate) struct Document {
    tenants: HashMap<TenantId, Tenant>,
    api_keys: HashMap<Hash, TenantId>,
    origin_secrets: Vec<Hash>,
}

/// The SHA-256 of a key. Two keys are compared by their hashes: how long that takes says nothing about a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Hash([u8; 32]);

/// A key of HMAC.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct WebhookSecret {
    scheme: Scheme,
    bytes: Vec<u8>,
}

impl Tenant {
    /// What messages of this scheme may be signed with.
    pub(crate) fn secrets(&self, scheme: Scheme) -> Vec<WebhookSecret> {
        self.webhook_secrets.iter().filter(|secret| secret.scheme == scheme).cloned().collect()
    }
}

impl WebhookSecret {
    /// `whsec_` and base64; or another scheme's prefix, and the secret as its sender shows it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut schemes = Scheme::ALL.into_iter();
        let (scheme, key) = schemes.find_map(|scheme| Some((scheme, text.strip_prefix(scheme.secret())?)))?;
        let (bytes, allowed) = match scheme {
            Scheme::Standard => (base64_simd::STANDARD.decode_to_vec(key).ok()?, WEBHOOK_SECRET_BYTES),
            _ => (key.into(), TEXT_SECRET_BYTES..=usize::MAX),
        };
        allowed.contains(&bytes.len()).then_some(Self { scheme, bytes })
    }

    /// A secret of no tenant. A signature of an unknown tenant is compared too, so that it takes as long.
    pub(crate) fn of_no_tenant() -> Self {
        Self { scheme: Scheme::Standard, bytes: vec![0; 32] }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    tenants: Vec<WrittenTenant>,
    #[serde(default)]
    origin_secrets: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTenant {
    tenant: String,
    tier: String,
    #[serde(default)]
    api_keys_sha256: Vec<String>,
    #[serde(default)]
    webhook_secrets: Vec<String>,
}

impl Document {
    pub(crate) fn parse(text: &str, allowed: &[Tier]) -> Result<Self, CredentialsError> {
        let written: Written = serde_json::from_str(text).map_err(|error| misread(&error))?;
        let mut document = Self::default();
        let mut secrets = HashMap::new();
        for (index, written) in written.tenants.into_iter().enumerate() {
            let at = format!("tenants[{index}]");
            let tenant = TenantId::parse(&written.tenant)
                .map_err(|_| invalid(format!("{at}.tenant is not a tenant id")))?;
            let tier = allowed.iter().find(|tier| tier.as_str() == written.tier).cloned();
            let tier = tier.ok_or_else(|| {
                let allowed: Vec<_> = allowed.iter().map(Tier::as_str).collect();
                invalid(format!("{at}.tier is not one of tiers.allowed: {}", allowed.join(", ")))
            })?;
            for (index, hash) in written.api_keys_sha256.iter().enumerate() {
                let at = format!("{at}.api_keys_sha256[{index}]");
                let hash = sha256_of_hex(hash.as_bytes())
                    .map(Hash)
                    .ok_or_else(|| invalid(format!("{at} is not a SHA-256 in 64 hexadecimal digits")))?;
                // A script makes it if its variable is not set. An empty header would be this key.
                if hash == Hash::of(b"") {
                    return Err(invalid(format!("{at} is the SHA-256 of an empty key: hash the key itself")));
                }
                alone(document.api_keys.insert(hash, tenant.clone()).as_ref(), &at, "API key", &tenant)?;
            }
            let mut webhook_secrets = Vec::new();
            for (index, secret) in written.webhook_secrets.iter().enumerate() {
                let at = format!("{at}.webhook_secrets[{index}]");
                let secret = WebhookSecret::parse(secret).ok_or_else(|| {
                    let others =
                        format!("`github:`, `shopify:` or `stripe:` and at least {TEXT_SECRET_BYTES} bytes");
                    invalid(format!("{at} is neither `whsec_` and 24 to 64 bytes in base64, nor {others}"))
                })?;
                alone(secrets.insert(secret.clone(), tenant.clone()).as_ref(), &at, "secret", &tenant)?;
                webhook_secrets.push(secret);
            }
            let identity = Identity { tenant: tenant.clone(), tier };
            if document.tenants.insert(tenant, Tenant { identity, webhook_secrets }).is_some() {
                return Err(invalid(format!("{at}.tenant is there twice: give it one entry")));
            }
        }
        for (index, secret) in written.origin_secrets.iter().enumerate() {
            if secret.len() < TEXT_SECRET_BYTES {
                let least = format!("shorter than {TEXT_SECRET_BYTES} bytes");
                return Err(invalid(format!("origin_secrets[{index}] is {least}: anyone could guess it")));
            }
            document.origin_secrets.push(Hash::of(secret.as_bytes()));
        }
        Ok(document)
    }

    pub(crate) fn tenant(&self, tenant: &TenantId) -> Option<&Tenant> {
        self.tenants.get(tenant)
    }

    /// Whom the key identifies.
    pub(crate) fn by_api_key(&self, key: &[u8]) -> Option<&Identity> {
        let tenant = self.api_keys.get(&Hash::of(key))?;
        self.tenants.get(tenant).map(|tenant| &tenant.identity)
    }

    pub(crate) fn has_origin_secret(&self, secret: &[u8]) -> bool {
        self.origin_secrets.contains(&Hash::of(secret))
    }
}

impl Hash {
    fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

/// The bytes of 64 hexadecimal digits, in either case.
pub(crate) fn sha256_of_hex(hex: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = hex.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    bytes.collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())?.try_into().ok()
}

/// A key that two tenants share would let one of them send as the other.
fn alone(
    earlier: Option<&TenantId>,
    at: &str,
    what: &str,
    tenant: &TenantId,
) -> Result<(), CredentialsError> {
    match earlier {
        Some(earlier) if earlier != tenant => {
            Err(invalid(format!("{at} is also the {what} of tenant `{earlier}`: give each its own")))
        }
        _ => Ok(()),
    }
}

fn invalid(problem: String) -> CredentialsError {
    CredentialsError::Invalid(problem)
}

/// `serde_json`'s own message may quote the value.
fn misread(error: &serde_json::Error) -> CredentialsError {
    let problem = if error.is_data() {
        "the credentials have a member that is unknown, missing, twice or of the wrong type"
    } else {
        "the credentials are not JSON"
    };
    invalid(format!("{problem}: line {}, column {}", error.line(), error.column()))
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} tenants)", self.tenants.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::config::Config;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse(text, &Config::default().tiers.allowed).map_err(|error| error.to_string())
    }

    fn tenant(members: &str) -> String {
        format!(r#"{{"tenants":[{{"tenant":"acme","tier":"pro"{members}}}]}}"#)
    }

    #[test]
    fn a_key_finds_its_tenant_by_its_hash_in_either_case() {
        let hash = shared::digest::sha256(b"key-1");
        for hash in [hash.to_uppercase(), hash] {
            let document = parse(&tenant(&format!(r#","api_keys_sha256":["{hash}"]"#))).unwrap();
            assert_eq!(document.by_api_key(b"key-1").unwrap().tenant.as_str(), "acme");
            assert_eq!(document.by_api_key(b"key-2"), None);
            assert_eq!(document.by_api_key(hash.as_bytes()), None, "the hash is no key");
        }
    }

    proptest! {
        #[test]
        fn only_the_right_key_is_accepted(right in "[!-~]{8,64}", other in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let hash = shared::digest::sha256(right.as_bytes());
            let document = parse(&tenant(&format!(r#","api_keys_sha256":["{hash}"]"#))).unwrap();
            prop_assert!(document.by_api_key(right.as_bytes()).is_some());
            prop_assert_eq!(document.by_api_key(&other).is_some(), other == right.as_bytes());
            let mut flipped = right.into_bytes();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            prop_assert!(document.by_api_key(&flipped).is_none());
        }
    }

    #[test]
    fn an_empty_document_knows_no_one() {
        for text in ["{}", r#"{"tenants":[]}"#] {
            assert_eq!(parse(text).unwrap().by_api_key(b""), None);
        }
    }

    #[test]
    fn an_error_names_the_position_and_no_value() {
        let error = |members: &str| parse(&tenant(members)).unwrap_err();
        insta::assert_snapshot!(error(r#","api_keys_sha256":["secret"]"#), @"tenants[0].api_keys_sha256[0] is not a SHA-256 in 64 hexadecimal digits (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(error(r#","webhook_secrets":["whsec_c2VjcmV0"]"#), @"tenants[0].webhook_secrets[0] is neither `whsec_` and 24 to 64 bytes in base64, nor `github:`, `shopify:` or `stripe:` and at least 16 bytes (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(error(r#","webhook_secrets":"secret""#), @"the credentials have a member that is unknown, missing, twice or of the wrong type: line 1, column 68 (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(error(r#","secret":1"#), @"the credentials have a member that is unknown, missing, twice or of the wrong type: line 1, column 50 (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(parse(r#"{"tenants":[{"tenant":"secret!","tier":"pro"}]}"#).unwrap_err(), @"tenants[0].tenant is not a tenant id (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(parse(r#"{"tenants":[{"tenant":"acme","tier":"secret"}]}"#).unwrap_err(), @"tenants[0].tier is not one of tiers.allowed: free, pro, enterprise (docs/deploy.md#credentials has an example)");
        insta::assert_snapshot!(parse(r#"{"origin_secrets":["secret"]}"#).unwrap_err(), @"origin_secrets[0] is shorter than 16 bytes: anyone could guess it (docs/deploy.md#credentials has an example)");
    }

    #[test]
    fn the_hash_of_an_empty_key_is_refused() {
        let hash = shared::digest::sha256(b"");
        let error = parse(&tenant(&format!(r#","api_keys_sha256":["{hash}"]"#))).unwrap_err();
        insta::assert_snapshot!(error, @"tenants[0].api_keys_sha256[0] is the SHA-256 of an empty key: hash the key itself (docs/deploy.md#credentials has an example)");
    }

    #[test]
    fn tenants_do_not_share_a_key_or_a_secret() {
        let two = |members: &str| {
            let one = |tenant: &str| format!(r#"{{"tenant":"{tenant}","tier":"pro",{members}}}"#);
            parse(&format!(r#"{{"tenants":[{},{}]}}"#, one("acme"), one("beta"))).unwrap_err()
        };
        insta::assert_snapshot!(two(&format!(r#""webhook_secrets":["{SECRET}"]"#)), @"tenants[1].webhook_secrets[0] is also the secret of tenant `acme`: give each its own (docs/deploy.md#credentials has an example)");
        let hash = shared::digest::sha256(b"key");
        insta::assert_snapshot!(two(&format!(r#""api_keys_sha256":["{hash}"]"#)), @"tenants[1].api_keys_sha256[0] is also the API key of tenant `acme`: give each its own (docs/deploy.md#credentials has an example)");
        let twice = r#"{"tenants":[{"tenant":"acme","tier":"pro"},{"tenant":"acme","tier":"free"}]}"#;
        insta::assert_snapshot!(parse(twice).unwrap_err(), @"tenants[1].tenant is there twice: give it one entry (docs/deploy.md#credentials has an example)");
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let document = parse(&tenant(&format!(r#","webhook_secrets":["{SECRET}"]"#))).unwrap();
        let secrets = &document.tenants.values().next().unwrap().webhook_secrets;
        assert_eq!(format!("{document:?} {secrets:?}"), "Document(1 tenants) [WebhookSecret(…)]");
    }
}
