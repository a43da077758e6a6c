//! Inflates bodies by their content coding, with a cap on the output. Two things go wrong on the way to ingest: a proxy inflates
//! the body and leaves the header, or something takes the compressed bytes for text.

use std::str;

use bytes::Bytes;
use memchr::memmem;
use shared::gzip::{self, Cap, InflateError};
use shared::sequence;

use super::zstd::Frames;
use crate::media::Coding;
use crate::rejection::Rejection;

/// How gzip begins, with its method, after bytes that are not UTF-8 were replaced.
const MANGLED_GZIP: &[u8] = "\x1f\u{fffd}\x08".as_bytes();
/// The most bytes that a text may inflate to before it is found to be no compressed data. Raw deflate has no mark at its beginning,
/// so there are texts that inflate to much, and this is work. It is less than what [`Cap`] always allows.
const TRIED_BYTES: usize = 16 * 1024;

pub(super) fn inflate(bytes: &Bytes, coding: Coding, cap: Cap) -> Result<Bytes, Rejection> {
    let inflated = match coding {
        Coding::Identity if bytes.starts_with(MANGLED_GZIP) => return Err(Rejection::BodyMangled),
        Coding::Identity => return Ok(bytes.clone()),
        Coding::Gzip => gzip::inflate(bytes, cap),
        Coding::Deflate if gzip::is_zlib(bytes) => gzip::inflate_zlib(bytes, cap),
        // It has no checksum: what is left of it may inflate to anything.
        Coding::Deflate if is_text(bytes) && is_mangled(bytes) => return Err(Rejection::BodyMangled),
        Coding::Deflate => gzip::inflate_raw(bytes, cap),
        Coding::Zstd => gzip::read_capped(Frames::new(bytes), bytes.len(), cap),
    };
    match inflated {
        Ok(inflated) => Ok(inflated.into()),
        Err(InflateError::Corrupt { inflated, .. }) if inflated <= TRIED_BYTES && is_text(bytes) => {
            if is_mangled(bytes) {
                Err(Rejection::BodyMangled)
            } else {
                Ok(bytes.clone())
            }
        }
        Err(error) => Err(Rejection::inflating(error)),
    }
}

/// Compressed bytes are not: the second byte of gzip is not UTF-8, nor is the last one of zstd's magic number.
fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok()
}

