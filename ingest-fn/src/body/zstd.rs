//! Reads Zstandard (RFC 8878) frame by frame: the decoder reads one frame, and a body may have several.

use std::io::{self, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// The largest window a frame may ask for: the size that every decoder should support (RFC 8878, section 3.1.1.1.2). Not
/// more, since the decoder keeps a window of output in memory, whatever the cap on the output.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// A skippable frame's magic number, but for the lowest four bits of its first byte.
const SKIPPABLE: [u8; 4] = 0x184d_2a50_u32.to_le_bytes();

/// The content of all frames in order.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    open: Option<StreamingDecoder<&'a [u8], FrameDecoder>>,
    seen_one: bool,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, open: None, seen_one: false }
    }

    /// Opens the next frame; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        while is_skippable(self.rest) {
            self.rest = after_skippable(self.rest).ok_or(io::ErrorKind::UnexpectedEof)?;
        }
        if self.rest.is_empty() && self.seen_one {
            return Ok(false);
        }
        let window = window_bytes(self.rest).ok_or_else(|| io::Error::other("not a zstd frame"))?;
        if window > WINDOW_BYTES {
            return Err(io::Error::other(format!("its window is larger than {WINDOW_BYTES} bytes")));
        }
        self.open = Some(StreamingDecoder::new(self.rest).map_err(io::Error::other)?);
        self.seen_one = true;
        Ok(true)
    }

    /// Continues after a frame that was read to its end.
    fn close(&mut self, frame: StreamingDecoder<&'a [u8], FrameDecoder>) -> io::Result<()> {
        let (rest, decoder) = frame.into_parts();
        self.rest = rest;
        match decoder.get_checksum_from_data() {
            Some(promised) if decoder.get_calculated_checksum() != Some(promised) => {
                Err(io::Error::other("its checksum does not match"))
            }
            _ => Ok(()),
        }
    }
}

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(mut frame) = self.open.take() else {
                if self.advance()? {
                    continue;
                }
                return Ok(0);
            };
            match frame.read(buffer)? {
                0 if !buffer.is_empty() => self.close(frame)?,
                bytes => {
                    self.open = Some(frame);
                    return Ok(bytes);
                }
            }
        }
    }
}

fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [first, rest @ ..] if first & 0xf0 == SKIPPABLE[0] && rest.starts_with(&SKIPPABLE[1..]))
}

fn after_skippable(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    bytes.get(8..)?.get(usize::try_from(length).ok()?..)
}

/// The window that the frame's header asks for (RFC 8878, section 3.1.1.1). The decoder checks it itself only when it
/// is used a second time.
fn window_bytes(frame: &[u8]) -> Option<u64> {
    let header = frame.strip_prefix(&MAGIC)?;
    let (descriptor, header) = header.split_first()?;
    let is_single_segment = descriptor & 0b10_0000 != 0;
    if !is_single_segment {
        let window = header.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 0b111));
    }
    // A single segment's window is its content.
    let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let content_size = header.get(dictionary_id..)?;
    let bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(content_size.get(..bytes)?);
    // Two bytes count from 256: what is less has one.
    Some(u64::from_le_bytes(number).saturating_add(if bytes == 2 { 256 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn frame(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        let mut content = String::new();
        Frames::new(bytes).read_to_string(&mut content).map(|_| content).map_err(|error| error.to_string())
    }

    #[test]
    fn frames_are_read_one_after_the_other_and_skippable_ones_are_skipped() {
        let skippable = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";
        assert_eq!(read(&[frame(b"one "), skippable.to_vec(), frame(b"two")].concat()).unwrap(), "one two");
        assert_eq!(read(&frame(b"")).unwrap(), "");
    }

    #[test]
    fn a_frame_that_the_reference_encoder_wrote_is_read() {
        // `printf 'hello hello hello hello hello hello' | zstd`, with its checksum.
        let written = b"\x28\xb5\x2f\xfd\x04\x58\x65\x00\x00\x30\x68\x65\x6c\x6c\x6f\x20\x01\x00\xb9\x4b\x11\x2b\xe1\x68\xe7";
        assert_eq!(read(written).unwrap(), "hello hello hello hello hello hello");
        let mut wrong = *written;
        wrong[24] ^= 1;
        assert_eq!(read(&wrong).unwrap_err(), "its checksum does not match");
    }

    #[test]
    fn a_window_beyond_what_decoders_are_to_support_is_refused_before_a_byte_is_decoded() {
        // Window_Descriptor 0x70: 2^24 bytes. One RLE block follows that says 128 KiB of zeros.
        let frame = b"\x28\xb5\x2f\xfd\x00\x70\x03\x00\x10\x00";
        assert_eq!(read(frame).unwrap_err(), "its window is larger than 8388608 bytes");
        // A single segment of 2^40 bytes.
        let frame = b"\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x03\x00\x10\x00";
        assert_eq!(read(frame).unwrap_err(), "its window is larger than 8388608 bytes");
    }

    #[test]
    fn nothing_and_nonsense_are_no_frames() {
        assert_eq!(read(b"").unwrap_err(), "not a zstd frame");
        assert_eq!(read(b"hello").unwrap_err(), "not a zstd frame");
        assert!(read(b"\x5a\x2a\x4d\x18\x03\x00").is_err());
    }
}
