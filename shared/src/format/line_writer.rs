//! Writes a line of JSON, one member after another, into memory that was asked for once. serde writes the same, piece by
//! piece, and looks at each byte of a text by itself.

use serde::Serialize;

/// As many bytes of a text are looked at together.
const BLOCK: usize = 32;

/// A line that is being written.
#[derive(Debug)]
pub(crate) struct LineWriter(Vec<u8>);

impl LineWriter {
    /// For a line of about `bytes` bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// A member with any text as its value.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.0.push(b'"');
        push_escaped(text.as_bytes(), &mut self.0);
        self.0.push(b'"');
    }

    /// A member with JSON as its value.
    pub(crate) fn json(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// A member of any type.
    pub(crate) fn value(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        serde_json::to_writer(&mut self.0, value).expect("members of lines always serialise");
    }

    /// The line, without a newline.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b",\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }
}

fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = rest.split_at(plain_bytes(rest));
        out.extend_from_slice(plain);
        let escaped = after.iter().take_while(|byte| is_escaped(**byte)).count();
        after[..escaped].iter().for_each(|byte| push_escape(*byte, out));
        rest = &after[escaped..];
    }
}

/// How many bytes there are before the first that is written as an escape.
fn plain_bytes(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    // Without an early end, so that the compiler looks at all bytes of a block at once.
    let is_plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | is_escaped(*byte));
    let checked = blocks.iter().take_while(is_plain).count() * BLOCK;
    checked + text[checked..].iter().take_while(|byte| !is_escaped(**byte)).count()
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "with `||` the compiler looks at the bytes of a block one by one"
)]
fn is_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'\t' => b't',
        b'\r' => b'r',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        _ => {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_written_in_their_order() {
        let mut line = LineWriter::with_capacity(8);
        line.value("v", &1);
        line.text("text", "a\"b");
        line.json("fields", r#"{"a":1.0}"#);
        assert_eq!(line.finish(), br#"{"v":1,"text":"a\"b","fields":{"a":1.0}}"#);
    }

    proptest! {
        /// Texts with and without escapes, longer and shorter than blocks.
        #[test]
        fn a_text_is_written_as_serde_writes_it(text in r"(\PC{0,70}|[\x00-\x24\\a-c\x7fé]{0,40}){0,4}") {
            let mut line = LineWriter::with_capacity(0);
            line.text("text", &text);
            prop_assert_eq!(line.finish(), json!({ "text": text }).to_string().into_bytes());
        }
    }
}