/// Whether a text is what remains of compressed bytes, of which those that are not UTF-8 were replaced. JSON may have U+FFFD of its
/// own, but no control characters. Of other texts it cannot be known, so they are not stored as if they were whole.
fn is_mangled(text: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\r\0\x1e".contains(byte);
    memmem::find(text, "\u{fffd}".as_bytes()).is_some()
        && (!sequence::begins_as_json(text) || text.iter().any(is_control))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;

    use super::*;

    const CAP: Cap = Cap { bytes: 100_000, ratio: 1_100 };

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        gzip::compress(data, gzip::Level::FAST)
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        compress_to_vec(data, CompressionLevel::Fastest)
    }

    type Encoder = fn(&[u8]) -> Vec<u8>;
    const CODINGS: [(Coding, Encoder); 4] =
        [(Coding::Gzip, gzip), (Coding::Deflate, zlib), (Coding::Deflate, raw_deflate), (Coding::Zstd, zstd)];

    #[test]
    fn every_coding_gives_back_what_went_in_up_to_the_cap_and_not_a_byte_more() {
        for (coding, encode) in CODINGS {
            let data = b"0123456789".repeat(CAP.bytes / 10);
            assert_eq!(inflate(&encode(&data).into(), coding, CAP).unwrap(), data, "{coding:?}");
            let more = [&data[..], b"x"].concat();
            let rejection = inflate(&encode(&more).into(), coding, CAP).unwrap_err();
            assert_eq!(
                (rejection.code(), rejection.limit()),
                ("body_too_large", Some(100_000)),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn a_body_that_is_out_of_proportion_is_refused_before_the_cap() {
        let cap = Cap { bytes: 50_000_000, ratio: 20 };
        for (coding, encode) in CODINGS {
            let rejection = inflate(&encode(&vec![0; 20_000_000]).into(), coding, cap).unwrap_err();
            assert_eq!(rejection.code(), "inflate_ratio", "{coding:?}");
        }
    }

    #[test]
    fn bytes_that_are_cut_or_of_another_coding_are_corrupt() {
        for (coding, encode) in CODINGS {
            let whole = encode(&b"some text that is long enough to be cut. ".repeat(9));
            let cut = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
            assert_eq!(inflate(&cut, coding, CAP).unwrap_err().code(), "body_corrupt", "{coding:?}");
            for other in [&b"{\"text\":\"gr\xfc\xdfe\"}"[..], &[b"{\"id\":1}\n", &whole[..]].concat()] {
                let other = Bytes::copy_from_slice(other);
                assert_eq!(inflate(&other, coding, CAP).unwrap_err().code(), "body_corrupt", "{coding:?}");
            }
        }
    }

    /// What a Function URL makes of a body that it takes for text.
    fn as_text(bytes: &[u8]) -> Bytes {
        String::from_utf8_lossy(bytes).into_owned().into()
    }

    fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
        (0..count).map(line).collect::<Vec<_>>().concat()
    }

    #[test]
    fn compressed_bytes_that_were_taken_for_text_have_their_own_problem() {
        let one = br#"{"id":1,"text":"an event"}"#;
        let lines = lines(200, |n| format!("{{\"id\":{n},\"text\":\"event {n}\"}}\n"));
        for (coding, encode) in CODINGS {
            for body in [
                &one[..],
                lines.as_bytes(),
                b"a text, not short",
                // So long that some byte becomes a control character.
                "a text with \u{fffd} of its own; the quick brown fox jumps over 13 lazy dogs, by 7:45 and @ £20".as_bytes(),
            ] {
                let shown = String::from_utf8_lossy(body);
                let encoded = encode(body);
                let refused = inflate(&as_text(&encoded), coding, CAP).map_err(|refused| refused.code());
                assert_eq!(refused, Err("body_mangled"), "{coding:?} of {shown}");
            }
        }
        let later = as_text(&[one, &b"\n"[..], &gzip(lines.as_bytes())].concat());
        assert_eq!(
            inflate(&later, Coding::Gzip, CAP).unwrap_err().code(),
            "body_mangled",
            "after a line of text"
        );
        let without_header = inflate(&as_text(&gzip(one)), Coding::Identity, CAP);
        assert_eq!(without_header.unwrap_err().code(), "body_mangled");
    }

    #[test]
    fn a_text_after_a_header_that_a_proxy_left_is_read() {
        let lines = lines(4_000, |n| format!("{{\"tenant_id\":\"acme\",\"id\":{n}}}\n"));
        for body in [
            r#"{"id":1,"text":"x"}"#,
            r#"[{"text":"x"},{"text":"y"}]"#,
            "\u{feff} {\"text\":\"\u{fffd}\"}\0\x1e{}\r\n\t",
            "a text, grüße",
            "x^",
            "{@}@}",
            " ",
            &lines,
        ] {
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd, Coding::Identity] {
                let read = inflate(&Bytes::copy_from_slice(body.as_bytes()), coding, CAP);
                assert_eq!(read.unwrap(), body, "{coding:?}");
            }
        }
    }

    /// `{@` begins a block of raw deflate with one letter; each `}@` repeats it 82 times.
    #[test]
    fn a_text_that_inflates_to_much_before_it_breaks_counts_as_compressed() {
        let text = format!("{{@{}", "}@".repeat(1_000));
        assert_eq!(inflate(&text.into(), Coding::Deflate, CAP).unwrap_err().code(), "body_corrupt");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(mut data: Vec<u8>, which in 0..4_usize, magic: bool) {
            let (coding, encode) = CODINGS[which];
            if magic {
                // Begins as the coding does, so that the decoder gets past the first bytes.
                data = [&encode(&data)[..data.len().min(6)], &data[..]].concat();
            }
            let _ = inflate(&data.into(), coding, CAP);
        }
    }
}
