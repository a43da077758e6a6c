//! The customer tier: which requests are let in, and how long their items live.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A tier's name, as the configuration and the `X-Customer-Tier` header spell it: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Tier(Arc<str>);

/// A string that cannot name a tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tier name `{0}` is not allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct InvalidTier(String);

impl Tier {
    /// Checks `name` against the grammar; whether it is an allowed tier is the configuration's to say.
    pub fn parse(name: &str) -> Result<Self, InvalidTier> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTier(name.chars().take(64).flat_map(char::escape_debug).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tier {
    type Error = InvalidTier;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
