//! What the deployment tells the function by environment variables.

/// The variables that name resources.
pub const ENVIRONMENT: &[&str] = &["TIDEGATE_STREAM", "TIDEGATE_BUCKET"];

/// The names of the function's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The Kinesis stream that events go to.
    pub stream: String,
    /// The S3 bucket that claim checks go to.
    pub bucket: String,
}

/// A variable that is not there, or empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable `{0}` is not set (needed: {needed})", needed = ENVIRONMENT.join(", "))]
pub struct Unset(&'static str);

impl Environment {
    /// Reads the variables by `variable`, such as `|name| std::env::var(name).ok()`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Unset> {
        let named = |name: &'static str| variable(name).filter(|value| !value.is_empty()).ok_or(Unset(name));
        let &[stream, bucket] = ENVIRONMENT else { unreachable!("two variables, as the constant says") };
        Ok(Self { stream: named(stream)?, bucket: named(bucket)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Unset> {
        let find =
            |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, v)| (*v).to_owned());
        Environment::read(find)
    }

    #[test]
    fn the_resources_are_named_by_variables() {
        let environment = read(&[("TIDEGATE_STREAM", "events"), ("TIDEGATE_BUCKET", "data")]).unwrap();
        assert_eq!(environment, Environment { stream: "events".to_owned(), bucket: "data".to_owned() });
    }

    #[test]
    fn a_variable_that_is_missing_or_empty_is_named() {
        let error = read(&[("TIDEGATE_STREAM", "events"), ("TIDEGATE_BUCKET", "")]).unwrap_err();
        insta::assert_snapshot!(error, @"the environment variable `TIDEGATE_BUCKET` is not set (needed: TIDEGATE_STREAM, TIDEGATE_BUCKET)");
    }
}
