//! Plain Rust: the definition that the other instruction sets are tested against.

use crate::arithmetic::{fma, relu_f32, stored_byte, stored_short};
use crate::cpu::conv::form::Store;
use crate::cpu::conv::tile::{Tile, conv_entry};
use core::array::from_fn;

conv_entry!(conv_i8, I8, (1, 2), (2, 2));
conv_entry!(conv_f32, F32, (1, 2), (2, 2));

pub(crate) struct I8;
struct F32;

// SAFETY: the methods read 4 values each and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 1;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 4;
    type V = [i32; 4];
    type A = i32;
    type W = [i8; 4];

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { p.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 1 byte by contract.
        unsafe { i32::from(p.cast::<i8>().read()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 4 bytes by contract.
        unsafe { p.cast::<[i8; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        from_fn(|i| sum[i].wrapping_add(a * i32::from(w[i])))
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: 4 multipliers and `lanes` stored values by contract.
        unsafe {
            for (i, &sum) in sum.iter().enumerate().take(lanes) {
                let x = sum as f32 * mult.add(i).read();
                match *store {
                    Store::I8 { lo, hi, zero_point, xor } => {
                        out.add(i).write(stored_byte(x, (lo, hi), zero_point, xor));
                    }
                    Store::I16 { lo, hi } => {
                        out.cast::<i16>().add(i).write_unaligned(stored_short(x, (lo, hi)));
                    }
                    Store::F32 { relu } => {
                        let x = if relu { relu_f32(x) } else { x };
                        out.cast::<f32>().add(i).write_unaligned(x);
                    }
                }
            }
        }
    }
}

// SAFETY: the methods read 4 values each and write `lanes` values.
unsafe impl Tile for F32 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 16;
    type V = [f32; 4];
    type A = f32;
    type W = [f32; 4];

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract.
        unsafe { p.cast::<f32>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 16 bytes by contract.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        from_fn(|i| fma(a, w[i], sum[i]))
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, _mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        let Store::F32 { relu } = *store else { unreachable!("a float convolution stores floats") };
        // SAFETY: `lanes` stored values by contract.
        unsafe {
            for (i, &x) in sum.iter().enumerate().take(lanes) {
                let x = if relu { relu_f32(x) } else { x };
                out.cast::<f32>().add(i).write_unaligned(x);
            }
        }
    }
}
