//! What a target of dispatch can be, checked by the parsers that the dispatcher uses.

use http::{HeaderName, Uri};
use rustls_pki_types::ServerName;

use super::super::{Dispatch, placeholder};
use super::{Problems, names};
use crate::limits;

impl Dispatch {
    /// Also where dispatch is off, so that a mistake does not wait until it is turned on.
    pub(super) fn check(&self, problems: &mut Problems) {
        if !is_url(&self.url) && (self.enabled || !self.url.is_empty()) {
            problems.refuse("dispatch.url", &self.url, "a URL such as `https://target.example.com/graphql`");
        }
        if self.document.trim().is_empty() {
            problems.refuse("dispatch.document", &self.document, "a GraphQL mutation");
        }
        for (name, value) in &self.variables {
            if let Some(unknown) = placeholder::unknown(value) {
                problems.refuse(&format!("dispatch.variables.{name}"), unknown, placeholder::ALLOWED);
            }
        }
        problems.constants("dispatch.constants", &self.constants);
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || names(&OURS, name) {
                let allowed = format!("names of headers, but not {}", OURS.join(", "));
                problems.refuse("dispatch.headers", name, allowed);
            }
            let is_printable = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if !is_printable {
                problems.refuse(&format!("dispatch.headers.{name}"), value, "printable ASCII");
            }
        }
        if self.secret_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            problems.refuse("dispatch.secret_file", "", "the path of a file");
        }
        problems.within("dispatch.rate_per_second", self.rate_per_second, 0.001, 500.0);
        problems.within("dispatch.guard_ms", self.guard_ms, 20, 10_000);
        problems.within("dispatch.connect_timeout_ms", self.connect_timeout_ms, 50, 10_000);
        problems.within("dispatch.timeout_ms", self.timeout_ms, 50, 30_000);
        problems.within("dispatch.max_attempts", self.max_attempts, 1, 1_000);
        let longest = limits::VISIBILITY.as_secs() * 1_000;
        problems.within("dispatch.backoff_ms", self.backoff_ms, 10, self.backoff_most_ms.clamp(10, longest));
        problems.within("dispatch.backoff_most_ms", self.backoff_most_ms, 10, longest);
    }
}

/// Whether requests can go there: scheme, host and port. A user is refused: the password would be in every log.
pub(super) fn is_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else { return false };
    let port = uri.port_u16();
    // Otherwise there is a user, or a port that is no number of a port.
    let is_host_and_port =
        authority.as_str() == port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    (url.starts_with("https://") || url.starts_with("http://"))
        && is_host_and_port
        && port != Some(0)
        && ServerName::try_from(bare).is_ok()
        // It would not be sent.
        && !url.contains('#')
}

/// The headers of a call that the dispatcher sets.
const OURS: [&str; 6] = ["Host", "Content-Type", "Content-Length", "Accept", "Idempotency-Key", "Connection"];
