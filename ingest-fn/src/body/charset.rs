//! Makes a body UTF-8, whatever Unicode or older character set it came in.

use bytes::Bytes;
use encoding_rs::{DecoderResult, Encoding, UTF_8};

use crate::rejection::Rejection;

/// The encoding to decode from, `None` for UTF-8, and the body without its byte order mark. A mark wins over the header, as in
/// browsers. UTF-8 is not checked here: a bad line of several is that line's own.
pub(super) fn of<'a>(body: &'a [u8], charset: &'static Encoding) -> (Option<&'static Encoding>, &'a [u8]) {
    let (encoding, mark) = Encoding::for_bom(body).unwrap_or((charset, 0));
    ((encoding != UTF_8).then_some(encoding), &body[mark..])
}

/// Decodes to at most `most` bytes. Some encodings become three times as long.
pub(super) fn decode(body: &[u8], encoding: &'static Encoding, most: usize) -> Result<Bytes, Rejection> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let bound = decoder.max_utf8_buffer_length_without_replacement(body.len()).unwrap_or(usize::MAX);
    // A few bytes more than allowed, since a character is written whole.
    let mut text = String::with_capacity(bound.min(most + 4));
    match decoder.decode_to_string_without_replacement(body, &mut text, true) {
        (DecoderResult::InputEmpty, _) if text.len() <= most => Ok(text.into()),
        (DecoderResult::Malformed(..), _) => Err(Rejection::NotOfCharset(encoding.name())),
        _ => Err(Rejection::BodyTooLarge { limit: most }),
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

    use super::*;

    fn read(body: &[u8], charset: &'static Encoding, most: usize) -> Result<Bytes, &'static str> {
        match of(body, charset) {
            (None, text) => Ok(Bytes::copy_from_slice(text)),
            (Some(encoding), text) => decode(text, encoding, most).map_err(|rejection| rejection.code()),
        }
    }

    #[test]
    fn a_body_becomes_utf_8_by_its_mark_or_its_charset() {
        assert_eq!(read(b"\xef\xbb\xbf{}", UTF_8, 9).unwrap(), "{}");
        assert_eq!(read(b"\xff\xfeh\0\xe9\0", UTF_8, 9).unwrap(), "h\u{e9}");
        assert_eq!(read(b"\xfe\xff\0h\0\xe9", UTF_16LE, 9).unwrap(), "h\u{e9}");
        assert_eq!(read(b"\0h\xd8\x3d\xde\x00", UTF_16BE, 9).unwrap(), "h\u{1f600}");
        assert_eq!(read(b"caf\xe9 \x80", WINDOWS_1252, 9).unwrap(), "caf\u{e9} \u{20ac}");
        assert_eq!(read(b"", WINDOWS_1252, 9).unwrap(), "");
    }

    #[test]
    fn what_is_not_of_its_charset_is_refused() {
        for (body, charset) in
            [(&b"h\0\x3d\xd8"[..], UTF_16LE), (b"h\0i", UTF_16LE), (b"\0h\xde\x00", UTF_16BE)]
        {
            assert_eq!(read(body, charset, 99), Err("not_of_charset"), "{body:?}");
        }
    }

    #[test]
    fn the_limit_is_on_what_it_becomes() {
        assert_eq!(read(b"\x80\x80\x80", WINDOWS_1252, 9).unwrap().len(), 9);
        assert_eq!(read(b"\x80\x80\x80\x80", WINDOWS_1252, 9), Err("body_too_large"));
        assert_eq!(read(b"\x80\x80\x80a", WINDOWS_1252, 9), Err("body_too_large"));
        assert_eq!(read(&vec![b'a'; 100_000], WINDOWS_1252, 100_000).unwrap().len(), 100_000);
    }
}
