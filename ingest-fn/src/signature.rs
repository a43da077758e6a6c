//! Signed messages: HMAC-SHA256 over the body's exact bytes, by one of the [schemes](Scheme). The crate `standardwebhooks` is
//! not used: it refuses bodies that are not UTF-8, which compressed ones are not, reads the system's clock, and has a fixed
//! tolerance.

mod scheme;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use shared::time::Timestamp;

pub(crate) use self::scheme::Scheme;
use crate::credentials::{WebhookSecret, sha256_of_hex};
use crate::repeated::{distinct, values};

pub(crate) const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";

/// What a signed message's headers say, before the signature was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedHeaders {
    pub(crate) scheme: Scheme,
    /// What is signed before the body.
    prefix: String,
    signatures: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// A header of the scheme is not there.
    Missing,
    /// One of them cannot be right, or the time is too far from now.
    Invalid,
}

impl SignedHeaders {
    pub(crate) fn read(headers: &HeaderMap, now: Timestamp, tolerance: Duration) -> Result<Self, Unsigned> {
        let scheme = Scheme::of(headers);
        // The parts of the signature's header that begin with this. A header that is there twice is one with more parts.
        let parts = |prefix: &'static [u8]| {
            values(headers, scheme.signature()).filter_map(move |part| part.strip_prefix(prefix))
        };
        let (prefix, signatures) = match scheme {
            Scheme::Standard => {
                let (id, timestamp) = (single(headers, ID)?, single(headers, TIMESTAMP)?);
                // A full stop separates what is signed. With one in the id, a signed message could be cut in another place.
                if id.trim_ascii().is_empty() || id.contains('.') || !is_near(timestamp, now, tolerance) {
                    return Err(Unsigned::Invalid);
                }
                if !headers.contains_key(scheme.signature()) {
                    return Err(Unsigned::Missing);
                }
                // Several, while a sender changes its secret: `v1,… v1,…`. Those of other versions are not ours to check.
                let words = parts(b"").flat_map(|list| list.split(|byte| *byte == b' '));
                let mut is_ours = false;
                let signatures = words.filter_map(|word| {
                    let follows = std::mem::replace(&mut is_ours, word == b"v1");
                    follows.then(|| of_base64(word))?
                });
                (format!("{id}.{timestamp}."), signatures.collect())
            }
            Scheme::GitHub => (String::new(), parts(b"sha256=").filter_map(sha256_of_hex).collect()),
            Scheme::Shopify => (String::new(), parts(b"").filter_map(of_base64).collect()),
            Scheme::Stripe => {
                let timestamp = parts(b"t=").next().and_then(|timestamp| str::from_utf8(timestamp).ok());
                let timestamp = timestamp.filter(|timestamp| is_near(timestamp, now, tolerance));
                let timestamp = timestamp.ok_or(Unsigned::Invalid)?;
                if parts(b"t=").any(|other| other != timestamp.as_bytes()) {
                    return Err(Unsigned::Invalid);
                }
                // Signatures of other versions, such as `v0` of Stripe's test events, are not ours to check.
                (format!("{timestamp}."), parts(b"v1=").filter_map(sha256_of_hex).collect())
            }
        };
        Ok(Self { scheme, prefix, signatures })
    }

    /// Whether the message was signed with one of `secrets`, which are of its scheme. All are tried, whichever is right.
    pub(crate) fn is_by(&self, secrets: &[WebhookSecret], body: &[u8]) -> bool {
        let mut is_signed = false;
        for secret in secrets {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes a key of any length");
            mac.update(self.prefix.as_bytes());
            mac.update(body);
            for signature in &self.signatures {
                // Compares in constant time.
                is_signed |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        is_signed
    }
}

fn of_base64(signature: &[u8]) -> Option<[u8; 32]> {
    base64_simd::STANDARD.decode_to_vec(signature).ok()?.try_into().ok()
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Unsigned> {
    match distinct(headers, name)[..] {
        [] => Err(Unsigned::Missing),
        [value] => std::str::from_utf8(value).map_err(|_| Unsigned::Invalid),
        _ => Err(Unsigned::Invalid),
    }
}

fn is_near(timestamp: &str, now: Timestamp, tolerance: Duration) -> bool {
    let is_number =
        (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = timestamp.parse::<i64>().ok().filter(|_| is_number) else { return false };
    u128::from((seconds * 1_000).abs_diff(now.unix_ms())) <= tolerance.as_millis()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TOLERANCE: Duration = Duration::from_mins(5);

    /// A message that was signed, as its parts.
    #[derive(Clone, Debug)]
    struct Message {
        id: Vec<u8>,
        timestamp: Vec<u8>,
        signature: Vec<u8>,
        body: Vec<u8>,
    }

    impl Message {
        fn new(id: &str, timestamp: &str, signature: &str, body: &[u8]) -> Self {
            let [id, timestamp, signature] = [id, timestamp, signature].map(|text| text.as_bytes().to_vec());
            Self { id, timestamp, signature, body: body.to_vec() }
        }

        /// Whether it is by `secret`, at `seconds`. `None` if it cannot be a header at all.
        fn is_by(&self, secret: &WebhookSecret, seconds: i64) -> Option<bool> {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                (ID, &self.id),
                (TIMESTAMP, &self.timestamp),
                (Scheme::Standard.signature(), &self.signature),
            ] {
                headers.insert(name, HeaderValue::from_bytes(value).ok()?);
            }
            let now = Timestamp::from_unix_ms(seconds * 1_000);
            let read = SignedHeaders::read(&headers, now, TOLERANCE);
            Some(read.is_ok_and(|signed| signed.is_by(std::slice::from_ref(secret), &self.body)))
        }
    }

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(text).unwrap()
    }

    fn sign(secret: &WebhookSecret, id: &str, timestamp: &str, body: &[u8]) -> Message {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).unwrap();
        mac.update(&[format!("{id}.{timestamp}.").as_bytes(), body].concat());
        let signature = base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes());
        Message::new(id, timestamp, &format!("v1,{signature}"), body)
    }

    /// The vectors of the reference libraries (<https://github.com/standard-webhooks/standard-webhooks>).
    #[test]
    fn the_published_vectors_are_accepted() {
        let vectors = [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                1_649_367_553,
                Message::new(
                    "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                    "1649367553",
                    "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
                    br#"{"email":"test@example.com","username":"test_user"}"#,
                ),
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                1_614_265_330,
                Message::new(
                    "msg_p5jXN8AQM9LWM0D4loKWxJek",
                    "1614265330",
                    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                    br#"{"test": 2432232314}"#,
                ),
            ),
        ];
        for (key, seconds, message) in vectors {
            assert_eq!(message.is_by(&secret(key), seconds), Some(true), "{message:?}");
        }
    }

    fn example() -> (WebhookSecret, Message) {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let message = sign(&secret, "msg_1", "1614265330", b"{}");
        (secret, message)
    }

    #[test]
    fn the_time_may_be_off_by_the_tolerance_and_no_more() {
        let (secret, message) = example();
        for (off, expected) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            assert_eq!(message.is_by(&secret, 1_614_265_330 + off), Some(expected), "{off}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_other_versions_do_not_count() {
        let (secret, message) = example();
        let right = String::from_utf8(message.signature.clone()).unwrap();
        let wrong = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        for (signature, expected) in [
            (format!("{wrong} {right}"), true),
            (format!("v1a,AAAA {right} {wrong}"), true),
            (wrong.to_owned(), false),
            (right.replace("v1,", "v2,"), false),
            (right.replace("v1,", ""), false),
            ("v1,".to_owned(), false),
            (String::new(), false),
            (right[..right.len() - 4].to_owned(), false),
        ] {
            let message = Message { signature: signature.clone().into(), ..message.clone() };
            assert_eq!(message.is_by(&secret, 1_614_265_330), Some(expected), "{signature}");
        }
    }

    #[test]
    fn a_message_that_is_cut_in_another_place_is_refused() {
        let secret = example().0;
        // Signed as id `msg`, time 1614265330 and a text; read as id `msg.1614265330` and the rest.
        let message = sign(&secret, "msg", "1614265330", b"1614265331.rest");
        let cut = Message { id: b"msg.1614265330".into(), timestamp: b"1614265331".into(), ..message };
        let cut = Message { body: b"rest".into(), ..cut };
        assert_eq!(cut.is_by(&secret, 1_614_265_330), Some(false));
    }

    #[test]
    fn a_time_that_is_no_plain_number_is_refused() {
        let secret = example().0;
        for timestamp in ["", "+1614265330", "-1", "1614265330.0", " 1614265330", "99999999999999999999"] {
            let message = sign(&secret, "msg", timestamp, b"{}");
            assert_ne!(message.is_by(&secret, 1_614_265_330), Some(true), "{timestamp}");
        }
    }

    #[test]
    fn headers_that_are_missing_are_told_apart_from_wrong_ones() {
        let now = Timestamp::from_unix_ms(0);
        let mut headers = HeaderMap::new();
        for name in [ID, TIMESTAMP, Scheme::Standard.signature()] {
            assert_eq!(SignedHeaders::read(&headers, now, TOLERANCE), Err(Unsigned::Missing));
            headers.insert(name, HeaderValue::from_static("0"));
        }
        assert!(SignedHeaders::read(&headers, now, TOLERANCE).is_ok());
        headers.append(ID, HeaderValue::from_static("1"));
        assert_eq!(SignedHeaders::read(&headers, now, TOLERANCE), Err(Unsigned::Invalid));
    }

    /// Signs as the senders' documentation says, at the time 1614265330.
    fn signed_as(scheme: Scheme, secret: &WebhookSecret, body: &[u8]) -> String {
        let prefix = if scheme == Scheme::Stripe { "1614265330." } else { "" };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).unwrap();
        mac.update(&[prefix.as_bytes(), body].concat());
        let mac = bytes::Bytes::copy_from_slice(&mac.finalize().into_bytes());
        match scheme {
            Scheme::GitHub => format!("sha256={mac:x}"),
            Scheme::Stripe => format!("t=1614265330,v1={mac:x},v0={}", "0".repeat(64)),
            Scheme::Shopify | Scheme::Standard => base64_simd::STANDARD.encode_to_string(mac),
        }
    }

    fn is_by(scheme: Scheme, signature: &str, secret: &WebhookSecret, body: &[u8], seconds: i64) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(scheme.signature(), signature.parse().unwrap());
        let read = SignedHeaders::read(&headers, Timestamp::from_unix_ms(seconds * 1_000), TOLERANCE);
        read.is_ok_and(|signed| signed.scheme == scheme && signed.is_by(std::slice::from_ref(secret), body))
    }

    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation>
    #[test]
    fn the_vector_that_github_publishes_is_accepted() {
        let secret = secret("github:It's a Secret to Everybody");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_by(Scheme::GitHub, signature, &secret, b"Hello, World!", 0));
        assert!(!is_by(Scheme::GitHub, signature, &secret, b"Hello, World?", 0));
    }

    #[test]
    fn each_scheme_takes_its_own_signature_and_no_other() {
        let body = b"\x1f\x8b\x00 any bytes \xff";
        for scheme in [Scheme::GitHub, Scheme::Shopify, Scheme::Stripe] {
            let own = secret(&format!("{}a secret of 24 bytes ...", scheme.secret()));
            let right = signed_as(scheme, &own, body);
            let check = |signature: &str, expected: bool| {
                assert_eq!(is_by(scheme, signature, &own, body, 1_614_265_330), expected, "{signature}");
            };
            check(&right, true);
            for other in
                [Scheme::GitHub, Scheme::Shopify, Scheme::Stripe].into_iter().filter(|other| *other != scheme)
            {
                check(&signed_as(other, &own, body), false);
            }
            // There twice, as a Function URL joins it: one signature has to be right.
            check(&format!("{right},{right}"), true);
            check(&format!("{right}, sha256=00,v1=00,AAAA"), true);
            check(&format!("t=1614265329,{right}"), scheme != Scheme::Stripe);
            check(&right[..right.len() / 2], false);
            check("", false);
            assert!(!is_by(scheme, &right, &own, &body[1..], 1_614_265_330));
            let another = secret(&format!("{}another secret of bytes", scheme.secret()));
            assert!(!is_by(scheme, &right, &another, body, 1_614_265_330));
        }
    }

    #[test]
    fn stripes_time_may_be_off_by_the_tolerance_and_other_schemes_have_none() {
        for scheme in [Scheme::GitHub, Scheme::Shopify, Scheme::Stripe] {
            let secret = secret(&format!("{}a secret of 24 bytes ...", scheme.secret()));
            let signature = signed_as(scheme, &secret, b"{}");
            for (off, expected) in [(-301, false), (-300, true), (300, true), (301, false)] {
                let accepted = is_by(scheme, &signature, &secret, b"{}", 1_614_265_330 + off);
                assert_eq!(accepted, expected || scheme != Scheme::Stripe, "{scheme:?} {off}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_signed_is_accepted_and_a_flipped_bit_anywhere_is_refused(
            key in prop::collection::vec(any::<u8>(), 24..=64),
            id in "[a-zA-Z0-9_-]{1,40}",
            seconds in 1_000_000_000_i64..2_000_000_000,
            body in prop::collection::vec(any::<u8>(), 0..200),
            part in 0_usize..5,
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let text = |key: &[u8]| format!("whsec_{}", base64_simd::STANDARD.encode_to_string(key));
            let (mut key, right) = (key.clone(), secret(&text(&key)));
            let mut message = sign(&right, &id, &seconds.to_string(), &body);
            prop_assert_eq!(message.is_by(&right, seconds), Some(true));
            let Message { id, timestamp, signature, body } = &mut message;
            let changed = [id, timestamp, signature, body, &mut key].into_iter().nth(part).unwrap();
            prop_assume!(!changed.is_empty());
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            prop_assert_ne!(message.is_by(&secret(&text(&key)), seconds), Some(true));
        }

        #[test]
        fn a_signature_of_another_secret_is_refused(
            right in prop::collection::vec(any::<u8>(), 24..=64),
            wrong in prop::collection::vec(any::<u8>(), 24..=64),
        ) {
            prop_assume!(right != wrong);
            let [right, wrong] = [right, wrong]
                .map(|key| secret(&format!("whsec_{}", base64_simd::STANDARD.encode_to_string(key))));
            let message = sign(&right, "msg", "1614265330", b"{}");
            prop_assert_eq!(message.is_by(&wrong, 1_614_265_330), Some(false));
        }
    }
}
