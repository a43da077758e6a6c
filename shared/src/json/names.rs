//! The names of an object's members: of several that are equal, only the last stays. Readers differ in which one they take, and
//! Athena's reader fails the whole query.

use std::borrow::Cow;
use std::ops::Range;

/// Up to this many names are compared each with each. That is faster than sorting.
const FEW: usize = 12;

/// The members of all objects that are open, while a text is written.
#[derive(Default)]
pub(super) struct Names<'a> {
    members: Vec<Member<'a>>,
    /// For each open object, where its members begin.
    objects: Vec<usize>,
    overridden: Vec<Range<usize>>,
}

struct Member<'a> {
    name: Cow<'a, str>,
    /// Where the member is written, with the comma after it. The last one of an object has no end yet, and needs none.
    start: usize,
    end: usize,
}

impl<'a> Names<'a> {
    pub(super) fn open(&mut self) {
        self.objects.push(self.members.len());
    }

    /// A member of the innermost object, whose name, with its quotes, is written from `start`.
    pub(super) fn member(&mut self, name: &'a str, start: usize) {
        let first = *self.objects.last().expect("a name is in an object");
        // The members of objects within the previous one are gone.
        if let Some(previous) = self.members[first..].last_mut() {
            previous.end = start;
        }
        self.members.push(Member { name: super::unescaped(name), start, end: start });
    }

    pub(super) fn close(&mut self) {
        let first = self.objects.pop().expect("only what was opened is closed");
        let members = &mut self.members[first..];
        if !are_surely_distinct(members) {
            members.sort_unstable_by(|one, other| (&one.name, one.start).cmp(&(&other.name, other.start)));
            let pairs = members.windows(2).filter(|pair| pair[0].name == pair[1].name);
            self.overridden.extend(pairs.map(|pair| pair[0].start..pair[0].end));
        }
        self.members.truncate(first);
    }

    /// Removes the members that a later one of the same name overrides.
    pub(super) fn remove_overridden(mut self, json: &mut String) {
        if self.overridden.is_empty() {
            return;
        }
        self.overridden.sort_unstable_by_key(|range| range.start);
        let mut kept = String::with_capacity(json.len());
        let mut at = 0;
        for range in self.overridden {
            // One within another is gone already.
            if range.start >= at {
                kept.push_str(&json[at..range.start]);
                at = range.end;
            }
        }
        kept.push_str(&json[at..]);
        *json = kept;
    }
}

/// Whether no two names are equal, if that can be seen without sorting the names.
fn are_surely_distinct(members: &[Member<'_>]) -> bool {
    if members.len() <= FEW {
        let is_new = |(index, member): (usize, &Member<'_>)| {
            members[..index].iter().all(|earlier| earlier.name != member.name)
        };
        return members.iter().enumerate().all(is_new);
    }
    let mut fingerprints: Vec<_> = members.iter().map(|member| fingerprint(member.name.as_bytes())).collect();
    fingerprints.sort_unstable();
    fingerprints.windows(2).all(|pair| pair[0] != pair[1])
}

/// Equal names have equal fingerprints. A client that makes others equal, too, only makes us sort its names.
fn fingerprint(name: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        return u64::from_le_bytes(*first).rotate_left(31) ^ u64::from_le_bytes(*last) ^ name.len() as u64;
    }
    let mut padded = [0; 8];
    padded[..name.len()].copy_from_slice(name);
    padded[7] = name.len().to_le_bytes()[0];
    u64::from_le_bytes(padded)
}
