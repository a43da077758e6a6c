//! SHA-256, and other bytes, in lower-case hexadecimal, as keys and lines have it.

use sha2::{Digest, Sha256};

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

/// Whether `digest` has the form that [`sha256`] gives.
pub fn is_sha256(digest: &str) -> bool {
    digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_recognised_by_its_form() {
        let digest = sha256(b"one");
        assert!(is_sha256(&digest));
        assert!(
            !is_sha256(&digest.to_uppercase()) && !is_sha256(&digest[1..]) && !is_sha256(&"g".repeat(64))
        );
    }
}
