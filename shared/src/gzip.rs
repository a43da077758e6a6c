//! Compression by libdeflate, which is faster at every ratio. It inflates most records, too; the others are inflated by
//! flate2, which streams, so that it can stop at a cap before it has used the memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use memchr::memmem;

/// How a gzip member begins (RFC 1952).
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The same, with its method, and without optional members of the header.
const PLAIN_HEADER: [u8; 4] = [0x1f, 0x8b, 8, 0];
/// A member ends with the checksum and the size of what it holds.
const TRAILER_BYTES: usize = 8;
/// Log lines become three to ten times as large, fifty of them in one record up to twenty times.
const USUAL_RATIO: usize = 32;

/// Below so many bytes, levels 2 to 4 are as level 1. libdeflate clears its tables before each member, 192 KB of them for these
/// levels, and in so few bytes it finds little more: members of one or two log lines take a quarter less time and are 0.3 % larger.
const SMALL_BYTES: usize = 2_048;

/// A compression level: 1 (fast) to 12 (small).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(i32);

impl Level {
    /// For bytes that are read once, soon: records on the stream.
    pub const FAST: Self = Self(1);

    /// A level of 1 to 12.
    pub fn new(level: u8) -> Option<Self> {
        (1..=12).contains(&level).then_some(Self(i32::from(level)))
    }
}

/// One gzip member that holds `data`. Few bytes are compressed at a faster level ([`SMALL_BYTES`]).
pub fn compress(data: &[u8], level: Level) -> Vec<u8> {
    thread_local! {
        // A compressor has a few hundred kilobytes of tables, so there is one for each thread and level.
        static COMPRESSORS: RefCell<BTreeMap<i32, Compressor>> = const { RefCell::new(BTreeMap::new()) };
    }
    let level = if data.len() < SMALL_BYTES && level.0 <= 4 { Level::FAST } else { level };
    COMPRESSORS.with_borrow_mut(|compressors| {
        let new = || Compressor::new(CompressionLvl::new(level.0).expect("1 to 12"));
        let compressor = compressors.entry(level.0).or_insert_with(new);
        let mut member = vec![0; compressor.gzip_compress_bound(data.len())];
        let length = compressor.gzip_compress(data, &mut member).expect("the bound is enough for any input");
        member.truncate(length);
        member
    })
}

/// One gzip member of exactly `length` bytes that holds `data`: it takes the place of another one, and what follows stays where it
/// is. `None` if `data` does not fit.
///
/// What is missing is filled so that every reader skips it: with empty stored blocks of five bytes (RFC 1951, section 3.2.4), and
/// with a file name of up to four (RFC 1952). Zeros after the member would end the file for some readers.
pub fn compress_to(data: &[u8], length: usize) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 10;
    const NAME_FLAG: u8 = 8;
    const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
    let member = compress(data, Level(12));
    let gap = length.checked_sub(member.len())?;
    let (header, rest) = member.split_at(HEADER_BYTES);
    let mut filled = header.to_vec();
    if let Some(letters) = (gap % EMPTY_BLOCK.len()).checked_sub(1) {
        filled[3] |= NAME_FLAG;
        filled.extend(std::iter::repeat_n(b'-', letters));
        filled.push(0);
    }
    for _ in 0..gap / EMPTY_BLOCK.len() {
        filled.extend(EMPTY_BLOCK);
    }
    filled.extend(rest);
    Some(filled)
}

/// The most bytes that [`compress`] makes of `length` bytes, at any level: deflate falls back to stored blocks.
pub fn compressed_bound(length: usize) -> usize {
    // libdeflate: a stored block holds at least 5,000 bytes and costs 5, plus 18 bytes of gzip framing and slack.
    length + 5 * length.div_ceil(5_000).max(1) + 32
}

/// How much output inflating may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Bytes of output.
    pub bytes: usize,
    /// Output for each byte of input, once the output passes 64 KiB.
    pub ratio: u32,
}

impl Cap {
    /// The most bytes that so many bytes may inflate to.
    pub fn of(self, input_bytes: usize) -> usize {
        const ALWAYS_ALLOWED: usize = 64 * 1024;
        self.bytes.min(input_bytes.saturating_mul(self.ratio as usize).max(ALWAYS_ALLOWED))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    #[error("it inflates to more than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("it inflates to more than {limit} times its size")]
    Ratio { limit: u32 },
    /// The input is not of its format, or ends early.
    #[error("it is corrupt: {error}")]
    Corrupt {
        #[source]
        error: std::io::Error,
        /// How many bytes it had inflated to when that was found.
        inflated: usize,
    },
}

impl InflateError {
    /// The name of this fault, for programs: the `code` of ingest's answer, and the reason in quarantine. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body_too_large",
            Self::Ratio { .. } => "inflate_ratio",
            Self::Corrupt { .. } => "body_corrupt",
        }
    }
}

