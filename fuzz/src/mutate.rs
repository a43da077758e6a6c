//! Makes new inputs by changing bytes of inputs. The same seed makes the same inputs, on any machine.

/// Repeatable random numbers: `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("less than a `usize`")
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        (!list.is_empty()).then(|| &list[self.below(list.len())])
    }
}

/// Bytes that are special to parsers.
const EDGES: [u8; 16] =
    [0, 1, 9, b'\n', b'\r', 0x1e, b' ', b'"', b'0', b'9', b'\\', b'{', 0x7f, 0x80, 0xc3, 0xff];

/// Changes `input` in one to four places. Inserts pieces of `other` and `words`.
pub fn mutate(dice: &mut Dice, input: &[u8], other: &[u8], words: &[&str]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + 1 + dice.below(16)).min(bytes.len());
        match dice.below(8) {
            0 if at < end => bytes[at] ^= 1 << dice.below(8),
            1 if at < end => bytes[at] = EDGES[dice.below(EDGES.len())],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            4 => bytes.truncate(at),
            5 => {
                let from = dice.below(other.len() + 1);
                let length = dice.below(64).min(other.len() - from);
                bytes.splice(at..end, other[from..from + length].iter().copied());
            }
            _ => {
                let word = dice.one_of(words).map_or("", |word| word);
                // Inserts the word, or overwrites with it.
                let end = if dice.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
                bytes.splice(at..end, word.bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants(seed: u64) -> Vec<Vec<u8>> {
        let mut dice = Dice::new(seed);
        (0..100).map(|_| mutate(&mut dice, b"{\"id\":1}", b"other", &["\"text\":"])).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_mutants_and_another_seed_makes_others() {
        assert_eq!(mutants(1), mutants(1));
        assert_ne!(mutants(1), mutants(2));
    }

    #[test]
    fn nearly_every_mutant_differs_from_its_input() {
        let same = mutants(3).iter().filter(|mutant| mutant.as_slice() == b"{\"id\":1}").count();
        assert!(same < 10, "{same} of 100");
    }
}
