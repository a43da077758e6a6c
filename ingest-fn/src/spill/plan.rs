//! Which lines share a message: values in, values out.

use std::collections::HashMap;

use bytes::Bytes;
use shared::format::spill_message::SpillMessage;

use crate::publish::OutgoingLine;

/// A message, and the positions of the lines that it holds.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) message: SpillMessage,
    pub(super) lines: Vec<usize>,
}

/// Messages that hold all the lines: one partition key in each, its lines in their order, each within the limit.
pub(super) fn messages(lines: Vec<OutgoingLine>) -> Vec<Planned> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    for (index, OutgoingLine { partition_key, line, .. }) in lines.into_iter().enumerate() {
        let group = match open.get(&partition_key) {
            Some(&group) if groups[group].has_room_for(&line) => group,
            _ => {
                open.insert(partition_key.clone(), groups.len());
                groups.push(Group { partition_key, indexes: Vec::new(), lines: Vec::new(), bytes: 0 });
                groups.len() - 1
            }
        };
        groups[group].take(index, line);
    }
    let planned = |group: Group| {
        let message = SpillMessage::of(&group.partition_key, &group.lines);
        Planned { message, lines: group.indexes }
    };
    groups.into_iter().map(planned).collect()
}

/// The lines of a message to be.
struct Group {
    partition_key: String,
    indexes: Vec<usize>,
    lines: Vec<Bytes>,
    bytes: usize,
}

impl Group {
    /// Whether the message stays within the limit with `line` in it: uncompressed, since packing never makes it larger.
    /// A line beyond the limit goes alone, compressed ([`SpillMessage::fits`]).
    fn has_room_for(&self, line: &Bytes) -> bool {
        self.bytes + line.len() < SpillMessage::room(&self.partition_key)
    }

    fn take(&mut self, index: usize, line: Bytes) {
        self.indexes.push(index);
        self.bytes += line.len() + 1;
        self.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::limits;
    use shared::noise::noise;

    use super::*;

    fn line(key: u8, text: &str) -> OutgoingLine {
        OutgoingLine {
            partition_key: format!("t{key}"),
            line: Bytes::copy_from_slice(text.as_bytes()),
            is_head: false,
            record: None,
        }
    }

    #[test]
    fn a_line_beyond_a_message_that_compresses_travels_alone() {
        let large = "x".repeat(limits::INLINE_BYTES);
        let planned = messages(vec![line(1, "a"), line(1, &large), line(1, "b"), line(1, "c")]);
        assert_eq!(planned.iter().map(|p| &p.lines[..]).collect::<Vec<_>>(), [&[0][..], &[1], &[2, 3]]);
        assert_eq!(SpillMessage::read(planned[1].message.body()).unwrap(), [line(1, &large)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// Every line is in one message, a key's in their order, and no message is too large, whatever the lines are.
        #[test]
        fn messages_hold_every_line_in_order_and_within_the_limit(
            lines in proptest::collection::vec((0..3_u8, prop_oneof![0..500_usize, 200_000..400_000_usize], any::<u64>()), 0..12),
        ) {
            let lines: Vec<_> =
                lines.into_iter().map(|(key, length, seed)| line(key, &format!("-{}", noise(length, seed)))).collect();
            let mut read: HashMap<String, Vec<OutgoingLine>> = HashMap::new();
            let mut seen = Vec::new();
            for planned in messages(lines.clone()) {
                prop_assert!(planned.message.body().len() <= limits::MESSAGE_BYTES);
                let key = planned.message.partition_key().to_owned();
                read.entry(key).or_default().extend(SpillMessage::read(planned.message.body()).unwrap());
                seen.extend(planned.lines);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lines.len()).collect::<Vec<_>>());
            let mut sent: HashMap<String, Vec<OutgoingLine>> = HashMap::new();
            for line in lines {
                sent.entry(line.partition_key.clone()).or_default().push(line);
            }
            prop_assert_eq!(read, sent);
        }
    }
}
