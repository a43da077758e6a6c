//! Which lines share a record, and what a large request's lines become before they enter the queue: records. Pure.
//!
//! Packing a large request takes longer than its budget where a function has a small part of a processor. So it is done before
//! the budget begins, and once, not again for each attempt. The lines of small requests are packed for each call: those
//! that wait for the same key go into one record.

use std::collections::HashMap;

use bytes::Bytes;
use shared::format::record;

use super::OutgoingLine;

/// What enters the queue, for one partition key.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// A line, which may share a record with others.
    Line {
        /// Its index in the request.
        index: usize,
        line: Bytes,
        /// Whether it is the head of a stored line, which the record's reader will have in memory.
        is_head: bool,
    },
    /// A record that is packed already.
    Record {
        /// The indexes of its lines in the request.
        indexes: Vec<usize>,
        data: Bytes,
    },
}

impl Piece {
    pub(super) fn indexes(&self) -> &[usize] {
        match self {
            Self::Line { index, .. } => std::slice::from_ref(index),
            Self::Record { indexes, .. } => indexes,
        }
    }
}

/// What a record still has room for. Lines fill it up to a record's size uncompressed, so that packing, which never makes them
/// larger, cannot pass the limit. Of lines that are heads a record has one at most.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    lines: usize,
    has_head: bool,
}

impl Room {
    /// `record_bytes` is the largest record, partition key included.
    pub(super) fn new(partition_key: &str, record_bytes: usize) -> Self {
        let bytes = record_bytes.saturating_sub(partition_key.len());
        Self { bytes, lines: record::RECORD_EVENTS, has_head: false }
    }

    /// Takes a line, if there is room for it.
    pub(super) fn take(&mut self, line: &Bytes, is_head: bool) -> bool {
        let with_newline = line.len() + 1;
        let takes = with_newline <= self.bytes && self.lines > 0 && !(is_head && self.has_head);
        if takes {
            self.bytes -= with_newline;
            self.lines -= 1;
            self.has_head |= is_head;
        }
        takes
    }

    pub(super) fn bytes_left(&self) -> usize {
        self.bytes
    }
}

/// Each line as it is, with its partition key.
pub(super) fn lines(lines: Vec<OutgoingLine>) -> Vec<(String, Piece)> {
    let piece = |(index, OutgoingLine { partition_key, line, is_head, record })| {
        let piece = match record {
            Some(data) => Piece::Record { indexes: vec![index], data },
            None => Piece::Line { index, line, is_head },
        };
        (partition_key, piece)
    };
    lines.into_iter().enumerate().map(piece).collect()
}

/// The records of the lines, with their partition keys: of each key in the order of its lines.
pub(super) fn records(
    lines: Vec<OutgoingLine>,
    record_bytes: usize,
    compress_from: usize,
) -> Vec<(String, Piece)> {
    let mut groups: Vec<Group> = Vec::new();
    // Of each key the group that may take another line.
    let mut open: HashMap<String, (usize, Room)> = HashMap::new();
    for (index, OutgoingLine { partition_key, line, is_head, record }) in lines.into_iter().enumerate() {
        if let Some((group, room)) = open.get_mut(&partition_key)
            && record.is_none()
            && room.take(&line, is_head)
        {
            groups[*group].indexes.push(index);
            groups[*group].lines.push(line);
            continue;
        }
        let mut room = Room::new(&partition_key, record_bytes);
        // A line beyond a record's size goes alone, compressed: it was checked to fit.
        if record.is_none() && room.take(&line, is_head) {
            open.insert(partition_key.clone(), (groups.len(), room));
        } else {
            open.remove(&partition_key);
        }
        groups.push(Group { partition_key, indexes: vec![index], lines: vec![line], record });
    }
    let packed = |Group { partition_key, indexes, lines, record }| {
        let data = record.unwrap_or_else(|| record::pack_from(&lines, compress_from).into());
        (partition_key, Piece::Record { indexes, data })
    };
    groups.into_iter().map(packed).collect()
}

/// A record to be.
struct Group {
    partition_key: String,
    indexes: Vec<usize>,
    lines: Vec<Bytes>,
    /// What they become, if that is known already.
    record: Option<Bytes>,
}
