//! Environment variables that name the resources of a function.

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
