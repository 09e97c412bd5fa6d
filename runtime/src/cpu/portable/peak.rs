//! What plain Rust gives at most, where there are no registers to name.

/// Plain Rust has no registers to name: what the compiler makes of 16 sums, whose operands are loaded.
///
/// # Safety
/// None is needed; the type is that of the other sets.
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    let mut sums = [0_i32; 16];
    for _ in 0..rounds {
        let (a, w) = core::hint::black_box((3_i32, [5_i8; 16]));
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = sum.wrapping_add(a * i32::from(w));
        }
    }
    core::hint::black_box(&sums);
    rounds * 16
}
