//! The claim check: a text too large for the stream lies on S3, in parts, and the event carries a reference to it.

use crate::digest::sha256;
use crate::limits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Names bytes on S3 and proves them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The object's key; with several parts, the folder that holds them.
    pub key: String,
    /// How many objects hold the bytes, each at most 5,000,000 bytes.
    pub parts: u32,
    /// The whole's length in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole, in lower-case hexadecimal.
    pub sha256: String,
}

/// The objects do not hold what the reference promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` holds {found} bytes with another checksum than promised ({promised} bytes)")]
pub struct Mismatch {
    key: String,
    found: u64,
    promised: u64,
}

impl BlobRef {
    /// A reference to `bytes`, under the key that `key` makes of their checksum.
    pub fn to(bytes: &[u8], key: impl FnOnce(&str) -> String) -> Self {
        let sha256 = sha256(bytes);
        let parts = bytes.len().div_ceil(limits::OBJECT_BYTES).max(1);
        Self {
            key: key(&sha256),
            parts: u32::try_from(parts).expect("a body holds few parts"),
            bytes: bytes.len() as u64,
            sha256,
        }
    }

    /// The keys of the parts, in order.
    pub fn part_keys(&self) -> Vec<String> {
        match self.parts {
            1 => vec![self.key.clone()],
            parts => (0..parts).map(|part| format!("{}/{part}", self.key)).collect(),
        }
    }

    /// `bytes` cut into what each part holds: `(key, bytes)`, in order.
    pub fn split(&self, bytes: &Bytes) -> Vec<(String, Bytes)> {
        let cut = |part: usize| {
            let from = (part * limits::OBJECT_BYTES).min(bytes.len());
            bytes.slice(from..(from + limits::OBJECT_BYTES).min(bytes.len()))
        };
        self.part_keys().into_iter().enumerate().map(|(part, key)| (key, cut(part))).collect()
    }

    /// Puts the parts together again, and checks them.
    pub fn join(&self, parts: Vec<Bytes>) -> Result<Bytes, Mismatch> {
        let whole = match <[Bytes; 1]>::try_from(parts) {
            Ok([only]) => only,
            Err(parts) => parts.concat().into(),
        };
        if whole.len() as u64 == self.bytes && sha256(&whole) == self.sha256 {
            Ok(whole)
        } else {
            Err(Mismatch { key: self.key.clone(), found: whole.len() as u64, promised: self.bytes })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(len: usize, parts: usize) {
        let bytes = Bytes::from(vec![b'x'; len]);
        let blob = BlobRef::to(&bytes, |sha256| format!("payloads/acme/1/{sha256}"));
        let split = blob.split(&bytes);
        assert_eq!(split.len(), parts);
        assert!(split.iter().all(|(_, part)| part.len() <= limits::OBJECT_BYTES));
        assert_eq!(blob.join(split.into_iter().map(|(_, part)| part).collect()).unwrap(), bytes);
    }

    #[test]
    fn no_part_exceeds_the_largest_object_and_the_whole_comes_back() {
        check(0, 1);
        check(limits::OBJECT_BYTES, 1);
        check(limits::OBJECT_BYTES + 1, 2);
        check(limits::BODY_BYTES, 2);
    }

    #[test]
    fn other_bytes_than_promised_are_refused() {
        let blob = BlobRef::to(b"one", str::to_owned);
        assert!(blob.join(vec![Bytes::from_static(b"two")]).is_err());
        assert!(blob.join(vec![]).is_err());
    }
}
