//! Errors of AWS as text.

use aws_sdk_s3::error::DisplayErrorContext;

/// The error with all its causes, which the SDK's own `Display` leaves out.
pub(crate) fn described(error: impl std::error::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", DisplayErrorContext(error))
}

/// The beginning of an answer.
pub(crate) fn shown(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).chars().take(500).collect()
}