/// Inflates all members of a gzip stream, up to `cap`. Zeros may follow, with which senders fill blocks (RFC 1952 has no
/// padding, but `gzip` takes it); anything else that follows is corrupt.
pub fn inflate(data: &[u8], cap: Cap) -> Result<Vec<u8>, InflateError> {
    if let Some(output) = inflate_member(data, cap) {
        return Ok(output);
    }
    inflate_members(data, cap)
}

/// Inflates what is one member, the usual record, at once: much faster than a stream, above all where it is small. `None` leaves it
/// to [`inflate_members`].
///
/// The last four bytes say how large the output is. That is believed only where it is usual, and only memory that is written
/// to is used.
fn inflate_member(data: &[u8], cap: Cap) -> Option<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
    }
    let trailer = data.last_chunk::<TRAILER_BYTES>()?;
    let size = u32::from_le_bytes(*data.last_chunk()?) as usize;
    let is_usual = size > 0 && size <= cap.of(data.len()).min(data.len().saturating_mul(USUAL_RATIO));
    if !is_usual || !data.starts_with(&PLAIN_HEADER) {
        return None;
    }
    let mut output = vec![0; size];
    let inflated = DECOMPRESSOR.with_borrow_mut(|it| it.gzip_decompress(data, &mut output)).ok()?;
    // It does not say where the member ended, but the member's trailer was right: the input's last bytes are that trailer where it
    // occurs once, and is of this output.
    let is_of_output = inflated == size && trailer[..4] == libdeflater::crc32(&output).to_le_bytes();
    let first = memmem::find(data, trailer)?;
    (is_of_output && first + TRAILER_BYTES == data.len()).then_some(output)
}

/// All members, whatever is between and after them.
fn inflate_members(data: &[u8], cap: Cap) -> Result<Vec<u8>, InflateError> {
    let members = Members { decoder: GzDecoder::new(data), has_ended: false };
    read_capped(members, data.len(), cap)
}

/// Inflates a zlib stream (RFC 1950), up to `cap`. The same may follow as after gzip.
pub fn inflate_zlib(data: &[u8], cap: Cap) -> Result<Vec<u8>, InflateError> {
    let mut decoder = ZlibDecoder::new(data);
    let output = read_capped(&mut decoder, data.len(), cap)?;
    match only_padding(decoder.into_inner()) {
        Ok(()) => Ok(output),
        Err(error) => Err(InflateError::Corrupt { error, inflated: output.len() }),
    }
}

/// Inflates raw deflate (RFC 1951), up to `cap`. The same may follow as after gzip.
pub fn inflate_raw(data: &[u8], cap: Cap) -> Result<Vec<u8>, InflateError> {
    let mut decoder = DeflateDecoder::new(data);
    let output = read_capped(&mut decoder, data.len(), cap)?;
    match only_padding(decoder.into_inner()) {
        Ok(()) => Ok(output),
        Err(error) => Err(InflateError::Corrupt { error, inflated: output.len() }),
    }
}

/// Whether the bytes begin with a zlib header (RFC 1950, section 2.2): method 8, a check over both bytes, and no dictionary that the
/// reader would have to know.
pub fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [cmf, flg, ..] => cmf & 0x0f == 8 && flg & 0x20 == 0 && u16::from_be_bytes([*cmf, *flg]) % 31 == 0,
        _ => false,
    }
}

/// The members of a gzip stream, one after another. They share a decoder: making one costs more than a small member.
struct Members<'a> {
    decoder: GzDecoder<&'a [u8]>,
    has_ended: bool,
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.has_ended {
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = *self.decoder.get_ref();
            if rest.starts_with(&MAGIC) {
                self.decoder.reset(rest);
            } else {
                only_padding(rest)?;
                self.has_ended = true;
            }
        }
        Ok(0)
    }
}

