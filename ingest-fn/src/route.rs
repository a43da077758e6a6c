//! The paths of the HTTP API. The router and the OpenAPI document are both made from this list.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    Ingest,
    Events,
    Event,
    Webhook,
    Logs,
    Health,
    OpenApi,
}

impl Route {
    pub(crate) const ALL: [Self; 7] =
        [Self::Ingest, Self::Events, Self::Event, Self::Webhook, Self::Logs, Self::Health, Self::OpenApi];

    /// The path, with its parameter in braces, as both the router and OpenAPI write it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Ingest => "/ingest",
            Self::Events => "/events",
            Self::Event => "/events/{id}",
            Self::Webhook => "/v1/webhooks/{tenant}/events/new",
            Self::Logs => "/v1/logs",
            Self::Health => "/health",
            Self::OpenApi => "/openapi.json",
        }
    }

    /// The path that is meant by one with slashes too many, as senders make it by joining a base and a path: `//ingest` and
    /// `/ingest/` are `/ingest`. `None` if it is right as it is. An empty parameter, such as a tenant, stays empty.
    pub(crate) fn meant(path: &str) -> Option<String> {
        let trimmed = path.trim_matches('/');
        let is_right = trimmed.len() + 1 == path.len();
        if is_right && !trimmed.contains("//") {
            return None;
        }
        if Self::ALL.iter().any(|route| route.is_at(trimmed)) {
            return (!is_right).then(|| format!("/{trimmed}"));
        }
        Some(
            trimmed
                .split('/')
                .filter(|segment| !segment.is_empty())
                .flat_map(|segment| ["/", segment])
                .collect(),
        )
    }

    /// Whether the path, without its first slash, has the segments of this route.
    fn is_at(self, path: &str) -> bool {
        let (own, path) = (self.path().split('/').skip(1), path.split('/'));
        own.clone().count() == path.clone().count()
            && own.zip(path).all(|(own, segment)| own.starts_with('{') || own == segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_do_not_matter_and_an_empty_parameter_does() {
        for (path, meant) in [
            ("//ingest", "/ingest"),
            ("/ingest///", "/ingest"),
            ("/events/", "/events"),
            ("/events//a", "/events/a"),
            ("/v1//webhooks/acme/events/new/", "/v1/webhooks/acme/events/new"),
            ("/v1/webhooks//events/new/", "/v1/webhooks//events/new"),
            ("/no//where/", "/no/where"),
        ] {
            assert_eq!(Route::meant(path).as_deref(), Some(meant), "{path}");
        }
        for path in ["/", "/ingest", "/events/a", "/v1/webhooks//events/new", "/no/where"] {
            assert_eq!(Route::meant(path), None, "{path}");
        }
    }
}
