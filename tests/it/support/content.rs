use ::base64::{Engine, prelude::BASE64_STANDARD};
use ::sha1::{Digest, Sha1};

/// `len` bytes that repeat nowhere near, the same ones for the same `seed`.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64: no dependency, no clock, no surprise.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The padded standard form that metadata values and digests have.
pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The value of `Upload-Checksum` for `data`.
pub(crate) fn sha1(data: &[u8]) -> String {
    format!("sha1 {}", base64(Sha1::digest(data)))
}
