//! What the int8 multipliers of one core give at most: each instruction set's multiplying instructions on registers
//! only, without a load or a store. A convolution is held against it.
//!
//! In assembly, so that neither a compiler's moves nor its insight that the operands never change spoil the figure.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::asm;

/// Runs so many rounds and returns the multiply-accumulates done.
///
/// # Safety
/// The processor has the instruction set.
pub(crate) type Peak = unsafe fn(u64) -> u64;

/// Plain Rust has no registers to name: what the compiler makes of 16 sums, whose operands are loaded.
///
/// # Safety
/// None is needed; the type is that of the other sets.
pub(super) unsafe fn scalar(rounds: u64) -> u64 {
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

/// An instruction on each of these registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each {
    ($before:literal, $after:literal: $($sum:literal)+) => {
        concat!($($before, $sum, $after, "\n",)+)
    };
}

/// `vpdpbusd` on 24 sums, as many as the widest tile has.
///
/// # Safety
/// The processor has AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn avx512vnni(rounds: u64) -> u64 {
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

/// `vpdpbusd` of AVX-VNNI on 12 sums, as many as a tile has.
///
/// # Safety
/// The processor has AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn avxvnni(rounds: u64) -> u64 {
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

/// `vpmaddwd` on 16-bit values and the addition to a sum, for one of seven sums: product and sum registers.
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(rounds: u64) -> u64 {
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

/// Two products in 16 bits, added in pairs to a sum: product and sum registers.
#[cfg(target_arch = "aarch64")]
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
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn neon(rounds: u64) -> u64 {
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

/// `sdot` on 24 sums, as many as the widest tile has.
///
/// # Safety
/// The processor has the dot product.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "dotprod")]
pub(super) unsafe fn neon_dot(rounds: u64) -> u64 {
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

/// `smmla` on 24 sums, as many as the widest tile has.
///
/// # Safety
/// The processor has the matrix multiplication.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "i8mm")]
pub(super) unsafe fn neon_i8mm(rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    // SAFETY: changes only the registers named.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "2:",
            each!("smmla v", ".4s, v24.16b, v25.16b": "0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11"),
            each!("smmla v", ".4s, v24.16b, v25.16b": "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23"),
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
    rounds * 24 * 32
}

#[cfg(test)]
mod tests {
    use crate::Isa;

    #[test]
    fn work_is_in_proportion_to_rounds() {
        for isa in Isa::available() {
            assert_eq!(isa.exercise_i8(0), 0, "{}", isa.name());
            let one = isa.exercise_i8(1);
            assert!(one >= 16 && isa.exercise_i8(7) == 7 * one, "{}: {one}", isa.name());
        }
    }
}
