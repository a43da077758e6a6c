//! Aggregates of the Kinesis Producer Library: many *user records* in one record of the stream.
//!
//! The format (documented with the library as "KPL Aggregated Record Format"):
//!
//! ```text
//! f3 89 9a c2 │ AggregatedRecord, protobuf (proto2) │ MD5 of the protobuf bytes, 16 bytes
//! ```
//!
//! The message has a table of partition keys and one of explicit hash keys; each user record has its data and indices
//! into the tables. This module reads aggregates and leaves the meaning of the data to its callers. It copies no data: a
//! [`UserRecord`] shares the record's bytes.
//!
//! Memory is bounded by the record's own length, and by the number of user records that the caller allows.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

/// How an aggregate begins.
pub const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// An aggregate ends with an MD5 of this length.
const DIGEST_BYTES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The producer's key for this record. The stream's record has the key of its first user record.
    pub partition_key: Arc<str>,
    /// In decimal digits.
    pub explicit_hash_key: Option<Arc<str>>,
    pub data: Bytes,
}

/// Bytes that begin as an aggregate, but are none. The library's own readers return such a record as it is.
#[derive(Debug, thiserror::Error)]
pub enum NoAggregate {
    #[error("it ends after {0} bytes")]
    Short(usize),
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its message is malformed: {0}")]
    Message(#[from] prost::DecodeError),
    /// An index is outside its table. User records count from 0.
    #[error("user record {user_record} names key {index} of a table of {length}")]
    Index { user_record: usize, index: u64, length: usize },
    #[error("it has {found} user records, {allowed} are allowed")]
    TooMany { found: usize, allowed: usize },
}

/// Whether `data` begins as an aggregate does.
pub fn is_aggregate(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

/// The user records of an aggregate, in order; at most `most` of them.
pub fn user_records(data: &Bytes, most: usize) -> Result<Vec<UserRecord>, NoAggregate> {
    let end = data.len().checked_sub(DIGEST_BYTES).filter(|end| *end >= MAGIC.len());
    let end = end.ok_or(NoAggregate::Short(data.len()))?;
    let message = data.slice(MAGIC.len()..end);
    if Md5::digest(&message)[..] != data[end..] {
        return Err(NoAggregate::Checksum);
    }
    let AggregatedRecord { partition_keys, explicit_hash_keys, records } = AggregatedRecord::decode(message)?;
    if records.len() > most {
        return Err(NoAggregate::TooMany { found: records.len(), allowed: most });
    }
    // Shared: ten thousand user records may have the same long key.
    let [partition_keys, explicit_hash_keys] = [partition_keys, explicit_hash_keys]
        .map(|keys| keys.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>());
    let user_record = |(user_record, record): (usize, Record)| {
        let key = |table: &[Arc<str>], index: u64| {
            let key = usize::try_from(index).ok().and_then(|index| table.get(index));
            key.cloned().ok_or(NoAggregate::Index { user_record, index, length: table.len() })
        };
        Ok(UserRecord {
            partition_key: key(&partition_keys, record.partition_key_index)?,
            explicit_hash_key: record
                .explicit_hash_key_index
                .map(|index| key(&explicit_hash_keys, index))
                .transpose()?,
            data: record.data,
        })
    };
    records.into_iter().enumerate().map(user_record).collect()
}

/// An aggregate of user records with this data, under one key.
#[cfg(any(test, feature = "fakes"))]
pub fn aggregate_of(data: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let record =
        |data: Vec<u8>| Record { partition_key_index: 0, explicit_hash_key_index: None, data: data.into() };
    let records = data.into_iter().map(record).collect();
    let message =
        AggregatedRecord { partition_keys: vec!["k".to_owned()], explicit_hash_keys: vec![], records };
    let message = message.encode_to_vec();
    [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat()
}

/// The message. A user record's tags (field 4) are ignored: no producer writes them.
#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A vector made by AWS's Python package (`tests/fixtures/kpl/make.py`).
    fn vector(name: &str) -> Bytes {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/kpl/");
        std::fs::read(format!("{folder}{name}")).unwrap().into()
    }

    fn keys(name: &str) -> Vec<(String, Option<String>)> {
        let records = user_records(&vector(name), 10_000).unwrap();
        let key = |key: Arc<str>| key.to_string();
        records
            .into_iter()
            .map(|record| (key(record.partition_key), record.explicit_hash_key.map(key)))
            .collect()
    }

    fn aggregate(message: &AggregatedRecord) -> Bytes {
        let message = message.encode_to_vec();
        [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat().into()
    }

    #[test]
    fn each_user_record_has_its_own_partition_key() {
        let key = |key: &str| (key.to_owned(), None);
        assert_eq!(keys("mixed-keys.bin"), [key("acme"), key("beta"), key("acme")]);
        let data = &user_records(&vector("one.bin"), 10_000).unwrap()[0].data;
        assert_eq!(&data[..], br#"{"tenant_id": "acme", "id": "k1", "text": "event 1"}"#);
    }

    #[test]
    fn explicit_hash_keys_are_read() {
        let largest = u128::MAX.to_string();
        assert_eq!(
            keys("explicit-hash-keys.bin"),
            [("acme".to_owned(), Some("0".to_owned())), ("beta".to_owned(), Some(largest))]
        );
    }

    #[test]
    fn a_thousand_records_come_out_in_order() {
        let records = user_records(&vector("thousand.bin"), 1_000).unwrap();
        assert_eq!(records.len(), 1_000);
        assert!(
            records.iter().enumerate().all(|(n, record)| *record.partition_key == *format!("t{}", n % 5))
        );
        assert!(matches!(
            user_records(&vector("thousand.bin"), 999),
            Err(NoAggregate::TooMany { found: 1_000, allowed: 999 })
        ));
    }

    #[test]
    fn every_truncation_is_noticed() {
        let whole = vector("mixed-keys.bin");
        for length in 0..whole.len() {
            assert!(user_records(&whole.slice(..length), 10_000).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn every_changed_byte_after_the_magic_is_noticed() {
        let whole = vector("one.bin");
        for at in MAGIC.len()..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 1;
            assert!(matches!(user_records(&changed.into(), 10_000), Err(NoAggregate::Checksum)), "byte {at}");
        }
    }

    #[test]
    fn user_records_share_the_key_that_they_name() {
        let record = Record { partition_key_index: 0, explicit_hash_key_index: None, data: Bytes::new() };
        let message = AggregatedRecord {
            partition_keys: vec!["k".repeat(900_000)],
            explicit_hash_keys: vec![],
            records: vec![record; 10_000],
        };
        let records = user_records(&aggregate(&message), 10_000).unwrap();
        assert!(records.iter().all(|record| Arc::ptr_eq(&record.partition_key, &records[0].partition_key)));
    }

    #[test]
    fn an_index_outside_its_table_is_refused() {
        let record = |partition_key_index, explicit_hash_key_index| AggregatedRecord {
            partition_keys: vec!["acme".to_owned()],
            explicit_hash_keys: vec![],
            records: vec![Record { partition_key_index, explicit_hash_key_index, data: Bytes::new() }],
        };
        assert!(user_records(&aggregate(&record(0, None)), 1).is_ok());
        for bad in [record(1, None), record(u64::MAX, None), record(0, Some(0))] {
            assert!(matches!(
                user_records(&aggregate(&bad), 1),
                Err(NoAggregate::Index { user_record: 0, .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(message: Vec<u8>) {
            let data = [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat();
            let _ = user_records(&data.into(), 100);
        }

        #[test]
        fn what_was_put_together_comes_apart(data: Vec<Vec<u8>>) {
            let record = |data: &Vec<u8>| Record { partition_key_index: 0, explicit_hash_key_index: None, data: data.clone().into() };
            let message = AggregatedRecord {
                partition_keys: vec!["k".to_owned()],
                explicit_hash_keys: vec![],
                records: data.iter().map(record).collect(),
            };
            let records = user_records(&aggregate(&message), data.len()).unwrap();
            prop_assert_eq!(records.iter().map(|record| record.data.to_vec()).collect::<Vec<_>>(), data);
        }
    }
}
