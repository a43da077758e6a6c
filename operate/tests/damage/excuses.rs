//! Damages that the audit cannot see, or that harm no event, each with its reason.

use crate::damages::{Damage, Thing};

/// The thing, its part, the damage, the reason.
const EXCUSES: &[(&str, &str, Damage, &str)] = &[];

pub(crate) fn reason(thing: &Thing, damage: Damage) -> Option<&'static str> {
    let part = thing.part.as_deref().unwrap_or_default();
    let is_its = |(what, of, how, _): &&(&str, &str, Damage, &str)| {
        *what == thing.what && *of == part && *how == damage
    };
    EXCUSES.iter().find(is_its).map(|(.., reason)| *reason)
}
