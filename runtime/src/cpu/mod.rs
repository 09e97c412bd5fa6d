//! Running a program on a processor: the kernels of every instruction set, and the steps that use them.
//!
//! - [`isa`], [`table`]: which instruction sets there are, and the only place that chooses among their kernels;
//! - [`kernels`]: what an instruction set may provide;
//! - [`conv`], [`attention`], [`norm`], [`image_add`]: the loops, generic over a handful of vector operations, and the checked
//!   entries in front of them;
//! - `portable`, `x86`, `aarch64`: those vector operations, a folder an instruction set;
//! - [`steps`]: one file an operator, which prepares weights and walks rows.
//!
//! All instruction sets compute the same bits: integers add up in any order, and floats are always added up in the same
//! order with fused multiply-add. Apart from [`threads`](crate::threads) and [`memory`](crate::memory) this is the only
//! place with `unsafe` code.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) mod attention;
pub(crate) mod codec;
pub(crate) mod conv;
pub(crate) mod image_add;
pub(crate) mod isa;
pub(crate) mod kernels;
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    expect(dead_code, reason = "only these have kernels for norms")
)]
pub(crate) mod norm;

pub(crate) mod requant;
pub(crate) mod steps;
pub(crate) mod table;
