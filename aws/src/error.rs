//! Errors of the SDK, whole.

use aws_sdk_s3::error::DisplayErrorContext;

/// The error with all its causes, which the SDK's own `Display` leaves out.
pub(crate) fn described(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", DisplayErrorContext(error))
}
