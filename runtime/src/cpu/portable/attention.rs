//! Plain Rust: the definition that the other instruction sets are tested against.

use crate::cpu::attention::{Attention, Head, Lanes, Sums, run, weight};
use core::array::from_fn;

pub(crate) const ATTENTION: Attention = Attention { entry: attend, lanes: 8 };

/// # Safety
/// As [`Attend`](crate::cpu::attention::Attend).
unsafe fn attend(head: &Head<'_>, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe { run::<Plain>(head, sums) }
}

struct Plain;

// SAFETY: the methods access 8 numbers or pairs each.
unsafe impl Lanes for Plain {
    const LANES: usize = 8;
    type S = [i32; 8];
    type P = [[i16; 2]; 8];

    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::S {
        // SAFETY: 8 numbers by contract.
        unsafe { p.cast::<Self::S>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut i32, s: Self::S) {
        // SAFETY: 8 numbers by contract.
        unsafe { p.cast::<Self::S>().write_unaligned(s) }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const i16) -> Self::P {
        // SAFETY: 8 pairs by contract.
        unsafe { p.cast::<Self::P>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_pairs(p: *mut i16, pairs: Self::P) {
        // SAFETY: 8 pairs by contract.
        unsafe { p.cast::<Self::P>().write_unaligned(pairs) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::S, pairs: Self::P, two: *const i16) -> Self::S {
        // SAFETY: a pair by contract.
        let two = unsafe { two.cast::<[i16; 2]>().read_unaligned() }.map(i32::from);
        from_fn(|i| sum[i] + i32::from(pairs[i][0]) * two[0] + i32::from(pairs[i][1]) * two[1])
    }
    #[inline(always)]
    unsafe fn max(a: Self::S, b: Self::S) -> Self::S {
        from_fn(|i| a[i].max(b[i]))
    }
    #[inline(always)]
    unsafe fn weights(a: Self::S, b: Self::S, largest: Self::S, shift: u32) -> Self::P {
        let one = |score: i32, largest: i32| weight(((largest - score) >> shift).min(32767) as i16);
        from_fn(|i| [one(a[i], largest[i]), one(b[i], largest[i])])
    }
}
