//! Compares an event with what is stored of it. Pure.

use consumer_fn::Transform;
use shared::format::archive_line::ArchiveLine;
use shared::format::content_hash::is_same;

use super::findings::FindingKind;
use crate::answer::Outcome;
use crate::traffic::Event;

/// What is stored of an event.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Archive lines.
    pub(super) lines: u8,
    pub(super) item: Option<SeenItem>,
}

#[derive(Clone, Debug)]
pub(super) struct SeenItem {
    /// It names the origin that the archive line has.
    pub(super) is_of_its_line: bool,
    pub(super) content_hash: String,
}

/// What an archive line has otherwise than the event.
pub(super) fn line(event: &Event, line: &ArchiveLine<'_>, transform: &Transform) -> Vec<&'static str> {
    let fields = transform.fields(&event.fields());
    let text = event.text.as_ref().map(|text| transform.text(text));
    let same = [
        ("tenant", event.tenant == line.facts.tenant),
        ("tier", event.tier.as_ref().is_none_or(|tier| *tier == line.facts.tier)),
        ("source", event.source == line.facts.source),
        ("event_time", event.event_time() == line.facts.event_time),
        ("text", text.is_none_or(|text| text == line.text)),
        ("fields", fields == *line.fields),
    ];
    same.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

/// What is wrong with an event.
pub(super) fn event(event: &Event, outcome: Outcome, seen: &Seen) -> Option<(FindingKind, String)> {
    let (kind, what) = match (outcome, seen.lines, &seen.item) {
        (Outcome::Unsent | Outcome::Refused | Outcome::Unknown, 0, None) => return None,
        (Outcome::Unsent | Outcome::Refused, ..) => {
            (FindingKind::Foreign, "it was refused, and is stored".to_owned())
        }
        (Outcome::Accepted, 0, None) => {
            (FindingKind::Missing, "it was accepted, and has neither item nor archive line".to_owned())
        }
        (_, 0, Some(_)) => (FindingKind::Missing, "it has an item and no archive line".to_owned()),
        (_, 1.., None) => (FindingKind::Missing, "it has an archive line and no item".to_owned()),
        (_, 2.., Some(_)) => (FindingKind::Doubled, format!("it has {} archive lines", seen.lines)),
        (_, 1, Some(item)) if !is_same(&item.content_hash, &event.content_hash()) => {
            (FindingKind::Changed, "its item has another content hash than what was sent".to_owned())
        }
        (_, 1, Some(item)) if !item.is_of_its_line => {
            (FindingKind::Changed, "its item names another origin than its archive line has".to_owned())
        }
        (_, 1, Some(_)) => return None,
    };
    Some((kind, what))
}
