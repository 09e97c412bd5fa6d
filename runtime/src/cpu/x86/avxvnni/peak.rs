//! What the int8 multipliers of one core give at most: `vpdpbusd` of AVX-VNNI, on registers only, without a load or a store. A
//! convolution is held against it. In assembly, so that neither a compiler's moves nor its insight that the operands never
//! change spoil the figure.

use core::arch::asm;

/// An instruction on each of these registers.
macro_rules! each {
    ($before:literal, $after:literal: $($sum:literal)+) => {
        concat!($($before, $sum, $after, "\n",)+)
    };
}

/// `vpdpbusd` of AVX-VNNI on 12 sums, as many as a tile has.
///
/// # Safety
/// The processor has AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            "2:",
            each!("{{vex}} vpdpbusd ymm", ", ymm12, ymm13": "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"),
            each!("{{vex}} vpdpbusd ymm", ", ymm12, ymm13": "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"),
            "dec {n}",
            "jnz 2b",
            // The compiler sees no vector in use here and would leave the upper halves dirty, which slows what follows.
            "vzeroupper",
            n = inout(reg) rounds => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nomem, nostack)
        );
    }
    rounds * 2 * 12 * 32
}
