//! What the int8 multipliers of one core give at most: `vpdpbusd`, on registers only, without a load or a store. A
//! convolution is held against it. In assembly, so that neither a compiler's moves nor its insight that the operands never
//! change spoil the figure.

use core::arch::asm;

/// An instruction on each of these registers.
macro_rules! each {
    ($before:literal, $after:literal: $($sum:literal)+) => {
        concat!($($before, $sum, $after, "\n",)+)
    };
}

/// `vpdpbusd` on 24 sums, as many as the widest tile has.
///
/// # Safety
/// The processor has AVX-512 VNNI.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            "2:",
            each!("vpdpbusd zmm", ", zmm24, zmm25": "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"),
            each!("vpdpbusd zmm", ", zmm24, zmm25": "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23"),
            "dec {n}",
            "jnz 2b",
            n = inout(reg) rounds => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
            out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
            out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _,
            options(nomem, nostack)
        );
    }
    rounds * 24 * 64
}
