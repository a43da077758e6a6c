//! The page at `/_/`: the pipeline with live numbers, and what is stored to look into, for the one who runs it on this machine. It
//! reads only, and nothing that requests with events wait for.
//!
//! | file | has |
//! |---|---|
//! | `visitor.rs` | who may see it |
//! | `history.rs` | the metrics of the last ten minutes |
//! | `state.rs` | how the pipeline stands now |
//! | `archive.rs` | the newest objects, and the lines of one |
//! | `items.rs` | the newest items, and the way of one event |
//! | `tap.rs` | each event as it is answered, for `tidegate tap` |
//! | `quarantine.rs` | what could not be read or stored |
//! | `web/` | the page itself: HTML, CSS and JavaScript, as they are sent |

mod archive;
mod history;
mod items;
mod quarantine;
mod state;
mod tap;
mod visitor;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use ingest_fn::health::{Outcomes, Report};
use serde_json::{Value, json};
use shared::config::{AuthMode, Config};
use shared::time::{Clock, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::history::History;
use self::state::Backlogs;
use crate::embedded::{EmbeddedObjects, Overview};
use crate::guard::Guard;
use crate::prometheus::Prometheus;

/// Answers that are read at the same time. Each takes memory of a few objects at most.
const AT_ONCE: usize = 2;

/// The most rows of a list.
const ROWS: u32 = 50;

const FILES: [(&str, &str, &str); 7] = [
    ("/_/", "text/html; charset=utf-8", include_str!("page/web/index.html")),
    ("/_/page.css", "text/css; charset=utf-8", include_str!("page/web/page.css")),
    ("/_/page.js", SCRIPT, include_str!("page/web/page.js")),
    ("/_/pipeline.js", SCRIPT, include_str!("page/web/pipeline.js")),
    ("/_/charts.js", SCRIPT, include_str!("page/web/charts.js")),
    ("/_/data.js", SCRIPT, include_str!("page/web/data.js")),
    ("/_/dom.js", SCRIPT, include_str!("page/web/dom.js")),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page loads nothing from elsewhere, runs no script but its own files, makes no HTML of text, and is in no other page's frame.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

const HIDDEN: &str =
    "stored data is not shown where `auth.mode` asks for a credential, or `reads.enabled` is false";

/// What the page reads from.
pub(crate) struct Page {
    objects: EmbeddedObjects,
    config: Arc<Config>,
    guard: Guard,
    clock: Clock,
}

struct Shown {
    page: Page,
    started: Timestamp,
    live: Live,
    overview: Overview,
    history: History,
    backlogs: Backlogs,
    at_once: Semaphore,
}

/// What happens while it is shown.
pub(crate) struct Live {
    pub(crate) reports: watch::Receiver<Report>,
    pub(crate) outcomes: Outcomes,
    /// True once the run stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Whether the page is served where the local run listens at `address`: only if no other machine can connect to it.
pub(crate) fn is_at(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

impl Page {
    /// `objects` are on a connection of their own.
    pub(crate) fn new(objects: EmbeddedObjects, config: &Arc<Config>, guard: &Guard, clock: &Clock) -> Self {
        Self { objects, config: Arc::clone(config), guard: guard.clone(), clock: clock.clone() }
    }

    /// The routes of the page: none where the local run listens for other machines. What it records ends with `background`.
    pub(crate) fn serve(
        self,
        address: SocketAddr,
        prometheus: Prometheus,
        live: Live,
        background: &mut JoinSet<()>,
    ) -> Router {
        if !is_at(address) {
            return Router::new();
        }
        let history = History::default();
        background.spawn(history.clone().record(prometheus, self.clock.clone()));
        let shown = Arc::new(Shown {
            overview: Overview(self.objects.database.clone()),
            started: self.clock.now(),
            live,
            page: self,
            history,
            backlogs: Backlogs::default(),
            at_once: Semaphore::new(AT_ONCE),
        });
        let router = Router::new().route("/_", get(async || Redirect::permanent("/_/")));
        let router = FILES.into_iter().fold(router, |router, (path, media_type, body)| {
            router.route(path, get(async move || ([("content-type", media_type)], body)))
        });
        let api = |read: Read| {
            let shown = Arc::clone(&shown);
            get(move |request: Request| answer(shown, read, request))
        };
        let tapped = Arc::clone(&shown);
        router
            .route("/_/api/tap", get(async move || tap(&tapped)))
            .route("/_/api/state", api(Read::State))
            .route("/_/api/objects", api(Read::Objects))
            .route("/_/api/lines", api(Read::Lines))
            .route("/_/api/items", api(Read::Items))
            .route("/_/api/event", api(Read::Event))
            .route("/_/api/quarantine", api(Read::Quarantine))
            .layer(from_fn(admit))
    }
}

#[derive(Clone, Copy)]
enum Read {
    State,
    Objects,
    Lines,
    Items,
    Event,
    Quarantine,
}

/// What is wrong with a request to read.
enum Failure {
    /// A parameter is missing or wrong.
    Parameter(String),
    Store(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

async fn admit(request: Request, next: Next) -> Response {
    let mut response = match visitor::refusal(request.headers()) {
        Some(why) => {
            (StatusCode::FORBIDDEN, format!("The page is for this machine only: {why}.\n")).into_response()
        }
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(shown: Arc<Shown>, read: Read, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let parameters = Parameters(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
    let (status, body) = match shown.read(read, &parameters).await {
        Ok(found) => (StatusCode::OK, found),
        Err(Failure::Parameter(why)) => (StatusCode::BAD_REQUEST, json!({ "error": why })),
        Err(Failure::Store(error)) => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": format!("{error:#}") }))
        }
    };
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

fn tap(shown: &Shown) -> Response {
    if shows_data(&shown.page.config) {
        return shown.tap();
    }
    (StatusCode::BAD_REQUEST, [("content-type", "application/json")], json!({ "error": HIDDEN }).to_string())
        .into_response()
}

struct Parameters(HashMap<String, String>);

impl Parameters {
    fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, Failure> {
        self.optional(name).ok_or_else(|| Failure::Parameter(format!("the parameter `{name}` is missing")))
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let wrong = |text: &str| Failure::Parameter(format!("`{name}` is `{text}`, allowed: a number"));
        self.optional(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }
}

impl Shown {
    async fn read(&self, read: Read, parameters: &Parameters) -> Result<Value, Failure> {
        if let Read::State = read {
            return self.state(parameters.number("after")?).await;
        }
        if !shows_data(&self.page.config) {
            return Err(Failure::Parameter(HIDDEN.to_owned()));
        }
        let _permit = self.at_once.acquire().await.context("the page ended")?;
        match read {
            Read::State | Read::Objects => self.objects().await,
            Read::Lines => {
                let from = parameters.number("from")?.unwrap_or(0);
                self.lines(parameters.required("key")?, from).await
            }
            Read::Items => self.items().await,
            Read::Event => self.event(parameters.required("tenant")?, parameters.required("id")?).await,
            Read::Quarantine => self.quarantine().await,
        }
    }
}

/// Whether `GET /events` answers anyone. If not, neither does the page show what is stored.
fn shows_data(config: &Config) -> bool {
    config.auth.mode == AuthMode::None && config.reads.on_this_machine()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_data_is_shown_only_where_anyone_can_read_it_back() {
        let mut config = Config::default();
        assert!(shows_data(&config));
        for mode in [AuthMode::ApiKey, AuthMode::Signature] {
            config.auth.mode = mode;
            assert!(!shows_data(&config), "{mode:?}");
        }
        config.auth.mode = AuthMode::None;
        config.reads.enabled = Some(false);
        assert!(!shows_data(&config));
    }

    #[test]
    fn the_page_is_only_where_no_other_machine_can_connect() {
        for address in ["127.0.0.1:8080", "127.9.9.9:1", "[::1]:8080"] {
            assert!(is_at(address.parse().unwrap()), "{address}");
        }
        for address in
            ["0.0.0.0:8080", "192.168.0.7:8080", "[::]:8080", "[::ffff:127.0.0.1]:8080", "[fe80::1]:8080"]
        {
            assert!(!is_at(address.parse().unwrap()), "{address}");
        }
    }
}
