//! The customer tier. The configuration says which tiers are allowed, and how long their items live.

use std::sync::Arc;

use serde::Serialize;

use crate::id::checked_text;

/// A tier's name, as the configuration and the `X-Customer-Tier` header spell it: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Tier(Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tier name `{0}` is not allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct InvalidTier(String);

impl Tier {
    /// Checks the characters. The configuration decides whether the tier is allowed.
    pub fn parse(name: &str) -> Result<Self, InvalidTier> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTier(name.chars().take(64).flat_map(char::escape_debug).collect()))
        }
    }
}

checked_text!(Tier);
