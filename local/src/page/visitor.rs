//! Who may see the page: a browser on this machine that shows the page itself. The socket listens on a loopback address, so every
//! peer is on this machine; but what a browser sends may come from the page of anyone.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

const SITE: &str = "sec-fetch-site";

/// Why a request is refused; `None` if it is not.
///
/// - A name that an attacker owns may point to 127.0.0.1 (DNS rebinding). Then the host is that name.
/// - Another site's page may send requests, and follow a link here. Then the browser names the site as origin, or says that it is
///   another one. Another port of this machine is another site, too.
pub(super) fn refusal(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let host = text(HOST.as_str()).unwrap_or_default();
    if headers.get_all(HOST).iter().count() > 1 || !is_this_machine(&host) {
        return Some(format!("the host is `{host}`, allowed: localhost, 127.0.0.1 and [::1]"));
    }
    if let Some(origin) = text(ORIGIN.as_str()).filter(|origin| *origin != format!("http://{host}")) {
        return Some(format!("a page of `{origin}` sent this, allowed: http://{host}"));
    }
    match text(SITE) {
        Some(site) if site != "same-origin" && site != "none" => Some(format!(
            "another page led here (Sec-Fetch-Site is `{site}`): type the address http://{host}/_/ yourself"
        )),
        _ => None,
    }
}

/// Whether a Host header names this machine, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn check(headers: &[(&'static str, &str)], is_refused: bool) {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        assert_eq!(refusal(&map).is_some(), is_refused, "{headers:?}: {:?}", refusal(&map));
    }

    #[test]
    fn the_host_must_be_this_machine() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]"] {
            check(&[("host", host)], false);
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.nip.io:8080",
            "localhost:evil",
            "localhost:",
            "192.0.2.1:8080",
            "0.0.0.0:8080",
            "[::2]:8080",
            "::1",
        ] {
            check(&[("host", host)], true);
        }
        check(&[], true);
        check(&[("host", "localhost"), ("host", "evil.example")], true);
    }

    #[test]
    fn the_page_of_another_site_is_refused() {
        let own = ("host", "localhost:8080");
        check(&[own, ("origin", "http://localhost:8080")], false);
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost:3000",
            "https://localhost:8080",
            "http://127.0.0.1:8080",
        ] {
            check(&[own, ("origin", origin)], true);
        }
        for site in ["same-origin", "none"] {
            check(&[own, (SITE, site)], false);
        }
        for site in ["cross-site", "same-site", "new-word"] {
            check(&[own, (SITE, site)], true);
        }
    }
}
