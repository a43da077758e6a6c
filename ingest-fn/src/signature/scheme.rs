//! Whose way of signing a message follows: one table, with a row for each sender. All are HMAC-SHA256 with a secret of the
//! tenant over the body's exact bytes; they differ in the headers, and in what is signed before the body.

use http::HeaderMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// `v1,` and base64, over `{id}.{time}.{body}`: <https://www.standardwebhooks.com>
    Standard,
    /// `sha256=` and hexadecimal digits, over the body:
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    GitHub,
    /// Base64, over the body: <https://shopify.dev/docs/apps/build/webhooks/subscribe/https>
    Shopify,
    /// `t={time},v1={hexadecimal digits}`, over `{time}.{body}`: <https://docs.stripe.com/webhooks#verify-manually>
    Stripe,
}

impl Scheme {
    pub(crate) const ALL: [Self; 4] = [Self::Standard, Self::GitHub, Self::Shopify, Self::Stripe];

    /// The scheme of a request, by the header of its signature. A request without any lacks what the standard asks for.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|scheme| headers.contains_key(scheme.signature())).unwrap_or(Self::Standard)
    }

    /// The header with the signature.
    pub(crate) fn signature(self) -> &'static str {
        match self {
            Self::Standard => "webhook-signature",
            Self::GitHub => "x-hub-signature-256",
            Self::Shopify => "x-shopify-hmac-sha256",
            Self::Stripe => "stripe-signature",
        }
    }

    /// The header that names the message. It is signed only by the standard. Stripe's messages have their id in the body.
    pub(crate) fn id(self) -> Option<&'static str> {
        match self {
            Self::Standard => Some(super::ID),
            Self::GitHub => Some("x-github-delivery"),
            Self::Shopify => Some("x-shopify-webhook-id"),
            Self::Stripe => None,
        }
    }

    /// What its secrets begin with in the document of credentials. A secret is for one scheme: what is signed by the standard
    /// would otherwise be a signed body by another one.
    pub(crate) fn secret(self) -> &'static str {
        match self {
            Self::Standard => "whsec_",
            Self::GitHub => "github:",
            Self::Shopify => "shopify:",
            Self::Stripe => "stripe:",
        }
    }
}
