use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    ops::RangeInclusive,
};

/// Repeats a run: the seed that a failed test has printed.
const SEED: &str = "TUS_TEST_SEED";

/// Random numbers that can be had again: the seed is printed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Another seed each time, unless it is given.
    pub(crate) fn new() -> Self {
        let given = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("{SEED}={seed}");
        Self(seed | 1)
    }

    /// Independent ones.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// One time in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    fn next(&mut self) -> u64 {
        // xorshift64*: the low bits of the plain one are poor.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }
}
