//! The claim check: a line that is too large is stored whole on S3, compressed and in parts. Its *head* replaces it: the
//! same line without text and fields, but with a claim check, which has the key and the checksum of the stored line.
//!
//! Ingest stores lines that are too large for a stream record, under `claims/`. The consumer stores archive lines that
//! are too large for an archive object, under `texts/`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::{is_sha256, sha256};
use crate::gzip::{self, Cap, InflateError};
use crate::limits;

/// Names are on the wire: never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimCheck {
    /// The key of the part. If there are several, the beginning of their keys.
    pub key: String,
    /// How many objects hold the line, each of at most 5,000,000 bytes.
    pub parts: u32,
    /// The size of all parts: the compressed line.
    pub bytes: u64,
    /// SHA-256 of all parts together.
    pub sha256: String,
    /// The size of the line itself.
    pub line_bytes: u64,
    /// The event's content hash ([`super::event_line::Event::content_hash`]), for readers that do not fetch the line.
    pub content_hash: String,
}

/// One object: its key and its bytes.
pub type Part = (String, Bytes);

/// The stored parts are not the line of the claim check.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    #[error("`{key}` holds {found} bytes with another checksum than promised ({promised} bytes)")]
    Parts { key: String, found: u64, promised: u64 },
    #[error("`{key}` is a compressed line, but {source}")]
    Inflate { key: String, source: InflateError },
    #[error("`{key}` inflates to {found} bytes, promised are {promised}")]
    Line { key: String, found: u64, promised: u64 },
}

impl ClaimCheck {
    /// A claim check for a line of `line_bytes` that is compressed to `stored`, and the parts to store. `key` makes the
    /// key from the checksum.
    pub fn new(
        stored: Vec<u8>,
        line_bytes: usize,
        content_hash: String,
        key: impl FnOnce(&str) -> String,
    ) -> (Self, Vec<Part>) {
        let stored = Bytes::from(stored);
        let sha256 = sha256(&stored);
        let claim = Self {
            key: key(&sha256),
            parts: u32::try_from(parts_of(stored.len() as u64)).expect("a line has few parts"),
            bytes: stored.len() as u64,
            sha256,
            line_bytes: line_bytes as u64,
            content_hash,
        };
        let cut = (0..stored.len()).step_by(limits::OBJECT_BYTES);
        let cut = cut.map(|from| stored.slice(from..stored.len().min(from + limits::OBJECT_BYTES)));
        let parts = claim.part_keys().into_iter().zip(cut).collect();
        (claim, parts)
    }

    /// The keys of the parts, in order.
    pub fn part_keys(&self) -> Vec<String> {
        match self.parts {
            1 => vec![self.key.clone()],
            parts => (0..parts).map(|part| format!("{}/{part}", self.key)).collect(),
        }
    }

    /// Whether it may be followed. Anyone who can write to the stream can write a claim check. So it must have the event's
    /// `own_key`, and a line of at most `most_bytes`. Another key could be of another tenant's line, or one that the store
    /// refuses each time.
    pub fn check(&self, own_key: impl FnOnce(&str) -> String, most_bytes: u64) -> Result<(), String> {
        if !is_sha256(&self.sha256) {
            return Err("its checksum is not SHA-256 in lower-case hexadecimal".to_owned());
        }
        let own_key = own_key(&self.sha256);
        if self.key != own_key {
            return Err(format!(
                "the claim check `{}` is not at the event's own key (`{own_key}`)",
                self.key
            ));
        }
        let bound = gzip::compressed_bound(usize::try_from(self.line_bytes).unwrap_or(usize::MAX / 2));
        if self.line_bytes > most_bytes
            || self.bytes > bound as u64
            || u64::from(self.parts) != parts_of(self.bytes)
        {
            return Err(format!(
                "a claim check of {} bytes in {} parts for a line of {} bytes is not allowed (at most {most_bytes} bytes a line, {} a part)",
                self.bytes,
                self.parts,
                self.line_bytes,
                limits::OBJECT_BYTES
            ));
        }
        Ok(())
    }

