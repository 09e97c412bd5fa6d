//! What the int8 multipliers of one core give at most: `vpmaddwd` and `vpaddd`, on registers only, without a load or a store. A
//! convolution is held against it. In assembly, so that neither a compiler's moves nor its insight that the operands never
//! change spoil the figure.

use core::arch::asm;

/// `vpmaddwd` on 16-bit values and the addition to a sum, for one of seven sums: product and sum registers.
macro_rules! widened {
    ($($product:literal $sum:literal),+) => {
        concat!($(
            "vpmaddwd ymm", $product, ", ymm14, ymm15\n",
            "vpaddd ymm", $sum, ", ymm", $sum, ", ymm", $product, "\n",
        )+)
    };
}

/// `vpmaddwd` and `vpaddd` on seven sums, with a register for each product.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            "2:",
            widened!("7" "0", "8" "1", "9" "2", "10" "3", "11" "4", "12" "5", "13" "6"),
            "dec {n}",
            "jnz 2b",
            n = inout(reg) rounds => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nomem, nostack)
        );
    }
    rounds * 7 * 16
}
