//! The paths of the HTTP API. The router and the OpenAPI document are both made from this list.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    Ingest,
    Events,
    Event,
    Webhook,
    Health,
    OpenApi,
}

impl Route {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ingest, Self::Events, Self::Event, Self::Webhook, Self::Health, Self::OpenApi];

    /// The path, with its parameter in braces, as both the router and OpenAPI write it.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Ingest => "/ingest",
            Self::Events => "/events",
            Self::Event => "/events/{id}",
            Self::Webhook => "/v1/webhooks/{tenant}/events/new",
            Self::Health => "/health",
            Self::OpenApi => "/openapi.json",
        }
    }
}
