//! Inflates bodies by their content coding, with a cap on the output.

use bytes::Bytes;
use shared::gzip::{self, Cap};

use super::zstd::Frames;
use crate::media::Coding;
use crate::rejection::Rejection;

pub(super) fn inflate(bytes: &Bytes, coding: Coding, cap: Cap) -> Result<Bytes, Rejection> {
    let inflated = match coding {
        Coding::Identity => return Ok(bytes.clone()),
        Coding::Gzip => gzip::inflate(bytes, cap),
        Coding::Deflate if gzip::is_zlib(bytes) => gzip::inflate_zlib(bytes, cap),
        Coding::Deflate => gzip::inflate_raw(bytes, cap),
        Coding::Zstd => gzip::read_capped(Frames::new(bytes), bytes.len(), cap),
    };
    inflated.map(Bytes::from).map_err(Rejection::inflating)
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
            let other = Bytes::from_static(b"{\"text\":\"not compressed\"}");
            assert_eq!(inflate(&other, coding, CAP).unwrap_err().code(), "body_corrupt", "{coding:?}");
        }
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
