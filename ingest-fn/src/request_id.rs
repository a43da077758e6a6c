//! The id of a request, by which its log lines and its answer are found.

use std::sync::Arc;

/// Lambda's own id where Lambda serves, else a new one. Never the client's: it finds our log lines.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);
