//! What the int8 multipliers of one core give at most: `smull`, `smlal2` and `sadalp`, on registers only, without a load or a store. A
//! convolution is held against it. In assembly, so that neither a compiler's moves nor its insight that the operands never
//! change spoil the figure.

use core::arch::asm;

/// Two products in 16 bits, added in pairs to a sum: product and sum registers.
macro_rules! pairs {
    ($($product:literal $sum:literal),+) => {
        concat!(
            $("smull v", $product, ".8h, v24.8b, v25.8b\n",)+
            $("smlal2 v", $product, ".8h, v24.16b, v25.16b\n",)+
            $("sadalp v", $sum, ".4s, v", $product, ".8h\n",)+
        )
    };
}

/// `smull`, `smlal2` and `sadalp` on eight sums, with a register for each product.
///
/// # Safety
/// None is needed: NEON is part of the target.
pub(crate) unsafe fn peak(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            "2:",
            pairs!("16" "0", "17" "1", "18" "2", "19" "3", "20" "4", "21" "5", "22" "6", "23" "7"),
            "subs {n}, {n}, #1",
            "b.ne 2b",
            n = inout(reg) rounds => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _,
            options(nomem, nostack)
        );
    }
    rounds * 8 * 16
}
