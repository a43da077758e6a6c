//! Ingest, the HTTP function of Tidegate: admit, normalise, publish.
//!
//! A request goes through these stages, one file each:
//!
//! | stage | file | from → to |
//! |---|---|---|
//! | access | `access.rs`, [`credentials`], `signature.rs`, `quota.rs` | credential → `Sender`, or a refusal |
//! | admit | `admit.rs`, `media.rs` | line and headers → `Admitted` |
//! | read | `body.rs` | body → bytes, inflated, held in bounded memory |
//! | cut | `cut.rs`, `cloudevents.rs` | bytes → `RequestEvents<Event>` |
//! | check | `claim_check.rs` | `Event` → line; lines too large for a record to [`ObjectStore`](shared::objects::ObjectStore) |
//! | publish | [`publish`] | lines → [`EventStream`] |
//! | spill | [`spill`] | lines that the stream did not take → [`SpillQueue`] |
//! | answer | `answer.rs`, [`rejection`] | outcomes → HTTP |
//!
//! `otlp.rs` has what is different for log records of OpenTelemetry: how they are read, their ids, their answers.
//! [`reads`] reads events back. `openapi.rs` describes all of it for clients.
//!
//! [`router()`] connects them. It answers 202 only when the stream or the spill queue has the event. A function of its own,
//! [`drain`], puts spilled events on the stream later.

mod access;
mod admit;
mod answer;
mod body;
mod claim_check;
#[cfg(feature = "aws")]
pub mod clients;
mod cloudevents;
mod cors;
pub mod credentials;
mod cut;
pub mod drain;
pub mod environment;
pub mod fault;
pub mod health;
pub mod lambda;
mod media;
mod offload;
mod openapi;
mod otlp;
pub mod publish;
mod quota;
pub mod reads;
mod rejection;
mod repeated;
mod request_id;
mod route;
mod router;
pub mod server;
mod signature;
mod span;
pub mod spill;
mod stamp;
pub mod watch;

pub use fault::{Fault, FaultCheck};
pub use publish::{
    EventStream, OutgoingLine, Publisher, Put, Refusal, StreamFailure, StreamRecord, Unpublished,
};
pub use reads::port::{EventReader, NoReader};
pub use router::{IngestPorts, IngestState, router, router_with_health};
pub use spill::{SpillFailure, SpillMessage, SpillQueue};
