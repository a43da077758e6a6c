//! Text for tests that must not compress.

/// `length` bytes of text that gzip makes hardly smaller: 64 letters by a linear congruence. A seed gives the same text.
pub fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[(state >> 58) as usize],
        )
    };
    (0..length).map(|_| next()).collect()
}