fn only_padding(rest: &[u8]) -> io::Result<()> {
    if rest.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let message = format!("{} bytes follow that are neither compressed nor zeros", rest.len());
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Calls `line` with each line of the first member of `data`, without its newline. Returns the member's length in bytes.
/// Only for our own objects: the output has no cap. One line is in memory at a time, and it is no larger than an accepted one.
pub fn first_member_lines(data: &[u8], mut line: impl FnMut(&[u8])) -> Result<usize, InflateError> {
    let mut reader = BufReader::new(GzDecoder::new(data));
    let mut buffer = Vec::new();
    let mut inflated = 0;
    loop {
        match reader.read_until(b'\n', &mut buffer) {
            Ok(0) => break,
            Ok(bytes) => inflated += bytes,
            Err(error) => return Err(InflateError::Corrupt { error, inflated }),
        }
        line(buffer.strip_suffix(b"\n").unwrap_or(&buffer));
        buffer.clear();
    }
    Ok(data.len() - reader.into_inner().into_inner().len())
}

/// Reads `decoder`, whose input has `input_bytes`, to its end or to the cap. Memory grows with the output, never with an
/// announced size.
pub fn read_capped(mut decoder: impl Read, input_bytes: usize, cap: Cap) -> Result<Vec<u8>, InflateError> {
    let limit = cap.of(input_bytes);
    let mut output = Vec::with_capacity(input_bytes.saturating_mul(4).min(limit));
    // One byte more than allowed: then the output is too large.
    if let Err(error) = decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut output) {
        return Err(InflateError::Corrupt { error, inflated: output.len() });
    }
    if output.len() <= limit {
        Ok(output)
    } else if limit == cap.bytes {
        Err(InflateError::TooLarge { limit: cap.bytes })
    } else {
        Err(InflateError::Ratio { limit: cap.ratio })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: Cap = Cap { bytes: 1_000_000, ratio: 1_100 };

    #[test]
    fn all_members_are_read() {
        let mut data = compress(b"one\n", Level::FAST);
        data.extend(compress(b"two\n", Level::FAST));
        assert_eq!(inflate(&data, CAP).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_member_is_filled_to_any_length_and_read_as_before_by_every_reader() {
        for data in [&b""[..], b"one\ntwo\n", &[b'x'; 5_000]] {
            let shortest = compress(data, Level(12)).len();
            assert_eq!(compress_to(data, shortest - 1), None);
            for gap in (0..40).chain([1_000, 70_001]) {
                let member = compress_to(data, shortest + gap).unwrap();
                assert_eq!(member.len(), shortest + gap);
                let next = compress(b"next\n", Level::FAST);
                let both = [&member[..], &next].concat();
                assert_eq!(inflate(&both, CAP).unwrap(), [data, b"next\n"].concat(), "a gap of {gap}");
                assert_eq!(first_member_lines(&both, |_| ()).unwrap(), member.len(), "a gap of {gap}");
                let mut output = vec![0; data.len()];
                let read = Decompressor::new().gzip_decompress(&member, &mut output);
                assert_eq!((read, &output[..]), (Ok(data.len()), data), "a gap of {gap}");
            }
        }
    }

    #[test]
    fn members_are_read_one_by_one() {
        let members = [
            compress(b"one\ntwo\n", Level::FAST),
            compress(b"", Level::FAST),
            compress(b"three", Level::FAST),
        ];
        let data = members.concat();
        let (mut at, mut lines, mut lengths) = (0, Vec::new(), Vec::new());
        while at < data.len() {
            let length = first_member_lines(&data[at..], |line| lines.push(line.to_vec())).unwrap();
            lengths.push(length);
            at += length;
        }
        assert_eq!(lengths, members.map(|member| member.len()));
        assert_eq!(lines, [&b"one"[..], b"two", b"three"]);
        assert!(first_member_lines(&data[..9], |_| ()).is_err());
    }

    #[test]
    fn few_bytes_are_compressed_at_the_fast_level_unless_a_small_result_is_asked_for() {
        let is_fast = |level, lines: std::ops::Range<u32>| {
            let text = lines
                .map(|line| format!("{line} from 10.0.{}.7 in {} ms\n", line * 37 % 251, line * 91 % 997));
            let text = text.collect::<String>();
            compress(text.as_bytes(), Level::new(level).unwrap()) == compress(text.as_bytes(), Level::FAST)
        };
        assert_eq!([2, 3, 4, 5, 12].map(|level| is_fast(level, 0..60)), [true, true, true, false, false]);
        assert!(!is_fast(3, 0..600));
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = compress(&vec![0; 50_000_000], Level::FAST);
        assert!(matches!(inflate(&bomb, CAP), Err(InflateError::TooLarge { limit: 1_000_000 })));
        let tight = Cap { bytes: 40_000_000, ratio: 100 };
        assert!(matches!(inflate(&bomb, tight), Err(InflateError::Ratio { limit: 100 })));
    }

    #[test]
    fn an_output_of_just_the_cap_is_allowed() {
        let data = compress(&vec![0; CAP.bytes], Level::FAST);
        assert_eq!(inflate(&data, CAP).unwrap().len(), CAP.bytes);
        let data = compress(&vec![0; CAP.bytes + 1], Level::FAST);
        assert!(inflate(&data, CAP).is_err());
    }

    #[test]
    fn a_member_that_was_cut_is_corrupt() {
        let data = compress(b"hello hello hello", Level::FAST);
        assert!(matches!(inflate(&data[..data.len() - 3], CAP), Err(InflateError::Corrupt { .. })));
        assert!(matches!(inflate(b"\x1f\x8bnonsense", CAP), Err(InflateError::Corrupt { .. })));
    }

    type Inflate = fn(&[u8], Cap) -> Result<Vec<u8>, InflateError>;

    #[test]
    fn zeros_may_follow_compressed_data_and_nothing_else() {
        use std::io::Write;

        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(b"hello").unwrap();
        raw.write_all(b"hello").unwrap();
        let two = [compress(b"hel", Level::FAST), compress(b"lo", Level::FAST)].concat();
        let forms: [(Vec<u8>, Inflate); 4] = [
            (compress(b"hello", Level::FAST), inflate),
            (two, inflate),
            (zlib.finish().unwrap(), inflate_zlib),
            (raw.finish().unwrap(), inflate_raw),
        ];
        for (data, inflate) in forms {
            for zeros in [0, 1, 2, 511, 100_000] {
                let padded = [&data[..], &vec![0; zeros]].concat();
                assert_eq!(inflate(&padded, CAP).unwrap(), b"hello");
            }
            for rest in [&b"x"[..], b"\0\0\x01", b"\n", b"\0\x1f\x8b"] {
                let error = inflate(&[&data[..], rest].concat(), CAP).unwrap_err().to_string();
                assert!(error.ends_with("bytes follow that are neither compressed nor zeros"), "{error}");
            }
        }
    }

    /// Members, what may follow them and what may not, whole or cut, with a byte changed or not.
    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let plain = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..99),
            "[ab ]{0,999}".prop_map(String::into_bytes),
            (0_usize..9_999).prop_map(|length| vec![b'a'; length]),
        ];
        let named = |plain: Vec<u8>| {
            let mut encoder =
                flate2::GzBuilder::new().filename("name").read(&plain[..], flate2::Compression::fast());
            let mut member = Vec::new();
            encoder.read_to_end(&mut member).unwrap();
            member
        };
        let piece = prop_oneof![
            8 => (plain.clone(), 1_u8..=12).prop_map(|(plain, level)| compress(&plain, Level::new(level).unwrap())),
            1 => plain.prop_map(named),
            2 => (0_usize..20).prop_map(|zeros| vec![0; zeros]),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        // A piece is there once or twice, or its last bytes are there twice.
        let again = prop_oneof![Just(0), Just(usize::MAX), 1..=2 * TRAILER_BYTES];
        let pieces = proptest::collection::vec((piece, again), 1..4);
        let stream = pieces.prop_map(|pieces| {
            let twice = |(piece, again): (Vec<u8>, usize)| {
                [&piece, &piece[piece.len().saturating_sub(again)..]].concat()
            };
            pieces.into_iter().flat_map(twice).collect::<Vec<u8>>()
        });
        (stream, any::<prop::sample::Index>(), any::<[bool; 2]>()).prop_map(
            |(mut stream, at, [cut, change])| {
                if !stream.is_empty() && change {
                    let at = at.index(stream.len());
                    stream[at] ^= 1 << (at % 8);
                }
                if !stream.is_empty() && cut {
                    stream.truncate(at.index(stream.len()));
                }
                stream
            },
        )
    }

    proptest! {
        #[test]
        fn a_member_inflated_at_once_is_what_the_stream_reads(stream in any_stream()) {
            let cap = Cap { bytes: 5_000, ratio: 1_100 };
            if let Some(output) = inflate_member(&stream, cap) {
                prop_assert_eq!(inflate_members(&stream, cap).unwrap(), output);
            }
        }

        #[test]
        fn one_member_of_usual_size_is_inflated_at_once(text in "[ -~]{1,999}", level in 1_u8..=12) {
            let member = compress(text.as_bytes(), Level::new(level).unwrap());
            prop_assert_eq!(inflate_member(&member, CAP).unwrap(), text.as_bytes());
        }

        #[test]
        fn bytes_come_back_and_their_compressed_form_is_within_the_bound(data: Vec<u8>, level in 1_u8..=12) {
            let member = compress(&data, Level::new(level).unwrap());
            prop_assert!(member.len() <= compressed_bound(data.len()));
            prop_assert_eq!(inflate(&member, CAP).unwrap(), data);
        }
    }
}
