//! Environment variables: those that name the resources of a function, and the search for names that are none of ours.

use std::ffi::OsString;

use crate::config;

/// Declares variables, and the list of them all.
macro_rules! variables {
    ($($(#[$about:meta])* $constant:ident = $name:literal;)+) => {
        $($(#[$about])* pub const $constant: &str = $name;)+

        /// Every variable that the deployment or an operator sets, besides those that override keys of the configuration.
        pub const ALL: &[&str] = &[$($constant),+];
    };
}

variables! {
    /// The command of `tidegate` if none is given: `.cargo/config.toml` sets it for `cargo run`.
    COMMAND = "TIDEGATE_COMMAND";
    /// The configuration file.
    CONFIG = "TIDEGATE_CONFIG";
    /// The address that a server listens on.
    LISTEN = "TIDEGATE_LISTEN";
    /// The deployment's name in its metrics. Without it they have no dimension.
    STAGE = "TIDEGATE_STAGE";
    STREAM = "TIDEGATE_STREAM";
    BUCKET = "TIDEGATE_BUCKET";
    /// The URL.
    SPILL_QUEUE = "TIDEGATE_SPILL_QUEUE";
    /// The secret with the document of credentials.
    CREDENTIALS_SECRET = "TIDEGATE_CREDENTIALS_SECRET";
    ITEMS_TABLE = "TIDEGATE_ITEMS_TABLE";
    LEDGER_TABLE = "TIDEGATE_LEDGER_TABLE";
    /// The table with dispatch's slot counter.
    RATE_TABLE = "TIDEGATE_RATE_TABLE";
    /// The URL. It is set only where dispatch is on.
    DISPATCH_QUEUE = "TIDEGATE_DISPATCH_QUEUE";
    /// The URL.
    DISPATCH_DEAD_LETTERS = "TIDEGATE_DISPATCH_DEAD_LETTERS";
    /// The ARN of the target's secret. It is set only if there is one.
    DISPATCH_SECRET_ARN = "TIDEGATE_DISPATCH_SECRET_ARN";
    /// The target's secret itself, for runs without Secrets Manager.
    DISPATCH_SECRET = "TIDEGATE_DISPATCH_SECRET";
    /// API keys with which `tidegate load` sends, as `TENANT=KEY`, separated by commas.
    LOAD_API_KEYS = "TIDEGATE_LOAD_API_KEYS";
}

/// Of the variables that only Tidegate's own tests set.
const OF_TESTS: &str = "TIDEGATE_TEST_";

/// A variable that is missing or empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{name}` is not set (needed: {})", needed.join(", "))]
pub struct Unset {
    name: &'static str,
    needed: &'static [&'static str],
}

/// The value of `name`, which is one of the variables that the function needs.
pub fn named(
    name: &'static str,
    needed: &'static [&'static str],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, Unset> {
    variable(name).filter(|value| !value.is_empty()).ok_or(Unset { name, needed })
}

/// A variable that looks like one of ours and is not read by anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment variable `{name}` is not known and has no effect{}",
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
)]
pub struct Unknown {
    name: String,
    nearest: Option<String>,
}

/// The unknown ones of these names. A name that begins like the variable of a key is none of them: if the key does not exist,
/// reading the configuration fails.
pub fn unknown(names: impl IntoIterator<Item = OsString>) -> Vec<Unknown> {
    let names = names.into_iter().map(|name| name.to_string_lossy().into_owned());
    let is_like_ours = |name: &String| {
        name.to_uppercase().starts_with("TIDEGATE_")
            && ![config::PREFIX, OF_TESTS].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut unknown: Vec<_> =
        names.filter(is_like_ours).filter(|name| !ALL.contains(&name.as_str())).collect();
    if unknown.is_empty() {
        // As nearly always: every function looks at its start.
        return Vec::new();
    }
    unknown.sort();
    let known: Vec<String> = ALL
        .iter()
        .map(|name| (*name).to_owned())
        .chain(
            config::keys()
                .iter()
                .map(|key| config::PREFIX.to_owned() + &key.to_uppercase().replace('.', "__")),
        )
        .collect();
    let nearest = |name: &str| config::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    unknown.into_iter().map(|name| Unknown { nearest: nearest(&name), name }).collect()
}

/// The unknown ones of this process.
pub fn unknown_here() -> Vec<Unknown> {
    unknown(std::env::vars_os().map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_almost_ours_is_told_with_the_name_that_was_meant() {
        let names = [
            "TIDEGATE_STRAEM",
            "TIDEGATE_TIERS__DEFAULT",
            "TIDEGATE_TRANSFORM_REDACT_PATTERNS",
            "tidegate__tiers__default",
            "TIDEGATE_COLOUR_OF_THE_SKY",
            "TIDEGATE_STREAM",
            "TIDEGATE_TEST_FAULTS",
            "TIDEGATE__TIERS__DEFAULT",
            "PATH",
        ];
        let told: Vec<_> = unknown(names.map(OsString::from)).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        the environment variable `TIDEGATE_COLOUR_OF_THE_SKY` is not known and has no effect
        the environment variable `TIDEGATE_STRAEM` is not known and has no effect; did you mean `TIDEGATE_STREAM`?
        the environment variable `TIDEGATE_TIERS__DEFAULT` is not known and has no effect; did you mean `TIDEGATE__TIERS__DEFAULT`?
        the environment variable `TIDEGATE_TRANSFORM_REDACT_PATTERNS` is not known and has no effect; did you mean `TIDEGATE__TRANSFORM__REDACT__PATTERNS`?
        the environment variable `tidegate__tiers__default` is not known and has no effect; did you mean `TIDEGATE__TIERS__DEFAULT`?
        ");
    }
}
