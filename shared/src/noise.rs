//! Text for tests that must not compress.

/// `bytes` random letters and signs. gzip makes them a quarter smaller, not more. The same seed gives the same text.
pub fn noise(bytes: usize, seed: u64) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-!?,;:+*/()";
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect()
}
