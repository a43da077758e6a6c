//! Ids of ours as items have them: shorter than in lines, because a write is billed by the byte. Each has one spelling only, so
//! that a condition can compare it.

use uuid::Uuid;

use crate::id::AdmissionId;
use crate::origin::{Origin, is_sequence_number};

/// Every shard of Kinesis is called this and twelve digits.
const SHARD: &str = "shardId-";
const SHARD_DIGITS: usize = 12;

/// `{shard}:{sequence number}`, then `.{position}` unless that is 0. Of `shardId-000000000007` it has `7`; any other shard is
/// there as it is, after a `=`.
pub fn origin(Origin { shard, sequence_number, position }: &Origin) -> String {
    let shard = shard_number(shard).map_or_else(|| format!("={shard}"), |number| number.to_string());
    let position = if *position == 0 { String::new() } else { format!(".{position}") };
    [&shard, ":", sequence_number, &position].concat()
}

/// Reads [`origin`] back.
pub(super) fn read_origin(text: &str) -> Option<Origin> {
    let (shard, line) = text.rsplit_once(':')?;
    let (sequence_number, position) = match line.split_once('.') {
        Some((sequence_number, position)) => (sequence_number, position.parse().ok()?),
        None => (line, 0),
    };
    let shard = match shard.strip_prefix('=') {
        Some(shard) => shard.into(),
        None => format!("{SHARD}{shard:0>SHARD_DIGITS$}").into(),
    };
    let read = Origin { shard, sequence_number: sequence_number.into(), position };
    (is_sequence_number(sequence_number) && origin(&read) == text).then_some(read)
}

fn shard_number(shard: &str) -> Option<u64> {
    let digits = shard.strip_prefix(SHARD).filter(|digits| digits.len() == SHARD_DIGITS)?;
    // `parse` also takes a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The 16 bytes in base64: 22 characters.
pub fn admission(AdmissionId(id): AdmissionId) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(id.as_bytes())
}

/// Reads [`admission`] back.
pub(super) fn read_admission(text: &str) -> Option<AdmissionId> {
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    Uuid::from_slice(&bytes).ok().map(AdmissionId).filter(|id| admission(*id) == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(shard: &str, sequence_number: &str, position: u32) -> Origin {
        Origin { shard: shard.into(), sequence_number: sequence_number.into(), position }
    }

    #[test]
    fn yesterdays_spelling_is_todays() {
        assert_eq!(origin(&at("shardId-000000000000", "4951", 0)), "0:4951");
        assert_eq!(origin(&at("shardId-000000000120", "4951", 30)), "120:4951.30");
        assert_eq!(origin(&at("shardId-999999999999", "0", u32::MAX)), "999999999999:0.4294967295");
        assert_eq!(origin(&at("shardId-0", "4951", 1)), "=shardId-0:4951.1");
        assert_eq!(origin(&at("7", "4951", 0)), "=7:4951");
        assert_eq!(admission(AdmissionId(Uuid::from_u128(1))), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn a_second_spelling_is_refused() {
        for text in [
            "",
            ":",
            "0:",
            "0",
            ":49",
            "+1:49",
            "00:49",
            "1234567890123:49",
            "0:4951.0",
            "0:4951.01",
            "0:4951.+1",
            "0:4951.",
            "0:4951.4294967296",
            "0:495x",
            "0:.1",
            "=shardId-000000000000:49",
            "shardId-0:49",
        ] {
            assert_eq!(read_origin(text), None, "{text}");
        }
        // The last character has four bits to spare.
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAR",
            "AAAAAAAAAAAAAAAAAAAAAQ==",
            "AAAA",
            "019aa553-4a00-7000-8000-000000000001",
        ] {
            assert_eq!(read_admission(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            shard in prop_oneof!["shardId-[0-9]{12}", "shardId-[0-9]{11,13}", "[0-9]{0,3}", "[=:.a-zé0-9-]{0,20}"],
            sequence_number in "[0-9]{1,60}",
            position in prop_oneof![Just(0), any::<u32>()],
            admission_id in any::<u128>(),
        ) {
            let written = at(&shard, &sequence_number, position);
            prop_assert_eq!(read_origin(&origin(&written)), Some(written));
            let admission_id = AdmissionId(Uuid::from_u128(admission_id));
            prop_assert_eq!(read_admission(&admission(admission_id)), Some(admission_id));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[=0-9:.+x-]{0,12}") {
            if let Some(read) = read_origin(&text) {
                prop_assert_eq!(origin(&read), text);
            }
        }
    }
}
