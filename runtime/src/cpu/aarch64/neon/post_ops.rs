//! What follows a convolution to 16 bits, in one pass over a row on aarch64: the residual sum and the copy in 8 bits.
//!
//! A value in the bits of a float needs one fused multiply-add on its way to 8 bits (see
//! [`SingleRounding`](crate::cpu::conv::requant::SingleRounding)). Blocks of 32 values go from one kind of instruction to the next
//! together, loads first, so that cores that work in order wait the least.

use crate::cpu::conv::requant::SingleRounding;
use core::arch::asm;

/// Values in a block.
const BLOCK: usize = 32;

/// Constants as the assembly reads them.
#[repr(C, align(16))]
struct Constants {
    /// Loaded anew for every multiplication, which overwrites it.
    offset: [f32; 8],
    factor: [f32; 4],
    base: [i32; 4],
    lowest: [i16; 8],
}

/// `values += residual`, saturating at ±32767, and `out = round(values · factor)` plus the zero point.
pub(crate) fn post_ops(values: &mut [i16], residual: Option<&[i16]>, by: &SingleRounding, out: &mut [u8]) {
    assert_eq!(values.len(), out.len(), "rows of the same length");
    assert!(residual.is_none_or(|r| r.len() == values.len()), "rows of the same length");
    let constants = Constants {
        offset: [by.offset; 8],
        factor: [by.factor; 4],
        base: [by.base.cast_signed(); 4],
        lowest: [-i16::MAX; 8],
    };
    let blocks = values.len() / BLOCK;
    let in_blocks = BLOCK * blocks;
    // SAFETY: so many blocks are in the rows.
    unsafe {
        let residual = residual.map_or(core::ptr::null(), <[i16]>::as_ptr);
        blocks_of(values.as_mut_ptr(), residual, &constants, out.as_mut_ptr(), blocks);
    }
    if in_blocks < values.len() {
        let n = values.len() - in_blocks;
        let (mut v, mut r, mut bytes) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        v[..n].copy_from_slice(&values[in_blocks..]);
        if let Some(residual) = residual {
            r[..n].copy_from_slice(&residual[in_blocks..]);
        }
        let residual = residual.map_or(core::ptr::null(), |_| r.as_ptr());
        // SAFETY: one block is in the buffers.
        unsafe { blocks_of(v.as_mut_ptr(), residual, &constants, bytes.as_mut_ptr(), 1) };
        values[in_blocks..].copy_from_slice(&v[..n]);
        out[in_blocks..].copy_from_slice(&bytes[..n]);
    }
}

/// The values in `v0` to `v3` to bytes, stored. `$store` is what is done with the values themselves.
#[rustfmt::skip]
macro_rules! to_bytes {
    ($($store:literal),*) => {
        concat!(
            "saddw v16.4s, v30.4s, v0.4h\n",
            "saddw2 v17.4s, v30.4s, v0.8h\n",
            "saddw v18.4s, v30.4s, v1.4h\n",
            "saddw2 v19.4s, v30.4s, v1.8h\n",
            "saddw v20.4s, v30.4s, v2.4h\n",
            "saddw2 v21.4s, v30.4s, v2.8h\n",
            "saddw v22.4s, v30.4s, v3.4h\n",
            "saddw2 v23.4s, v30.4s, v3.8h\n",
            $($store, "\n",)*
            "fmla v8.4s, v16.4s, v29.4s\n",
            "fmla v9.4s, v17.4s, v29.4s\n",
            "fmla v10.4s, v18.4s, v29.4s\n",
            "fmla v11.4s, v19.4s, v29.4s\n",
            "fmla v12.4s, v20.4s, v29.4s\n",
            "fmla v13.4s, v21.4s, v29.4s\n",
            "fmla v14.4s, v22.4s, v29.4s\n",
            "fmla v15.4s, v23.4s, v29.4s\n",
            "subs {n}, {n}, #1\n",
            "uzp1 v8.8h, v8.8h, v9.8h\n",
            "uzp1 v10.8h, v10.8h, v11.8h\n",
            "uzp1 v12.8h, v12.8h, v13.8h\n",
            "uzp1 v14.8h, v14.8h, v15.8h\n",
            "sqxtn v8.8b, v8.8h\n",
            "sqxtn v9.8b, v12.8h\n",
            "sqxtn2 v8.16b, v10.8h\n",
            "sqxtn2 v9.16b, v14.8h\n",
            "st1 {{v8.16b, v9.16b}}, [{out}], #32\n",
        )
    };
}

