//! The kinds of requests, and how many of a thousand there are of each.

use accept::client::Call;
use fastrand::Rng;

use super::{Expected, INGEST, JSON, NDJSON};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Webhook,
    Text,
    Array,
    Lines,
    Gzip,
    /// Lines, of which one is no JSON.
    PartlyBad,
    /// An earlier request once more, as a sender does that got no answer.
    Again,
    ForbiddenTier,
    Malformed(Malformed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The object ends in its middle.
    Cut,
    Empty,
    NoObject,
    MediaType,
    /// It is not compressed as its header says.
    Gzip,
}

/// Of a thousand requests; docs/load.md says so. Most are small objects, as of log shippers without a buffer; every tenth request is a batch.
const SHARES: [(u32, Kind); 14] = [
    (570, Kind::Object),
    (80, Kind::Webhook),
    (150, Kind::Text),
    (30, Kind::Array),
    (30, Kind::Lines),
    (40, Kind::Gzip),
    (10, Kind::PartlyBad),
    (50, Kind::Again),
    (20, Kind::ForbiddenTier),
    (6, Kind::Malformed(Malformed::Cut)),
    (4, Kind::Malformed(Malformed::Empty)),
    (4, Kind::Malformed(Malformed::NoObject)),
    (3, Kind::Malformed(Malformed::MediaType)),
    (3, Kind::Malformed(Malformed::Gzip)),
];

impl Kind {
    pub(super) fn draw(random: &mut Rng) -> Self {
        let mut left = random.u32(0..SHARES.iter().map(|(share, _)| share).sum());
        for (share, kind) in SHARES {
            match left.checked_sub(share) {
                Some(more) => left = more,
                None => return kind,
            }
        }
        Self::Object
    }

    /// Whether what it sends should be stored.
    pub(super) fn is_stored(self) -> bool {
        !matches!(self, Self::Again | Self::ForbiddenTier | Self::Malformed(_))
    }
}

impl Malformed {
    pub(super) fn expected(self) -> Expected {
        let (status, code) = match self {
            Self::Cut => (400, "malformed_json"),
            Self::Empty => (400, "body_empty"),
            Self::NoObject => (400, "not_an_object"),
            Self::MediaType => (415, "media_type_unsupported"),
            Self::Gzip => (400, "body_corrupt"),
        };
        Expected::Refused(status, code)
    }

    pub(super) fn call(self, object: &str, tenant: &str) -> Call {
        let call = match self {
            Self::Cut => {
                let middle = object.floor_char_boundary(object.len() / 2);
                Call::post(INGEST, JSON, object[..middle].to_owned())
            }
            Self::Empty => Call::post(INGEST, JSON, ""),
            Self::NoObject => Call::post(INGEST, JSON, "42"),
            Self::MediaType => Call::post(INGEST, "image/png", object.to_owned()),
            Self::Gzip => {
                Call::post(INGEST, NDJSON, &b"\x1f\x8bcut off"[..]).header("Content-Encoding", "gzip")
            }
        };
        call.header("X-Tenant-ID", tenant)
    }
}
