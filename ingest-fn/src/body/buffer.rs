//! The bytes of a body while it arrives.
//!
//! A large body gets a mapping of its own, as large as it may become. The system gives it memory only as it is written, and takes
//! all of it back at once. In the allocator's heap a flood of growing bodies would leave holes as large as the bodies.

use std::io;

use bytes::Bytes;
use memmap2::MmapMut;

/// Smaller bodies are in the heap.
const MAPPED_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Buffer {
    small: Vec<u8>,
    /// In place of `small`, with its length.
    mapped: Option<(MmapMut, usize)>,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.mapped.as_ref().map_or(self.small.len(), |(_, length)| *length)
    }

    /// Appends `data`. `whole` is the length that the body will probably have. It fails if the system gives no memory.
    pub(super) fn extend(&mut self, data: &[u8], whole: usize) -> io::Result<()> {
        let end = self.len() + data.len();
        match &mut self.mapped {
            Some((map, length)) if end <= map.len() => {
                map[*length..end].copy_from_slice(data);
                *length = end;
            }
            None if end <= MAPPED_BYTES => self.small.extend_from_slice(data),
            // Also where the body becomes larger than was said.
            _ => {
                let mut map = MmapMut::map_anon(whole.max(2 * end))?;
                map[..self.len()].copy_from_slice(self.bytes());
                map[self.len()..end].copy_from_slice(data);
                *self = Self { small: Vec::new(), mapped: Some((map, end)) };
            }
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.mapped.as_ref().map_or(&self.small, |(map, length)| &map[..*length])
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Self {
        match buffer.mapped {
            Some((map, length)) => Self::from_owner(map).slice(..length),
            None => buffer.small.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_there_whatever_length_was_expected() {
        let data: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        for (expected, part) in [(0, 1_000), (300_000, 7), (100_000, 65_536), (1 << 24, 300_000)] {
            for length in [0, 1, MAPPED_BYTES, MAPPED_BYTES + 1, data.len()] {
                let mut buffer = Buffer::default();
                for part in data[..length].chunks(part) {
                    buffer.extend(part, expected).unwrap();
                }
                assert_eq!(buffer.len(), length);
                assert_eq!(Bytes::from(buffer), data[..length], "{expected} {part} {length}");
            }
        }
    }
}
