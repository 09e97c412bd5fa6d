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
//! order with fused multiply-add. `unsafe` code is in the modules that are allowed it below, for vector instructions and for
//! the pointers that they take; every block says why it is sound.

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code, reason = "vector instructions")]
mod aarch64;
#[allow(unsafe_code, reason = "vector instructions")]
mod portable;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions")]
mod x86;

#[allow(unsafe_code, reason = "pointers into slices whose lengths were checked")]
pub(crate) mod attention;
pub(crate) mod codec;
#[allow(unsafe_code, reason = "pointers into slices whose lengths were checked")]
pub(crate) mod conv;
#[allow(unsafe_code, reason = "pointers into slices whose lengths were checked")]
pub(crate) mod image_add;
#[allow(unsafe_code, reason = "the caller says what the processor has")]
pub(crate) mod isa;
#[allow(unsafe_code, reason = "types of entries that only some processors can run")]
pub(crate) mod kernels;
#[allow(unsafe_code, reason = "pointers into slices whose lengths were checked")]
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    expect(dead_code, reason = "only these have kernels for norms")
)]
pub(crate) mod norm;
pub(crate) mod steps;
#[allow(unsafe_code, reason = "calls what the processor was found to have")]
pub(crate) mod table;
