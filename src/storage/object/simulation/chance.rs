use std::cell::Cell;

thread_local! {
    static CHANCE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on, what the object storages of this thread leave to chance follows from `seed`: names, and
/// pauses between attempts. For runs that are to be had again.
///
/// Processes that are simulated on one thread still get names of their own.
pub fn seed_chance(seed: u64) {
    CHANCE.set(Some(seed));
}

/// Random bits, if this thread has a seed for them.
pub(in crate::storage::object) fn seeded_bits() -> Option<u128> {
    let next = || {
        let state = CHANCE.get()?.wrapping_add(0x9E37_79B9_7F4A_7C15);
        CHANCE.set(Some(state));
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(bits ^ (bits >> 31))
    };
    Some(u128::from(next()?) << 64 | u128::from(next()?))
}
