//! KPL aggregates: all user records are read, and a damaged aggregate is refused.

use bytes::Bytes;
use md5::{Digest, Md5};
use shared::format::kpl::{self, MAGIC, NoAggregate, UserRecord};

/// Pieces of messages: a table entry, a user record, an index, a length that is too long.
pub const WORDS: &[&str] = &[
    "k",
    "\u{f3}",
    "\n\u{4}acme",
    "\u{12}\u{1}0",
    "\u{1a}\u{7}\u{8}\0\u{1a}\u{3}abc",
    "\u{8}\u{1}",
    "\u{10}\0",
];

/// The most user records that are allowed here.
const MOST: usize = 100;

/// `input` is an aggregate. After a first byte `k`, it is the message of an aggregate, without magic and checksum.
pub fn check(input: &[u8]) {
    let data = match input.split_first() {
        Some((b'k', message)) => seal(message),
        _ => Bytes::copy_from_slice(input),
    };
    match kpl::user_records(&data, MOST) {
        Ok(records) => {
            assert!(kpl::is_aggregate(&data) || !data.starts_with(&MAGIC));
            data_are_slices_that_do_not_overlap(&data, &records);
            assert_eq!(kpl::user_records(&encode(&records), MOST).unwrap(), records, "encoded again");
            fewer_are_refused(&data, records.len());
            damage_is_noticed(&data);
        }
        Err(NoAggregate::Short(length)) => assert!(length == data.len() && length < 20),
        Err(NoAggregate::Checksum) => assert!(data.len() >= 20 && !input.starts_with(b"k")),
        Err(NoAggregate::Index { user_record, index, length }) => {
            assert!(index >= length as u64 && user_record < data.len());
        }
        Err(NoAggregate::TooMany { found, allowed }) => assert!(found > allowed && allowed == MOST),
        Err(NoAggregate::Message(_)) => {}
    }
}

/// The aggregate of a message.
pub(crate) fn seal(message: &[u8]) -> Bytes {
    [&MAGIC[..], message, &Md5::digest(message)[..]].concat().into()
}

/// The data of a user record are a slice of the aggregate's bytes, and no two slices overlap.
fn data_are_slices_that_do_not_overlap(data: &Bytes, records: &[UserRecord]) {
    let whole = data.as_ptr_range();
    let mut pieces: Vec<_> = records
        .iter()
        .filter(|record| !record.data.is_empty())
        .map(|record| record.data.as_ptr_range())
        .collect();
    pieces.sort_by_key(|piece| piece.start);
    assert!(pieces.iter().all(|piece| whole.start <= piece.start && piece.end <= whole.end));
    assert!(pieces.is_sorted_by(|before, after| before.end <= after.start));
}

fn fewer_are_refused(data: &Bytes, found: usize) {
    if let Some(fewer) = found.checked_sub(1) {
        assert!(matches!(kpl::user_records(data, fewer), Err(NoAggregate::TooMany { .. })));
    }
}

/// A flipped bit at the start, the middle or the end is noticed, and so is a missing byte.
fn damage_is_noticed(data: &Bytes) {
    for at in [MAGIC.len(), data.len() / 2, data.len() - 1] {
        let mut damaged = data.to_vec();
        damaged[at] ^= 1;
        assert!(matches!(kpl::user_records(&damaged.into(), MOST), Err(NoAggregate::Checksum)), "byte {at}");
    }
    assert!(kpl::user_records(&data.slice(..data.len() - 1), MOST).is_err());
}

/// Encodes an aggregate in which user records share no keys.
pub(crate) fn encode(records: &[UserRecord]) -> Bytes {
    let mut message = Vec::new();
    for record in records {
        bytes_field(1, record.partition_key.as_bytes(), &mut message);
    }
    for key in records.iter().filter_map(|record| record.explicit_hash_key.as_ref()) {
        bytes_field(2, key.as_bytes(), &mut message);
    }
    let mut hash_keys = 0;
    for (index, record) in records.iter().enumerate() {
        let mut user_record = vec![1 << 3];
        varint(index, &mut user_record);
        if record.explicit_hash_key.is_some() {
            user_record.push(2 << 3);
            varint(hash_keys, &mut user_record);
            hash_keys += 1;
        }
        bytes_field(3, &record.data, &mut user_record);
        bytes_field(3, &user_record, &mut message);
    }
    seal(&message)
}

/// A field of protobuf's wire type 2.
pub(crate) fn bytes_field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    out.push(u8::try_from(value).unwrap());
}
