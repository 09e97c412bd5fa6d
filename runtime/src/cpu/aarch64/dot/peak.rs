//! What the int8 multipliers of one core give at most: `sdot`, on registers only, without a load or a store. A
//! convolution is held against it. In assembly, so that neither a compiler's moves nor its insight that the operands never
//! change spoil the figure.

use core::arch::asm;

/// An instruction on each of these registers.
macro_rules! each {
    ($before:literal, $after:literal: $($sum:literal)+) => {
        concat!($($before, $sum, $after, "\n",)+)
    };
}

/// `sdot` on 24 sums, as many as the widest tile has.
///
/// # Safety
/// The processor has the dot product.
#[target_feature(enable = "dotprod")]
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "2:",
            each!("sdot v", ".4s, v24.16b, v25.4b[0]": "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"),
            each!("sdot v", ".4s, v24.16b, v25.4b[0]": "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23"),
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) rounds => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _,
            options(nomem, nostack)
        );
    }
    rounds * 24 * 16
}