    /// The line, from its parts in order.
    pub fn line(&self, parts: &[Bytes]) -> Result<Vec<u8>, Mismatch> {
        let key = || self.key.clone();
        let stored = parts.concat();
        let found = stored.len() as u64;
        if found != self.bytes || sha256(&stored) != self.sha256 {
            return Err(Mismatch::Parts { key: key(), found, promised: self.bytes });
        }
        let cap = Cap { bytes: usize::try_from(self.line_bytes).unwrap_or(usize::MAX), ratio: u32::MAX };
        let line = gzip::inflate(&stored, cap).map_err(|source| Mismatch::Inflate { key: key(), source })?;
        let found = line.len() as u64;
        if found == self.line_bytes {
            Ok(line)
        } else {
            Err(Mismatch::Line { key: key(), found, promised: self.line_bytes })
        }
    }
}

fn parts_of(bytes: u64) -> u64 {
    bytes.div_ceil(limits::OBJECT_BYTES as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(stored: Vec<u8>, line_bytes: usize) -> (ClaimCheck, Vec<Part>) {
        ClaimCheck::new(stored, line_bytes, "hash".to_owned(), |sha256| format!("claims/acme/1/{sha256}"))
    }

    #[test]
    fn golden_claim_checks_are_read_and_written_to_the_same_bytes() {
        let golden = r#"{"key":"claims/acme/big/ab","parts":2,"bytes":9000000,"sha256":"ab","line_bytes":12000000,"content_hash":"cd"}"#;
        let claim: ClaimCheck = serde_json::from_str(golden).unwrap();
        assert_eq!(claim.part_keys(), ["claims/acme/big/ab/0", "claims/acme/big/ab/1"]);
        assert_eq!(serde_json::to_string(&claim).unwrap(), golden);
    }

    #[test]
    fn no_part_exceeds_the_largest_object_and_the_line_comes_back() {
        // Bytes that do not compress.
        let noise: Vec<u8> = (0..5_100_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).wrapping_mul(n | 1).to_be_bytes()[0])
            .collect();
        for (line, parts) in [(&noise[..10], 1), (&noise[..4_900_000], 1), (&noise[..], 2)] {
            let (claim, stored) = claim(gzip::compress(line, gzip::Level::FAST), line.len());
            assert_eq!((stored.len(), claim.parts), (parts, u32::try_from(parts).unwrap()));
            assert!(stored.iter().all(|(_, part)| part.len() <= limits::OBJECT_BYTES));
            let stored: Vec<_> = stored.into_iter().map(|(_, part)| part).collect();
            assert!(claim.line(&stored).unwrap() == line);
        }
    }

    #[test]
    fn other_bytes_than_promised_are_refused() {
        let (claim_of_one, _) = claim(gzip::compress(b"one", gzip::Level::FAST), 3);
        let two = Bytes::from(gzip::compress(b"two", gzip::Level::FAST));
        assert!(matches!(claim_of_one.line(&[two]), Err(Mismatch::Parts { .. })));
        assert!(matches!(claim_of_one.line(&[]), Err(Mismatch::Parts { .. })));
        let (binary, parts) = claim(b"not gzip".to_vec(), 3);
        assert!(matches!(binary.line(&[parts[0].1.clone()]), Err(Mismatch::Inflate { .. })));
        let (short, parts) = claim(gzip::compress(b"one", gzip::Level::FAST), 4);
        assert!(matches!(short.line(&[parts[0].1.clone()]), Err(Mismatch::Line { .. })));
    }

    #[test]
    fn a_claim_check_is_followed_only_to_its_own_key_and_within_bounds() {
        let (good, _) = claim(gzip::compress(&[b'x'; 1_000], gzip::Level::FAST), 1_000);
        let check = |claim: &ClaimCheck, most| claim.check(|sha256| format!("claims/acme/1/{sha256}"), most);
        assert_eq!(check(&good, 1_000), Ok(()));
        assert!(check(&good, 999).is_err());
        for bad in [
            ClaimCheck { key: good.key.replace("acme", "beta"), ..good.clone() },
            ClaimCheck { sha256: good.sha256.to_uppercase(), key: good.key.to_uppercase(), ..good.clone() },
            ClaimCheck { sha256: String::new(), key: "claims/acme/1/".to_owned(), ..good.clone() },
            ClaimCheck { parts: u32::MAX, ..good.clone() },
            ClaimCheck { parts: 2, bytes: 5_000_001, ..good.clone() },
        ] {
            assert!(check(&bad, 1_000).is_err(), "{bad:?}");
        }
    }
}
