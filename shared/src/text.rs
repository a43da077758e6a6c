//! Reading values that are written as text, without a copy of the text.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::{Deserializer, de};

/// Reads a string, and makes of it what `parse` makes.
pub(crate) fn parsed<'de, D, T, E>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    deserializer.deserialize_str(Parse { parse, of: PhantomData })
}

struct Parse<F, T> {
    parse: F,
    of: PhantomData<T>,
}

impl<F: FnOnce(&str) -> Result<T, E>, T, E: Display> de::Visitor<'_> for Parse<F, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<X: de::Error>(self, text: &str) -> Result<T, X> {
        (self.parse)(text).map_err(X::custom)
    }
}
