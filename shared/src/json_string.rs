//! Writes a JSON string as `serde_json` does, several bytes at a time: texts are most of what is written, and most of them has no
//! escapes.

use std::io::Write;

/// As many as are compared at once.
const CHUNK: usize = 32;

/// Appends `text` with its quotes.
pub fn write(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.as_bytes().chunks(CHUNK) {
        // No early end, so that the compiler compares the whole chunk at once.
        if chunk.iter().fold(false, |any, byte| any | is_escaped(*byte)) {
            for byte in chunk {
                write_byte(*byte, out);
            }
        } else {
            out.extend_from_slice(chunk);
        }
    }
    out.push(b'"');
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn write_byte(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ if is_escaped(byte) => return write!(out, "\\u{byte:04x}").expect("a vector takes all bytes"),
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_ascii_character_is_written_as_serde_json_does() {
        let all: String = (0..128_u8).map(char::from).collect();
        assert_eq!(written(&all), serde_json::to_string(&all).unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_does(text in "([a-z ]{0,40}|[\"\\\\\n\u{0}-\u{1f}é\u{1f600}]){0,9}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