/// So many blocks; nothing is added if `residual` is null.
///
/// # Safety
/// `values` and `out`, and `residual` if it is there, have so many blocks.
unsafe fn blocks_of(
    values: *mut i16,
    residual: *const i16,
    constants: &Constants,
    out: *mut u8,
    blocks: usize,
) {
    if blocks == 0 {
        return;
    }
    macro_rules! blocks {
        ($($code:expr),*; $($operands:tt)*) => {
            asm!(
                "ldp q29, q30, [{constants}, #32]",
                $($code,)*
                "b.ne 2b",
                v = inout(reg) values => _,
                constants = in(reg) constants,
                out = inout(reg) out => _,
                n = inout(reg) blocks => _,
                $($operands)*
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v29") _, out("v30") _, out("v31") _,
                options(nostack)
            )
        };
    }
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        if residual.is_null() {
            blocks!(
                "2:",
                "ldp q0, q1, [{v}], #32",
                "ldp q2, q3, [{v}], #32",
                "ldp q8, q9, [{constants}]",
                "ldp q10, q11, [{constants}]",
                "ldp q12, q13, [{constants}]",
                "ldp q14, q15, [{constants}]",
                to_bytes!();
            );
        } else {
            blocks!(
                "ldr q31, [{constants}, #64]",
                "2:",
                "ldp q0, q1, [{v}]",
                "ldp q4, q5, [{r}], #32",
                "ldp q2, q3, [{v}, #32]",
                "ldp q6, q7, [{r}], #32",
                "ldp q8, q9, [{constants}]",
                "sqadd v0.8h, v0.8h, v4.8h",
                "sqadd v1.8h, v1.8h, v5.8h",
                "ldp q10, q11, [{constants}]",
                "sqadd v2.8h, v2.8h, v6.8h",
                "sqadd v3.8h, v3.8h, v7.8h",
                "ldp q12, q13, [{constants}]",
                "smax v0.8h, v0.8h, v31.8h",
                "smax v1.8h, v1.8h, v31.8h",
                "smax v2.8h, v2.8h, v31.8h",
                "smax v3.8h, v3.8h, v31.8h",
                "ldp q14, q15, [{constants}]",
                to_bytes!("st1 {{v0.8h, v1.8h, v2.8h, v3.8h}}, [{v}], #64");
                r = inout(reg) residual => _,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::round_clamp;
    use crate::testing::Rng;
    use alloc::vec::Vec;

    #[test]
    fn sums_and_bytes_are_those_of_plain_code() {
        let mut rng = Rng(29);
        for (len, (factor, zero_point)) in [1, 31, 32, 33, 64, 200]
            .into_iter()
            .zip([(0.0487, 0), (0.8917, 3), (0.00413, -128), (0.0313, -64)].iter().cycle())
        {
            let by = SingleRounding::new(*factor, *zero_point).expect("there is a base for it");
            let draw =
                |rng: &mut Rng| -> Vec<i16> { (0..len).map(|_| (rng.unit() * 32767.0) as i16).collect() };
            let (values, mut residual) = (draw(&mut rng), draw(&mut rng));
            (residual[0], residual[len / 2]) = (32767, -32767);
            for residual in [None, Some(residual.as_slice())] {
                let (mut found, mut bytes) = (values.clone(), alloc::vec![0; len]);
                post_ops(&mut found, residual, &by, &mut bytes);
                for (i, &value) in values.iter().enumerate() {
                    let sum = i32::from(value) + i32::from(residual.map_or(0, |r| r[i]));
                    let sum = sum.clamp(-32767, 32767);
                    assert_eq!(i32::from(found[i]), sum, "value {i} of {len}");
                    let (lo, hi) = ((-128 - zero_point) as f32, (127 - zero_point) as f32);
                    let byte = round_clamp(sum as f32 * by.factor, lo, hi) + zero_point;
                    assert_eq!(
                        i32::from(bytes[i].cast_signed()),
                        byte,
                        "byte {i} of {len}: {sum} by {factor}"
                    );
                }
            }
        }
    }
}
